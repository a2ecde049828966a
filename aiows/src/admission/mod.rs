//! What happens to a connection before it is a WebSocket.

mod application_checks;
pub(crate) mod half_open;
pub(crate) mod panics;
pub(crate) mod paths;
mod pattern;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};

use self::application_checks::Questions;
use self::half_open::HalfOpen;
use crate::handshake::{
    Refusal, Request, RequestHead, Upgrade, accepted, check_upgrade, read_request_head,
};
use crate::router::CompiledRouter;
use crate::server::App;
#[cfg(feature = "axum")]
use crate::server::http;
use crate::session::{Accepted, AcceptedPeer, Session, SessionConfig};
use crate::shutdown::Place;
use crate::transport::{Stream, tune};
use crate::websocket::{ContextMap, Peer};

/// After this a refused client may try again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long a refused client may take to read the answer and leave.
const REFUSAL_GRACE: Duration = Duration::from_secs(1);

/// What is read of a refused peer before its socket is dropped, in bytes.
const MAX_DISCARDED: usize = 256 * 1024;

/// What a request that was let in asks for.
enum Wanted {
    /// An answer of the axum application.
    #[cfg(feature = "axum")]
    Http(Box<RequestHead>, Place),
    /// Boxed like the other, so that the task of a session keeps no room for them.
    WebSocket(Box<Admitted>),
}

/// A request for a WebSocket that was let in.
struct Admitted {
    head: RequestHead,
    greeting: Vec<u8>,
    setting: SessionConfig,
    newcomer: AcceptedPeer,
    place: Place,
}

impl Wanted {
    async fn ask(mut self, questions: Box<Questions>, app: &App) -> Result<Self, Refusal> {
        #[cfg_attr(
            not(feature = "axum"),
            expect(irrefutable_let_patterns, reason = "has an arm more")
        )]
        if let Self::WebSocket(admitted) = &mut self {
            questions.ask(&mut admitted.newcomer, &admitted.setting, app).await?;
        }
        Ok(self)
    }
}

// Not async, so that the task of a connection keeps no room for what its session is made of.
impl Admitted {
    fn over_tcp(self: Box<Self>, stream: TcpStream) -> (Place, Session) {
        let Self { head, greeting, setting, newcomer, place } = *self;
        let accepted = Accepted { peer: newcomer, greeting, leftover: head.leftover() };
        (place, Session::tcp(stream, accepted, setting))
    }

    fn over_stream(self: Box<Self>, stream: Box<dyn Stream>) -> (Place, Session) {
        let Self { head, greeting, setting, newcomer, place } = *self;
        let accepted = Accepted { peer: newcomer, greeting, leftover: head.leftover() };
        (place, Session::stream(stream, accepted, setting))
    }
}

pub(crate) async fn admit_tcp(
    mut stream: TcpStream,
    peer_addr: SocketAddr,
    half_open: HalfOpen,
    app: App,
) {
    tune(&stream);
    // Boxed, so that a session keeps no room for its handshake.
    let admission = Box::pin(admit(&mut stream, Some(peer_addr), half_open, &app));
    #[cfg_attr(not(feature = "axum"), expect(clippy::manual_let_else, reason = "has an arm more"))]
    let admitted = match admission.await {
        #[cfg(feature = "axum")]
        Some(Wanted::Http(head, place)) => {
            // Boxed, because it is larger than all a WebSocket needs.
            return Box::pin(http::serve(stream, Some(peer_addr), *head, place, app)).await;
        }
        Some(Wanted::WebSocket(admitted)) => admitted,
        None => return,
    };
    let (mut place, mut session) = admitted.over_tcp(stream);
    place.enter(Some(session.id()));
    session.run().await;
}

pub(crate) async fn admit_stream(
    mut stream: Box<dyn Stream>,
    peer_addr: Option<SocketAddr>,
    half_open: HalfOpen,
    app: App,
) {
    let admission = Box::pin(admit(&mut stream, peer_addr, half_open, &app));
    #[cfg_attr(not(feature = "axum"), expect(clippy::manual_let_else, reason = "has an arm more"))]
    let admitted = match admission.await {
        #[cfg(feature = "axum")]
        Some(Wanted::Http(head, place)) => {
            return Box::pin(http::serve(stream, peer_addr, *head, place, app)).await;
        }
        Some(Wanted::WebSocket(admitted)) => admitted,
        None => return,
    };
    let (mut place, mut session) = admitted.over_stream(stream);
    place.enter(Some(session.id()));
    session.run().await;
}

