use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, lookup_host};
use tokio::time::sleep;

use super::{App, Listener};
use crate::error::Error;

/// Connections the kernel completes before they are accepted.
const BACKLOG: i32 = 4096;

/// The first pause after a failed accept: without one, a process out of descriptors spins.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest one; each is twice as long as the one before.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Listens on every address a name resolves to.
pub(super) async fn bind(address: &str) -> Result<Vec<TcpListener>, Error> {
    let failed = |cause| Error::bind(address.to_owned(), cause);
    let resolved: Vec<SocketAddr> = lookup_host(address).await.map_err(failed)?.collect();
    if resolved.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    listen_on(resolved).map_err(failed)
}

/// Listens on all addresses, or on those that this host has.
fn listen_on(addresses: Vec<SocketAddr>) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let mut missing = None;
    let both_families = addresses.iter().any(SocketAddr::is_ipv4);
    for address in addresses {
        match listen(address, both_families) {
            Ok(listener) => listeners.push(listener),
            // A name often stands for an IPv6 address as well, on hosts that have none.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                tracing::warn!(%address, "this host does not have the address");
                missing = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    match missing {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
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

/// Accepts connections until the server stops.
pub(super) async fn accept(listener: Listener, app: App) {
    tokio::select! {
        biased;
        _ = app.handle().lifecycle().stopping() => {}
        () = accept_all(&listener, &app) => {}
    }
}

async fn accept_all(listener: &Listener, app: &App) {
    let mut pause = None;
    loop {
        match listener.accept(app).await {
            Ok(()) => {
                if pause.take().is_some() {
                    app.outage().end();
                }
            }
            // The peer was gone before it was accepted: the next one is not affected.
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                app.outage().note(&error);
                let next = pause.map_or(FIRST_PAUSE, |last: Duration| last * 2).min(LONGEST_PAUSE);
                pause = Some(next);
                sleep(next).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// An address that is nobody's. Source: RFC 5737.
    const NOWHERE: &str = "192.0.2.1:0";

    #[tokio::test]
    async fn an_address_the_host_does_not_have_is_left_out_where_it_is_one_of_several() {
        let here = || "127.0.0.1:0".parse().unwrap();
        let nowhere = || NOWHERE.parse().unwrap();
        let listeners = listen_on(vec![nowhere(), here(), here()]).unwrap();
        let ips: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap().ip()).collect();
        assert_eq!(ips, [here().ip(), here().ip()]);
        let error = listen_on(vec![nowhere()]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error_beside_others() {
        let taken = listen_on(vec!["127.0.0.1:0".parse().unwrap()]).unwrap();
        let addresses = vec!["127.0.0.1:0".parse().unwrap(), taken[0].local_addr().unwrap()];
        assert_eq!(listen_on(addresses).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
