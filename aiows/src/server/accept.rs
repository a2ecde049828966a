//! Accepts connections and serves each of them on a task of its own.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use super::App;
#[cfg(feature = "axum")]
use super::http;
use crate::admission::{Admitted, HalfOpen, PendingSession};
use crate::session::{Accepted, Session};
use crate::transport::{self, Listener, Transport};

/// The first pause after a failed accept. Without one, a process that is out of descriptors spins.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause; each one is twice as long as the one before.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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
        match listener.accept().await {
            Ok(accepted) => {
                let half_open = app.inner.admission.half_open().await;
                match accepted {
                    transport::Accepted::Tcp(stream, peer_addr) => {
                        spawn(app, stream, Some(peer_addr), half_open);
                    }
                    transport::Accepted::Stream(stream) => {
                        spawn(app, stream, None, half_open);
                    }
                }
                if pause.take().is_some() {
                    app.inner.outage.end();
                }
            }
            // The client left before it was accepted, which does not affect the next one.
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                app.inner.outage.note(&error);
                let next = pause.map_or(FIRST_PAUSE, |last: Duration| last * 2).min(LONGEST_PAUSE);
                pause = Some(next);
                sleep(next).await;
            }
        }
    }
}

fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Serves a connection on a task of its own.
pub(super) fn spawn(
    app: &App,
    stream: impl Transport,
    peer_addr: Option<SocketAddr>,
    half_open: HalfOpen,
) {
    app.handle().tasks().spawn(serve(stream, peer_addr, half_open, app.clone()));
}

async fn serve(
    mut stream: impl Transport,
    peer_addr: Option<SocketAddr>,
    half_open: HalfOpen,
    app: App,
) {
    // Boxed, so that a session keeps no space for its handshake.
    let admission = Box::pin(app.inner.admission.admit(&mut stream, peer_addr, half_open));
    #[cfg_attr(not(feature = "axum"), expect(clippy::manual_let_else, reason = "has an arm more"))]
    let (pending, mut permit) = match admission.await {
        #[cfg(feature = "axum")]
        Some(Admitted::Http(bytes, permit)) => {
            // Boxed, because it is larger than the state of a WebSocket.
            return Box::pin(http::serve(stream, peer_addr, bytes, permit, app)).await;
        }
        Some(Admitted::WebSocket(pending, permit)) => (pending, permit),
        None => return,
    };
    let mut session = begin(stream, pending);
    permit.enter(Some(session.id()));
    session.run().await;
}

// Not async, so that the task of a connection keeps no space for the parts of its session.
fn begin(stream: impl Transport, pending: Box<PendingSession>) -> Session {
    let PendingSession { answer, leftover, peer, config, .. } = *pending;
    let accepted = Accepted { peer, answer: Some(answer), leftover: &leftover };
    Session::new(stream, accepted, config)
}
