//! What happens to a connection before it is a WebSocket.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::App;
use super::handle::Place;
use crate::session::{Accepted, Session, Setting};
use crate::transport::{Refusal, RequestHead, Stream, accepted, check_upgrade, read_request_head};
use crate::websocket::Peer;

/// Seconds after which a refused client may try again.
const RETRY_AFTER: u64 = 1;

/// How long a refused peer may take to read the answer and leave.
const REFUSAL_GRACE: Duration = Duration::from_secs(1);

/// What is read of a refused peer before its socket is dropped, in bytes.
const MAX_DISCARDED: usize = 256 * 1024;

/// A request that was let in.
struct Admitted {
    head: RequestHead,
    greeting: Vec<u8>,
    setting: Setting,
    peer: Peer,
    _place: Place,
}

pub(super) async fn admit_tcp(mut stream: TcpStream, peer: SocketAddr, app: App) {
    // Small messages are to leave at once; a socket without the option still works.
    let _ = stream.set_nodelay(true);
    let Some(admitted) = admit(&mut stream, &app).await else {
        return;
    };
    let Admitted { head, greeting, setting, peer: known, _place } = admitted;
    let peer = Peer { addr: Some(peer), ..known };
    let accepted = Accepted { peer, greeting, leftover: head.leftover() };
    let session = Session::tcp(stream, accepted, setting);
    drop(head);
    session.run().await;
}

pub(super) async fn admit_stream(mut stream: Box<dyn Stream>, app: App) {
    let Some(admitted) = admit(&mut stream, &app).await else {
        return;
    };
    let Admitted { head, greeting, setting, peer, _place } = admitted;
    let accepted = Accepted { peer, greeting, leftover: head.leftover() };
    let session = Session::stream(stream, accepted, setting);
    drop(head);
    session.run().await;
}

/// Reads the request and decides; a refused one was answered when this returns.
async fn admit<S>(stream: &mut S, app: &App) -> Option<Admitted>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let decided = tokio::select! {
        biased;
        read = timeout(app.limits().handshake_timeout, read_request_head(stream, app.limits())) => match read {
            Ok(Ok(read)) => read.and_then(|head| decide(head, app)),
            // A peer that is gone or says nothing has not asked for an answer.
            Ok(Err(_)) | Err(_) => return None,
        },
        _ = app.handle().stopping() => Err(stopping()),
    };
    match decided {
        Ok(admitted) => Some(admitted),
        Err(refusal) => {
            app.handle().count_rejected();
            tracing::debug!(status = refusal.status(), "request refused");
            // A peer that does not read its refusal, or does not leave, is not waited for long.
            let _ = timeout(REFUSAL_GRACE, refuse(stream, &refusal)).await;
            None
        }
    }
}

fn stopping() -> Refusal {
    Refusal::unavailable("the server is stopping", RETRY_AFTER)
}

fn decide(head: RequestHead, app: &App) -> Result<Admitted, Refusal> {
    let request = head.parse(app.limits())?;
    let (router, params) = app.router_for(request.path()).ok_or_else(Refusal::not_found)?;
    let upgrade = check_upgrade(&request)?;
    app.origins().check(&request)?;
    let peer = Peer {
        request: router.asked.read(&request, &params)?,
        subprotocol: app.subprotocols().choose(&request),
        ..Peer::default()
    };
    if app.handle().is_shutting_down() {
        return Err(stopping());
    }
    let place = app
        .handle()
        .take_place(app.limits().connections)
        .ok_or_else(|| Refusal::unavailable("the server has no room left", RETRY_AFTER))?;
    let (greeting, setting) =
        (accepted(&upgrade, peer.subprotocol.as_deref()), app.setting(router));
    Ok(Admitted { head, greeting, setting, peer, _place: place })
}

async fn refuse<S>(stream: &mut S, refusal: &Refusal) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&refusal.to_bytes()).await?;
    stream.shutdown().await?;
    // Dropping a socket with unread bytes resets it, and the peer would lose the answer.
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
