//! An upgrade request that hyper has read.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::http::request::Parts;
use axum::response::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::admission::PendingSession;
use crate::handshake::{Refusal, view};
use crate::server::{App, ServerHandle};
use crate::session::{Accepted, Session};
use crate::shutdown::ConnectionPermit;
use crate::transport::{Prefixed, Stream, WriteTimeout, tune};

/// The time a stop waits for a connection to be handed over, which cannot be closed before that.
const UPGRADE_GRACE: Duration = Duration::from_secs(1);

/// Decides about a request, and runs its session after the returned answer has been written.
///
/// # Errors
///
/// The refusal to answer with, which has been counted.
pub(super) async fn upgrade(
    app: &App,
    parts: &mut Parts,
    peer_addr: Option<SocketAddr>,
    permit: impl FnOnce() -> Result<ConnectionPermit, Refusal>,
) -> Result<Response, Refusal> {
    match decide(app, parts, peer_addr, permit).await {
        Ok((on_upgrade, pending, permit)) => {
            let answer = pending.answer.to_response();
            // The session keeps the server, which ends when its last `App` is dropped.
            app.handle().tasks().spawn(run(on_upgrade, pending, permit, app.clone()));
            Ok(answer)
        }
        Err(refusal) => {
            app.inner.admission.note_refusal(&refusal, peer_addr);
            Err(refusal)
        }
    }
}

async fn decide(
    app: &App,
    parts: &mut Parts,
    peer_addr: Option<SocketAddr>,
    permit: impl FnOnce() -> Result<ConnectionPermit, Refusal>,
) -> Result<(OnUpgrade, Box<PendingSession>, ConnectionPermit), Refusal> {
    let on_upgrade = parts.extensions.remove::<OnUpgrade>();
    let mut pending = app.inner.admission.check(&view(parts), peer_addr)?;
    // Absent if the HTTP server that has read the request cannot hand over its connection.
    let on_upgrade = on_upgrade.ok_or_else(Refusal::upgrade_required)?;
    let permit = permit()?;
    app.inner.admission.run_application_checks(&mut pending).await?;
    Ok((on_upgrade, pending, permit))
}

async fn run(
    on_upgrade: OnUpgrade,
    pending: Box<PendingSession>,
    mut permit: ConnectionPermit,
    app: App,
) {
    // The client may leave, or not read the answer.
    let upgraded = timeout(pending.config.router.limits.handshake_timeout, on_upgrade);
    let Some(Ok(Ok(upgraded))) = unless_stopped(upgraded, app.handle()).await else { return };
    let mut session = begin(upgraded, *pending);
    permit.enter(Some(session.id()));
    session.run().await;
}

/// Awaits a connection. If the server stops meanwhile, it uses only a part of the time of the stop.
async fn unless_stopped<F: Future>(upgraded: F, server: &ServerHandle) -> Option<F::Output> {
    let mut upgraded = pin!(upgraded);
    let deadline = tokio::select! {
        biased;
        upgraded = &mut upgraded => return Some(upgraded),
        deadline = server.lifecycle().stopping() => deadline?,
    };
    let left = deadline.saturating_duration_since(Instant::now());
    timeout(UPGRADE_GRACE.min(left / 2), upgraded).await.ok()
}

fn begin(upgraded: Upgraded, pending: PendingSession) -> Session {
    let PendingSession { peer, config, .. } = pending;
    let upgraded = match own::<TcpStream>(upgraded).or_else(hosted) {
        Ok((stream, leftover)) => {
            tune(&stream);
            if let Ok(addr) = stream.peer_addr() {
                peer.note_peer_addr(addr);
            }
            let accepted = Accepted { peer, answer: None, leftover: &leftover };
            return Session::new(stream, accepted, config);
        }
        Err(upgraded) => upgraded,
    };
    let (stream, leftover): (Box<dyn Stream>, _) = match own::<Box<dyn Stream>>(upgraded) {
        Ok(own) => own,
        Err(upgraded) => (Box::new(TokioIo::new(upgraded)), Vec::new()),
    };
    let accepted = Accepted { peer, answer: None, leftover: &leftover };
    Session::new(stream, accepted, config)
}

/// Returns the stream of a connection that this server has accepted, and the bytes that were read
/// behind the request.
///
/// A session writes plain TCP faster than any other stream, and has its own deadlines.
fn own<S: Stream + 'static>(upgraded: Upgraded) -> Result<(S, Vec<u8>), Upgraded> {
    let parts = upgraded.downcast::<TokioIo<WriteTimeout<Prefixed<S>>>>()?;
    let (stream, unread) = parts.io.into_inner().into_inner().into_parts();
    Ok((stream, [&parts.read_buf[..], &unread].concat()))
}

/// Returns the same of a connection that `axum::serve` has accepted, which has another wrapper.
fn hosted(upgraded: Upgraded) -> Result<(TcpStream, Vec<u8>), Upgraded> {
    let parts = auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded)?;
    Ok((parts.io.into_inner(), parts.read_buf.to_vec()))
}
