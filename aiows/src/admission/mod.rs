//! Decides about connections, from an accepted stream to the 101 or a refusal.
//!
//! Admission reads an upgrade request from a stream and checks it against the rules of the server.
//! It returns a value: a WebSocket for a session, or a request for the HTTP application. A refused
//! request has been answered by then. Admission runs neither sessions nor HTTP.
//!
//! - `rules.rs`: [`AdmissionRules`], the rules of a server, frozen at its build
//! - `paths.rs`, `pattern.rs`: the paths of a server, and the form in which paths are compared
//! - `permits.rs`, `half_open.rs`: the capacity of a server for connections and handshakes
//! - `check.rs`: the checks of the server, in their order
//! - `application_checks.rs`: the checks of middleware and rooms, which run last
//! - `panics.rs`: confines a panic of the application to its request
//! - `refuse.rs`: answers a refused request

mod application_checks;
mod capacity;
mod check;
mod half_open;
mod panics;
mod paths;
mod pattern;
mod refuse;
mod rules;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::time::timeout_at;

use self::application_checks::ApplicationChecks;
use self::capacity::Permits;
pub(crate) use self::half_open::HalfOpen;
#[cfg(feature = "axum")]
pub(crate) use self::panics::{caught_future, refusal_for};
pub(crate) use self::paths::Paths;
pub(crate) use self::rules::AdmissionRules;
use crate::handshake::{Refusal, RequestHead, SwitchingProtocols, read_request_head};
use crate::session::{AcceptedPeer, SessionConfig, UnfinishedTotal};
use crate::shutdown::{ConnectionPermit, ServerHandle};
use crate::transport::Stream;

/// The bytes of the first read. The request head of a browser fits.
const FIRST_READ: usize = 2048;

/// Admits connections by the rules of a server and while it has capacity.
pub(crate) struct AdmissionControl {
    pub(crate) rules: AdmissionRules,
    permits: Permits,
    /// Signals the stop of the server and counts refused requests.
    server: ServerHandle,
    /// The unfinished messages of all connections.
    unfinished: Arc<UnfinishedTotal>,
}

/// A connection that was admitted.
pub(crate) enum Admitted {
    /// A request for the HTTP application: the bytes that were read of it.
    #[cfg(feature = "axum")]
    Http(Vec<u8>, ConnectionPermit),
    /// Boxed, so that the task of a session keeps no space for it.
    WebSocket(Box<PendingSession>, ConnectionPermit),
}

/// A WebSocket that was admitted, before its session begins.
pub(crate) struct PendingSession {
    pub(crate) answer: SwitchingProtocols,
    /// The bytes that the client has sent behind its request.
    pub(crate) leftover: Vec<u8>,
    pub(crate) peer: AcceptedPeer,
    pub(crate) config: SessionConfig,
    /// The application checks that have not run yet.
    checks: Option<Box<ApplicationChecks>>,
}

impl AdmissionControl {
    pub(crate) fn new(rules: AdmissionRules, server: ServerHandle) -> Self {
        Self { permits: Permits::new(&rules.limits), rules, server, unfinished: Arc::default() }
    }

    /// Waits until a socket that has just been accepted may begin its handshake.
    pub(crate) async fn half_open(&self) -> HalfOpen {
        self.permits.handshakes.enter(self.rules.limits.handshake_timeout).await
    }

    /// Returns a handshake that is not counted, for a stream of the application.
    pub(crate) fn uncounted(&self) -> HalfOpen {
        HalfOpen::uncounted(self.rules.limits.handshake_timeout)
    }

    /// Reads a request and decides about it. Returns `None` if the client has left, or if the
    /// request was refused and answered.
    pub(crate) async fn admit<S: Stream>(
        &self,
        stream: &mut S,
        peer_addr: Option<SocketAddr>,
        half_open: HalfOpen,
    ) -> Option<Admitted> {
        let decided = tokio::select! {
            biased;
            read = timeout_at(half_open.deadline(), self.read_head(stream, &half_open)) => {
                // A client that has left or is silent gets no answer.
                read.ok()??.and_then(|head| {
                    self.decide(&head, &head.parse(&self.rules.limits)?, peer_addr)
                })
            }
            () = half_open.must_leave() => return None,
            _ = self.server.lifecycle().stopping() => Err(refuse::stopping()),
        };
        let checked = match decided {
            Ok(Admitted::WebSocket(mut session, permit)) if session.checks.is_some() => {
                // Boxed, because most servers have no such checks.
                let checked = Box::pin(self.run_application_checks(&mut session)).await;
                checked.map(|()| Admitted::WebSocket(session, permit))
            }
            decided => decided,
        };
        let Err(refusal) = &checked else { return checked.ok() };
        self.note_refusal(refusal, peer_addr);
        // The request is decided, so the next client need not wait until this one has left.
        drop(half_open);
        // Boxed, so that admitted connections keep no space for it.
        Box::pin(self.send_refusal(stream, refusal)).await;
        None
    }

    /// Returns `None` if the client has left.
    async fn read_head<S: Stream>(
        &self,
        stream: &mut S,
        half_open: &HalfOpen,
    ) -> Option<Result<RequestHead, Refusal>> {
        let mut bytes = Vec::with_capacity(FIRST_READ);
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        half_open.end_silence();
        read_request_head(stream, bytes, &self.rules.limits).await.ok()
    }
}
