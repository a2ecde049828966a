//! Options that a server sets on the TCP sockets that it accepts.

#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::SockRef;
use tokio::net::TcpStream;

/// The bytes that the kernel takes beyond those it has sent to a client.
///
/// Without this bound it takes megabytes, and takes more only when a large part of them is sent. A
/// client on a slow link then seems to be stuck for a long time, and pings wait behind those bytes.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT: u32 = 64 * 1024;

/// Makes small messages leave at once and large ones in small steps. Errors are ignored, because a
/// socket works without these options.
pub(crate) fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(UNSENT);
}
