//! A WebSocket that begins as a request which hyper has read.

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

use crate::admission::{self, Checked};
use crate::handshake::{Refusal, switching, view};
use crate::server::{App, ServerHandle};
use crate::session::{Accepted, AcceptedPeer, Session, SessionConfig};
use crate::shutdown::Place;
use crate::transport::{Prefixed, Stream, WriteTimeout, tune};

/// How long a stop waits for a connection to be handed over; without it nobody could close it.
const UPGRADE_GRACE: Duration = Duration::from_secs(1);

/// Decides about a request, and runs its session once the returned answer is written.
///
/// # Errors
///
/// The refusal to answer with; it is counted.
pub(super) async fn upgrade(
    app: &App,
    parts: &mut Parts,
    peer_addr: Option<SocketAddr>,
    place: impl FnOnce() -> Result<Place, Refusal>,
) -> Result<Response, Refusal> {
    match decide(app, parts, peer_addr, place).await {
        Ok((answer, admitted)) => {
            // The session owns the server, which ends when nobody does.
            app.tasks().spawn(admitted.run(app.clone()));
            Ok(answer)
        }
        Err(refusal) => {
            admission::note(&refusal, peer_addr, app);
            Err(refusal)
        }
    }
}

async fn decide(
    app: &App,
    parts: &mut Parts,
    peer_addr: Option<SocketAddr>,
    place: impl FnOnce() -> Result<Place, Refusal>,
) -> Result<(Response, Admitted), Refusal> {
    let on_upgrade = parts.extensions.remove::<OnUpgrade>();
    let Checked { upgrade, router, peer, questions } =
        admission::check(&view(parts), peer_addr, app)?;
    // Absent when whoever read the request cannot hand over its connection.
    let on_upgrade = on_upgrade.ok_or_else(Refusal::upgrade_required)?;
    let place = place()?;
    let answer = switching(&upgrade, peer.subprotocol.as_deref());
    let (mut newcomer, setting) = (AcceptedPeer::Peer(peer), app.setting(router));
    if let Some(questions) = questions {
        questions.ask(&mut newcomer, &setting, app).await?;
    }
    Ok((answer, Admitted { on_upgrade, newcomer, setting, place }))
}

/// A request that was let in, before its connection is handed over.
struct Admitted {
    on_upgrade: OnUpgrade,
    newcomer: AcceptedPeer,
    setting: SessionConfig,
    place: Place,
}

impl Admitted {
    async fn run(self, app: App) {
        let Self { on_upgrade, newcomer, setting, mut place } = self;
        // The client may leave, or not read the answer.
        let upgraded = timeout(setting.limits.handshake_timeout, on_upgrade);
        let Some(Ok(Ok(upgraded))) = unless_stopped(upgraded, app.handle()).await else { return };
        let mut session = session(upgraded, newcomer, setting);
        place.enter(Some(session.id()));
        session.run().await;
    }
}

/// Awaits a connection; if the server stops meanwhile, not for all the time the stop has.
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

fn session(upgraded: Upgraded, newcomer: AcceptedPeer, setting: SessionConfig) -> Session {
    let greeting = Vec::new();
    let upgraded = match own::<TcpStream>(upgraded).or_else(hosted) {
        Ok((stream, leftover)) => {
            tune(&stream);
            if let Ok(addr) = stream.peer_addr() {
                newcomer.note_peer_addr(addr);
            }
            let accepted = Accepted { peer: newcomer, greeting, leftover: &leftover };
            return Session::tcp(stream, accepted, setting);
        }
        Err(upgraded) => upgraded,
    };
    let (stream, leftover): (Box<dyn Stream>, _) = match own::<Box<dyn Stream>>(upgraded) {
        Ok(own) => own,
        Err(upgraded) => (Box::new(TokioIo::new(upgraded)), Vec::new()),
    };
    Session::stream(stream, Accepted { peer: newcomer, greeting, leftover: &leftover }, setting)
}

/// The stream of a connection this server has accepted, and what was read of it behind the request.
///
/// A session writes plain TCP faster than any stream, and has deadlines of its own.
fn own<S: Stream + 'static>(upgraded: Upgraded) -> Result<(S, Vec<u8>), Upgraded> {
    let parts = upgraded.downcast::<TokioIo<WriteTimeout<Prefixed<S>>>>()?;
    let (stream, unread) = parts.io.into_inner().into_inner().into_parts();
    Ok((stream, [&parts.read_buf[..], &unread].concat()))
}

/// The same of a connection that `axum::serve` has accepted; it has a wrapper of its own.
fn hosted(upgraded: Upgraded) -> Result<(TcpStream, Vec<u8>), Upgraded> {
    let parts = auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded)?;
    Ok((parts.io.into_inner(), parts.read_buf.to_vec()))
}
