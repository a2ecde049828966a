use std::mem;
use std::net::SocketAddr;

use tokio::time::{Instant, timeout_at};
use tracing::field::display;

use super::panics::{caught_future, refusal_for};
use super::refuse::{stopping, too_slow};
use super::{AdmissionControl, PendingSession};
use crate::handshake::{Refusal, Request, decode_params};
use crate::hub::PendingMember;
use crate::limits::deadline_after;
use crate::middleware::HandshakeRequest;
use crate::router::CompiledRouter;
use crate::session::{AcceptedPeer, SessionConfig};

/// The checks of the application that run before the 101. Most servers have none.
pub(super) struct ApplicationChecks {
    /// The request as middleware sees it.
    request: Option<HandshakeRequest>,
    /// The room of the path. Its check must allow the connection.
    room: Option<Box<str>>,
}

impl ApplicationChecks {
    /// Returns `None` if the application has no checks for the request.
    ///
    /// # Errors
    ///
    /// 400 if the path or the headers of the request cannot be read.
    pub(super) fn read(
        router: &CompiledRouter,
        request: &Request<'_>,
        params: &[(&str, &str)],
        peer_addr: Option<SocketAddr>,
    ) -> Result<Option<Box<Self>>, Refusal> {
        let read = || HandshakeRequest::read(request, params, peer_addr);
        let request = (!router.handshake.is_empty()).then(read).transpose()?;
        let room = match &router.room {
            Some(parameter) => {
                let params = decode_params(params)?;
                params.into_iter().find(|(name, _)| name == parameter).map(|(_, room)| room.into())
            }
            None => None,
        };
        let is_any = request.is_some() || room.is_some();
        Ok(is_any.then(|| Box::new(Self { request, room })))
    }

    async fn run(
        self: Box<Self>,
        accepted: &mut AcceptedPeer,
        config: &SessionConfig,
        deadline: Instant,
    ) -> Result<(), Refusal> {
        let Self { request, room } = *self;
        let AcceptedPeer::Peer(peer) = accepted else { return Ok(()) };
        if let Some(request) = request {
            let checked = timeout_at(deadline, config.router.handshake.run(request)).await;
            let Ok(context) = checked else {
                let peer = peer.addr.get().map(display);
                tracing::error!(peer, "middleware took too long for a handshake");
                return Err(too_slow());
            };
            peer.context = context.map_err(|error| refusal_for(&error))?;
        }
        if let Some(room) = room {
            let socket = config.socket(mem::take(peer));
            let namespace = &config.router.namespace;
            // The check may set the user, join rooms and keep the handle.
            let member = PendingMember::new(namespace, socket.clone());
            let Ok(allowed) = timeout_at(deadline, namespace.allow(&room, &socket)).await else {
                let (connection, namespace) = (socket.id(), socket.namespace());
                tracing::error!(%connection, namespace, room, "a room check took too long for a handshake");
                return Err(too_slow());
            };
            allowed.map_err(|error| refusal_for(&error))?;
            *accepted = AcceptedPeer::Member { member, room };
        }
        Ok(())
    }
}

impl AdmissionControl {
    /// Runs the checks of the application, within the time of a handshake.
    ///
    /// # Errors
    ///
    /// The first refusal, or 503 if the time is over or the server stops.
    pub(crate) async fn run_application_checks(
        &self,
        session: &mut PendingSession,
    ) -> Result<(), Refusal> {
        let Some(checks) = session.checks.take() else { return Ok(()) };
        let deadline = deadline_after(self.rules.limits.handshake_timeout);
        let run = checks.run(&mut session.peer, &session.config, deadline);
        let checked = tokio::select! {
            biased;
            checked = caught_future(run) => checked,
            _ = self.server.lifecycle().stopping() => return Err(stopping()),
        };
        match checked {
            Ok(checked) => checked,
            Err(panic) => Err(refusal_for(&panic)),
        }
    }
}