/// Reads the request and decides; a refused one was answered when this returns.
async fn admit<S>(
    stream: &mut S,
    peer_addr: Option<SocketAddr>,
    half_open: HalfOpen,
    app: &App,
) -> Option<Wanted>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let head = read_request_head(stream, app.limits(), || half_open.end_silence());
    let decided = tokio::select! {
        biased;
        read = timeout_at(half_open.deadline(), head) => match read {
            Ok(Ok(read)) => read.and_then(|head| decide(head, peer_addr, app)),
            // A peer that is gone or says nothing has not asked for an answer.
            Ok(Err(_)) | Err(_) => return None,
        },
        () = half_open.must_leave() => return None,
        _ = app.handle().lifecycle().stopping() => Err(stopping()),
    };
    let answered = match decided {
        Ok((wanted, None)) => Ok(wanted),
        Ok((wanted, Some(questions))) => Box::pin(wanted.ask(questions, app)).await,
        Err(refusal) => Err(refusal),
    };
    match answered {
        Ok(wanted) => Some(wanted),
        Err(refusal) => {
            note(&refusal, peer_addr, app);
            // The request is decided: the next one need not wait until this client has left.
            drop(half_open);
            // Boxed, so that admitted connections keep no room for it.
            Box::pin(refuse(stream, &refusal, app)).await;
            None
        }
    }
}

pub(crate) fn note(refusal: &Refusal, peer_addr: Option<SocketAddr>, app: &App) {
    app.handle().count_rejected();
    tracing::debug!(
        peer = peer_addr.map(display),
        status = refusal.status().as_u16(),
        "request refused"
    );
}

pub(crate) fn stopping() -> Refusal {
    Refusal::unavailable("the server is stopping", RETRY_AFTER)
}

/// Decides what the server itself can decide; the rest is for its middleware.
fn decide(
    head: RequestHead,
    peer_addr: Option<SocketAddr>,
    app: &App,
) -> Result<(Wanted, Option<Box<Questions>>), Refusal> {
    let request = head.parse(app.limits())?;
    let answering = |refusal: Refusal| refusal.answering(request.method);
    #[cfg(feature = "axum")]
    if http::is_for_application(&request, app) {
        let place = take_place(app).map_err(answering)?;
        return Ok((Wanted::Http(Box::new(head), place), None));
    }
    let Checked { upgrade, router, peer, questions } =
        check(&request, peer_addr, app).map_err(answering)?;
    let place = take_place(app).map_err(answering)?;
    let greeting = accepted(&upgrade, peer.subprotocol.as_deref());
    let setting = app.setting(router);
    let newcomer = AcceptedPeer::Peer(peer);
    let admitted = Admitted { head, greeting, setting, newcomer, place };
    Ok((Wanted::WebSocket(Box::new(admitted)), questions))
}

/// A request for a WebSocket that nothing speaks against.
pub(crate) struct Checked<'a> {
    pub(crate) upgrade: Upgrade,
    pub(crate) router: &'a Arc<CompiledRouter>,
    pub(crate) peer: Peer,
    /// What the application has to be asked; nothing where it does not want to be.
    pub(crate) questions: Option<Box<Questions>>,
}

/// Everything that is asked of a request for a WebSocket, but a place and the application's opinion.
pub(crate) fn check<'a>(
    request: &Request<'_>,
    peer_addr: Option<SocketAddr>,
    app: &'a App,
) -> Result<Checked<'a>, Refusal> {
    let path = pattern::canonical(request.path());
    let (router, params) = app.router_for(&path).ok_or_else(Refusal::not_found)?;
    let upgrade = check_upgrade(request)?;
    app.origins().check(request)?;
    // Connect handlers may take the path and the query as types of the application.
    let info = panics::caught(|| router.request_needs.read(request, &params));
    let peer = Peer {
        addr: peer_addr.map_or_else(OnceLock::new, OnceLock::from),
        request: info.map_err(|error| panics::refusal(&error))??,
        subprotocol: router.subprotocols.choose(request),
        context: ContextMap::default(),
    };
    if app.handle().is_shutting_down() {
        return Err(stopping());
    }
    let questions = Questions::of(router, request, &params, peer_addr)?.map(Box::new);
    Ok(Checked { upgrade, router, peer, questions })
}

pub(crate) fn take_place(app: &App) -> Result<Place, Refusal> {
    let place = app.handle().take_place(app.limits().connections);
    let place =
        place.ok_or_else(|| Refusal::unavailable("the server has no room left", RETRY_AFTER))?;
    // Checked after the place is counted, so that a stop either waits for it or is seen here.
    if app.handle().is_shutting_down() {
        return Err(stopping());
    }
    Ok(place)
}

/// Answers a refused request, and gives the client a moment to read that and to leave.
async fn refuse<S>(stream: &mut S, refusal: &Refusal, app: &App)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut answer = pin!(answer(stream, refusal));
    let Some(_lingering) = app.linger() else {
        // Too many linger already: what the socket takes at once has to do.
        answer.as_mut().now_or_never();
        return;
    };
    tokio::select! {
        biased;
        _ = timeout(REFUSAL_GRACE, answer) => {}
        // A stop is not forced for it, and does not wait for it beyond the deadline.
        () = app.handle().lifecycle().cutting() => {}
    }
}

async fn answer<S>(stream: &mut S, refusal: &Refusal) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
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
