//! What a server sets on the TCP sockets it accepts.

#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::SockRef;
use tokio::net::TcpStream;

/// Bytes that the kernel takes ahead of what it has sent to a client.
///
/// Without this bound it takes megabytes, and takes more only when a large part of them is gone. A
/// client on a slow link then seems to read nothing for a long time, and pings wait behind those
/// bytes.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 64 * 1024;

/// Makes small messages leave at once and large ones in small steps. A socket without these options
/// still works.
pub(crate) fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}
