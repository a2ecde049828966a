use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::application_checks::ApplicationChecks;
use super::panics::{caught, refusal_for};
use super::refuse::{no_capacity, stopping};
use super::{AdmissionControl, Admitted, PendingSession, pattern};
#[cfg(feature = "axum")]
use crate::handshake::asks_for_websocket;
use crate::handshake::{Refusal, Request, RequestHead, accept_upgrade};
use crate::session::{AcceptedPeer, SessionConfig};
use crate::shutdown::ConnectionPermit;
use crate::websocket::{ContextMap, Peer};

impl AdmissionControl {
    /// Decides about a request as far as the server can do it alone.
    pub(super) fn decide(
        &self,
        head: RequestHead,
        peer_addr: Option<SocketAddr>,
    ) -> Result<Admitted, Refusal> {
        let request = head.parse(&self.rules.limits)?;
        let answering = |refusal: Refusal| refusal.answering(request.method);
        #[cfg(feature = "axum")]
        if self.is_for_application(&request) {
            let permit = self.connection_permit().map_err(answering)?;
            return Ok(Admitted::Http(Box::new(head), permit));
        }
        let permit = || self.connection_permit();
        let mut session = self.check(&request, peer_addr, permit).map_err(answering)?;
        session.leftover = head.leftover().to_vec();
        Ok(Admitted::WebSocket(session))
    }

    /// Returns whether the HTTP application answers a request.
    #[cfg(feature = "axum")]
    pub(crate) fn is_for_application(&self, request: &Request<'_>) -> bool {
        self.rules.has_http && !asks_for_websocket(request)
    }

    /// Runs every check of the server and takes a permit at last.
    ///
    /// The order of the checks is a part of the behavior: a request that fails two of them gets the
    /// answer of the first.
    pub(crate) fn check(
        &self,
        request: &Request<'_>,
        peer_addr: Option<SocketAddr>,
        permit: impl FnOnce() -> Result<ConnectionPermit, Refusal>,
    ) -> Result<Box<PendingSession>, Refusal> {
        let path = pattern::canonical(request.path());
        let (router, params) = self.rules.paths.find(&path).ok_or_else(Refusal::not_found)?;
        let answer = accept_upgrade(request, &self.rules.origins, &router.subprotocols)?;
        // Connect handlers may take the path and the query as types of the application.
        let info = caught(|| router.request_needs.read(request, &params));
        let peer = Peer {
            addr: peer_addr.map_or_else(OnceLock::new, OnceLock::from),
            request: info.map_err(|error| refusal_for(&error))??,
            subprotocol: answer.subprotocol.clone(),
            context: ContextMap::default(),
        };
        let checks = ApplicationChecks::read(router, request, &params, peer_addr);
        // A stop is reported before a request that the application checks cannot read.
        if self.server.is_shutting_down() {
            return Err(stopping());
        }
        let config = SessionConfig {
            router: Arc::clone(router),
            limits: Arc::clone(&router.limits),
            unfinished: Arc::clone(&self.unfinished),
        };
        let (peer, checks, permit) = (AcceptedPeer::Peer(peer), checks?, permit()?);
        let leftover = Vec::new();
        Ok(Box::new(PendingSession { answer, leftover, peer, config, permit, checks }))
    }

    /// Takes a permit for a connection, if there is one and the server is not stopping.
    pub(crate) fn connection_permit(&self) -> Result<ConnectionPermit, Refusal> {
        let permit = self.permits.connections.take(self.rules.limits.connections);
        let permit = permit.ok_or_else(no_capacity)?;
        // Checked after the permit is counted, so that a stop either waits for it or is seen here.
        match self.server.is_shutting_down() {
            true => Err(stopping()),
            false => Ok(permit),
        }
    }
}
