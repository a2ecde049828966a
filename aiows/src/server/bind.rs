//! Listens on an address.

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, lookup_host};

use crate::error::Error;

/// The connections that the kernel completes before they are accepted.
const BACKLOG: i32 = 4096;

/// Listens on every address that a name resolves to.
pub(super) async fn bind(address: &str) -> Result<Vec<TcpListener>, Error> {
    let failed = |cause| Error::bind(address.to_owned(), cause);
    let resolved: Vec<SocketAddr> = lookup_host(address).await.map_err(failed)?.collect();
    if resolved.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    listen_on(&resolved).map_err(failed)
}

/// Listens on all addresses that this host has.
fn listen_on(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::new();
    let mut missing = None;
    for &address in addresses {
        match listen(address, addresses) {
            Ok(listener) => listeners.push(listener),
            // A name often resolves to an IPv6 address, even if the host has none.
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

/// Listens on one of the addresses of a name.
fn listen(address: SocketAddr, all: &[SocketAddr]) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server can bind its port while old connections are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    // A name that resolves to both families has a socket for each. `[::]` alone serves both.
    if address.is_ipv6() && all.iter().any(SocketAddr::is_ipv4) {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An address that no host has. Source: RFC 5737.
    const NOWHERE: &str = "192.0.2.1:0";

    #[tokio::test]
    async fn an_address_that_the_host_does_not_have_is_left_out_if_there_are_others() {
        let here = || "127.0.0.1:0".parse().unwrap();
        let nowhere = || NOWHERE.parse().unwrap();
        let listeners = listen_on(&[nowhere(), here(), here()]).unwrap();
        let ips: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap().ip()).collect();
        assert_eq!(ips, [here().ip(), here().ip()]);
        let error = listen_on(&[nowhere()]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[tokio::test]
    async fn an_address_in_use_is_an_error_even_if_there_are_others() {
        let taken = listen_on(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let addresses = ["127.0.0.1:0".parse().unwrap(), taken[0].local_addr().unwrap()];
        assert_eq!(listen_on(&addresses).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
