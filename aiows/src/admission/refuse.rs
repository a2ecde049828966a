use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::AdmissionControl;
use crate::handshake::Refusal;
use crate::shutdown::NoPermit;
use crate::transport::Stream;

/// The time after which a refused client may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The time a refused client has to read the answer and leave.
const REFUSAL_GRACE: Duration = Duration::from_secs(1);

/// The bytes that are read from a refused client before its socket is dropped.
const MAX_DISCARDED: usize = 256 * 1024;

pub(super) fn stopping() -> Refusal {
    Refusal::unavailable("the server is stopping", RETRY_AFTER)
}

pub(super) fn too_slow() -> Refusal {
    Refusal::unavailable("the server took too long", RETRY_AFTER)
}

impl From<NoPermit> for Refusal {
    fn from(why: NoPermit) -> Self {
        match why {
            NoPermit::Full => Self::unavailable("the server has no room left", RETRY_AFTER),
            NoPermit::Stopping => stopping(),
        }
    }
}

impl AdmissionControl {
    /// Counts and logs a refused request.
    pub(crate) fn note_refusal(&self, refusal: &Refusal, peer_addr: Option<SocketAddr>) {
        self.server.count_rejected();
        tracing::debug!(
            peer = peer_addr.map(display),
            status = refusal.status().as_u16(),
            "request refused"
        );
    }

    /// Answers a refused request, and gives the client time to read the answer and leave.
    pub(super) async fn send_refusal<S: Stream>(&self, stream: &mut S, refusal: &Refusal) {
        let mut answer = pin!(write_refusal(stream, refusal));
        let Ok(_lingering) = self.permits.lingering.try_acquire() else {
            // Too many clients linger already, so the answer to this one may be incomplete.
            answer.as_mut().now_or_never();
            return;
        };
        tokio::select! {
            biased;
            _ = timeout(REFUSAL_GRACE, answer) => {}
            // The client does not force a stop, which waits for it until the deadline only.
            () = self.server.lifecycle().cutting() => {}
        }
    }
}

async fn write_refusal<S: Stream>(stream: &mut S, refusal: &Refusal) -> io::Result<()> {
    stream.write_all(&refusal.to_bytes()).await?;
    stream.shutdown().await?;
    // Dropping a socket with unread bytes resets it, and the client would lose the answer.
    let mut discarded = [0; 1024];
    let mut rest = MAX_DISCARDED;
    while rest > 0 {
        match stream.read(&mut discarded).await? {
            0 => break,
            read => rest = rest.saturating_sub(read),
        }
    }
    Ok(())
}
