use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, lookup_host};
use tokio::time::sleep;

use super::App;
use crate::error::Error;

/// Connections the kernel completes before they are accepted.
const BACKLOG: i32 = 4096;

/// Pause after a failed accept: without one, a process out of descriptors spins.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Listens on every address a name resolves to.
pub(super) async fn bind(address: &str) -> Result<Vec<TcpListener>, Error> {
    let failed = |cause| Error::bind(address.to_owned(), cause);
    let resolved: Vec<SocketAddr> = lookup_host(address).await.map_err(failed)?.collect();
    if resolved.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    let both_families = resolved.iter().any(SocketAddr::is_ipv4);
    let listen = |address| listen(address, both_families).map_err(failed);
    resolved.into_iter().map(listen).collect()
}

fn listen(address: SocketAddr, both_families: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server gets its port back while old connections are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    // A name that resolves to both families has a socket for each; `[::]` alone serves both.
    if address.is_ipv6() && both_families {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until its task is ended.
pub(super) async fn accept(listener: TcpListener, app: App) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => app.spawn_tcp(stream, peer),
            // The peer was gone before it was accepted: the next one is not affected.
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                tracing::error!(%error, "connections cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
