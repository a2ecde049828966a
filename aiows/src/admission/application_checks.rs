//! What the application is asked about a request that the server itself would accept.

use std::mem;
use std::net::SocketAddr;

use tokio::time::{Instant, timeout_at};
use tracing::field::display;

use super::panics::{self, caught_future};
use super::{RETRY_AFTER, stopping};
use crate::error::{HandlerError, Result};
use crate::handshake::{Refusal, Request, decode_params};
use crate::hub::PendingMember;
use crate::limits::deadline_after;
use crate::middleware::HandshakeRequest;
use crate::router::CompiledRouter;
use crate::server::App;
use crate::session::{AcceptedPeer, SessionConfig};

/// Application checks that still have to run before the 101; most servers have none.
pub(crate) struct Questions {
    /// For the middleware.
    asked: Option<HandshakeRequest>,
    /// The room that is to be joined.
    room: Option<Box<str>>,
}

impl Questions {
    /// # Errors
    ///
    /// 400 for a request whose path or headers cannot be read.
    pub(crate) fn of(
        router: &CompiledRouter,
        request: &Request<'_>,
        params: &[(&str, &str)],
        peer_addr: Option<SocketAddr>,
    ) -> Result<Option<Self>, Refusal> {
        let asks = !router.handshake.is_empty();
        let asked = asks.then(|| HandshakeRequest::read(request, params, peer_addr)).transpose()?;
        let room = match &router.room {
            Some(parameter) => {
                let params = decode_params(params)?;
                params.into_iter().find(|(name, _)| name == parameter).map(|(_, room)| room.into())
            }
            None => None,
        };
        let is_any = asked.is_some() || room.is_some();
        Ok(is_any.then_some(Self { asked, room }))
    }

    /// Asks everybody, within the time of a handshake.
    ///
    /// # Errors
    ///
    /// The first refusal; 503 when the time is up or the server stops.
    pub(crate) async fn ask(
        self: Box<Self>,
        newcomer: &mut AcceptedPeer,
        setting: &SessionConfig,
        app: &App,
    ) -> Result<(), Refusal> {
        let deadline = deadline_after(app.limits().handshake_timeout);
        let asking = caught_future(self.ask_all(newcomer, setting, deadline));
        let answer = tokio::select! {
            biased;
            answer = asking => answer,
            _ = app.handle().lifecycle().stopping() => return Err(stopping()),
        };
        match answer {
            Ok(Ok(Some(()))) => Ok(()),
            Ok(Ok(None)) => Err(Refusal::unavailable("the server took too long", RETRY_AFTER)),
            Ok(Err(error)) | Err(error) => Err(panics::refusal(&error)),
        }
    }

    /// `None` if the time is up.
    async fn ask_all(
        self: Box<Self>,
        newcomer: &mut AcceptedPeer,
        setting: &SessionConfig,
        deadline: Instant,
    ) -> Result<Option<()>, HandlerError> {
        let Self { asked, room } = *self;
        let AcceptedPeer::Peer(peer) = newcomer else { return Ok(Some(())) };
        if let Some(asked) = asked {
            let Ok(context) = timeout_at(deadline, setting.router.handshake.ask(asked)).await
            else {
                let peer = peer.addr.get().map(display);
                tracing::error!(peer, "middleware took too long for a handshake");
                return Ok(None);
            };
            peer.context = context?;
        }
        if let Some(room) = room {
            let socket = setting.socket(mem::take(peer));
            let namespace = &setting.router.namespace;
            // The check may log in, join, and keep the handle.
            let member = PendingMember::new(namespace, socket.clone());
            let Ok(allowed) = timeout_at(deadline, namespace.allow(&room, &socket)).await else {
                let (connection, namespace) = (socket.id(), socket.namespace());
                tracing::error!(%connection, namespace, room, "a room check took too long for a handshake");
                return Ok(None);
            };
            allowed?;
            *newcomer = AcceptedPeer::Member { member, room };
        }
        Ok(Some(()))
    }
}
