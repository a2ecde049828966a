//! A WebSocket that begins as a request which hyper has read.

use std::net::SocketAddr;

use axum::http::request::Parts;
use axum::response::Response;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::server::door::Checked;
use crate::server::handle::Place;
use crate::server::{App, door};
use crate::session::{Accepted, Newcomer, Session, Setting};
use crate::transport::{Patient, Prefixed, Refusal, Stream, switching, tune, view};

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
            app.tasks().spawn(admitted.run());
            Ok(answer)
        }
        Err(refusal) => {
            door::note(&refusal, app);
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
    let Checked { upgrade, router, peer, questions } = door::check(&view(parts), peer_addr, app)?;
    // Absent when whoever read the request cannot hand over its connection.
    let on_upgrade = on_upgrade.ok_or_else(Refusal::upgrade_required)?;
    let place = place()?;
    let answer = switching(&upgrade, peer.subprotocol.as_deref());
    let (mut newcomer, setting) = (Newcomer::Peer(peer), app.setting(router));
    if let Some(questions) = questions {
        questions.ask(&mut newcomer, &setting, app).await?;
    }
    Ok((answer, Admitted { on_upgrade, newcomer, setting, place }))
}

/// A request that was let in, before its connection is handed over.
struct Admitted {
    on_upgrade: OnUpgrade,
    newcomer: Newcomer,
    setting: Setting,
    place: Place,
}

impl Admitted {
    async fn run(self) {
        let Self { on_upgrade, newcomer, setting, place: _place } = self;
        // The peer may leave, or not read the answer.
        let Ok(Ok(upgraded)) = timeout(setting.limits.handshake_timeout, on_upgrade).await else {
            return;
        };
        let mut session = session(upgraded, newcomer, setting);
        session.run().await;
    }
}

fn session(upgraded: Upgraded, mut newcomer: Newcomer, setting: Setting) -> Session {
    let greeting = Vec::new();
    let upgraded = match own::<TcpStream>(upgraded).or_else(hosted) {
        Ok((stream, leftover)) => {
            tune(&stream);
            if let Newcomer::Peer(peer) = &mut newcomer {
                peer.addr = peer.addr.or_else(|| stream.peer_addr().ok());
            }
            let accepted = Accepted { newcomer, greeting, leftover: &leftover };
            return Session::tcp(stream, accepted, setting);
        }
        Err(upgraded) => upgraded,
    };
    let (stream, leftover): (Box<dyn Stream>, _) = match own::<Box<dyn Stream>>(upgraded) {
        Ok(own) => own,
        Err(upgraded) => (Box::new(TokioIo::new(upgraded)), Vec::new()),
    };
    Session::stream(stream, Accepted { newcomer, greeting, leftover: &leftover }, setting)
}

/// The stream of a connection this server has accepted, and what was read of it behind the request.
///
/// A session writes plain TCP faster than any stream, and has deadlines of its own.
fn own<S: Stream + 'static>(upgraded: Upgraded) -> Result<(S, Vec<u8>), Upgraded> {
    let parts = upgraded.downcast::<TokioIo<Patient<Prefixed<S>>>>()?;
    let (stream, unread) = parts.io.into_inner().into_inner().into_parts();
    Ok((stream, [&parts.read_buf[..], &unread].concat()))
}

/// The same of a connection that `axum::serve` has accepted; it has a wrapper of its own.
fn hosted(upgraded: Upgraded) -> Result<(TcpStream, Vec<u8>), Upgraded> {
    let parts = auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded)?;
    Ok((parts.io.into_inner(), parts.read_buf.to_vec()))
}
