use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::application_checks::ApplicationChecks;
use super::panics::{caught, refusal_for};
use super::refuse::stopping;
use super::{AdmissionControl, Admitted, PendingSession, pattern};
#[cfg(feature = "axum")]
use crate::handshake::is_websocket_request;
use crate::handshake::{Refusal, Request, RequestHead, accept_upgrade};
use crate::session::{AcceptedPeer, SessionConfig};
use crate::websocket::{ContextMap, Peer};

impl AdmissionControl {
    /// Decides about a request as far as the server can do it alone.
    pub(super) fn decide(
        &self,
        head: &RequestHead,
        request: &Request<'_>,
        peer_addr: Option<SocketAddr>,
    ) -> Result<Admitted, Refusal> {
        let answering = |refusal: Refusal| refusal.answering(request.method);
        let take_permit = || self.server.take_permit(self.rules.limits.connections);
        #[cfg(feature = "axum")]
        if self.is_for_application(request) {
            let permit = take_permit().map_err(|why| answering(why.into()))?;
            return Ok(Admitted::Http(head.bytes().to_vec(), permit));
        }
        let mut session = self.check(request, peer_addr).map_err(answering)?;
        session.leftover = head.leftover().to_vec();
        let permit = take_permit().map_err(|why| answering(why.into()))?;
        Ok(Admitted::WebSocket(session, permit))
    }

    /// Returns whether the HTTP application answers a request.
    #[cfg(feature = "axum")]
    pub(crate) fn is_for_application(&self, request: &Request<'_>) -> bool {
        self.rules.has_http && !is_websocket_request(request)
    }

    /// Runs every check of the server except the one for capacity, which comes next.
    ///
    /// The order of the checks is a part of the behavior: a request that fails two of them gets the
    /// answer of the first.
    pub(crate) fn check(
        &self,
        request: &Request<'_>,
        peer_addr: Option<SocketAddr>,
    ) -> Result<Box<PendingSession>, Refusal> {
        let path = pattern::canonical(request.path());
        let (router, params) = self.rules.paths.find(&path).ok_or_else(Refusal::not_found)?;
        let answer = accept_upgrade(request, &self.rules.origins, &router.subprotocols)?;
        // The result is returned last: a request that connect handlers cannot take and a stop of
        // the server come first.
        let checks = ApplicationChecks::read(router, request, &params, peer_addr);
        // Connect handlers may take the path and the query as types of the application.
        let info = caught(|| router.request_needs.read(request, &params));
        let peer = Peer {
            addr: peer_addr.map_or_else(OnceLock::new, OnceLock::from),
            request: info.map_err(|error| refusal_for(&error))??,
            subprotocol: answer.subprotocol.clone(),
            context: ContextMap::default(),
        };
        if self.server.is_shutting_down() {
            return Err(stopping());
        }
        let config =
            SessionConfig { router: Arc::clone(router), unfinished: Arc::clone(&self.unfinished) };
        let (peer, checks, leftover) = (AcceptedPeer::Peer(peer), checks?, Vec::new());
        Ok(Box::new(PendingSession { answer, leftover, peer, config, checks }))
    }
}
