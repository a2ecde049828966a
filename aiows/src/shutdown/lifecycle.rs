use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The phase of a server between its build and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ServerPhase {
    /// No connection has been accepted yet, so a stop need not wait.
    Built,
    /// Connections are accepted, and the drain task waits for the stop.
    Running,
    /// The drain task closes the connections and cuts them at the deadline.
    Stopping {
        deadline: Instant,
    },
    /// The handlers or pages of every connection that is left await the stop.
    Drained {
        deadline: Instant,
    },
    /// The deadline has passed: every connection is cut.
    Cut,
    Stopped(Ending),
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every connection ended by itself.
    Orderly,
    /// Connections were cut.
    Forced,
}

#[derive(Clone, Debug)]
struct State {
    phase: ServerPhase,
    /// Set when the server begins to listen, and kept after its end.
    addresses: Option<Arc<[SocketAddr]>>,
}

/// The phase of a server as a value that tasks can wait on: the stop signal of every connection.
#[derive(Debug)]
pub(crate) struct ServerLifecycle {
    state: watch::Sender<State>,
}

impl ServerPhase {
    fn is_over(self) -> bool {
        !matches!(self, Self::Built | Self::Running)
    }

    fn is_cut(self) -> bool {
        matches!(self, Self::Cut | Self::Stopped(_))
    }

    fn deadline(self) -> Option<Instant> {
        match self {
            Self::Stopping { deadline } | Self::Drained { deadline } => Some(deadline),
            Self::Built | Self::Running | Self::Cut | Self::Stopped(_) => None,
        }
    }
}

impl Default for ServerLifecycle {
    fn default() -> Self {
        Self { state: watch::Sender::new(State { phase: ServerPhase::Built, addresses: None }) }
    }
}

impl ServerLifecycle {
    /// Begins to accept connections. Returns `true` if the caller must spawn the drain task.
    pub(super) fn start_accepting(&self) -> bool {
        // Most callers come later, and reading the phase is enough for them.
        self.phase() == ServerPhase::Built
            && self.change(|phase| match phase {
                ServerPhase::Built => Some(ServerPhase::Running),
                _ => None,
            })
    }

    /// Returns whether the drain task runs or has ended the server.
    pub(super) fn is_started(&self) -> bool {
        self.phase() != ServerPhase::Built
    }

    /// Makes the server ready, unless it is stopping already.
    pub(crate) fn listen(&self, addresses: Vec<SocketAddr>) {
        self.state.send_if_modified(|state| {
            let is_open = !state.phase.is_over();
            if is_open {
                state.addresses = Some(addresses.into());
            }
            is_open
        });
    }

    /// Begins the stop. If the server is stopping already, the earlier deadline counts.
    pub(super) fn stop(&self, deadline: Instant) {
        self.change(|phase| match phase {
            ServerPhase::Built => Some(ServerPhase::Stopped(Ending::Orderly)),
            ServerPhase::Running => Some(ServerPhase::Stopping { deadline }),
            ServerPhase::Stopping { deadline: now } if deadline < now => {
                Some(ServerPhase::Stopping { deadline })
            }
            ServerPhase::Drained { deadline: now } if deadline < now => {
                Some(ServerPhase::Drained { deadline })
            }
            _ => None,
        });
    }

    /// Wakes the handlers and pages that await the stop.
    pub(super) fn set_drained(&self) {
        self.change(|phase| match phase {
            ServerPhase::Stopping { deadline } => Some(ServerPhase::Drained { deadline }),
            _ => None,
        });
    }

    pub(super) fn cut(&self) {
        self.change(|phase| (!phase.is_cut()).then_some(ServerPhase::Cut));
    }

    /// Ends the server in any phase.
    pub(super) fn end(&self, ending: Ending) {
        self.change(|phase| match phase {
            ServerPhase::Stopped(_) => None,
            _ => Some(ServerPhase::Stopped(ending)),
        });
    }

    /// Called when the runtime of the drain task is gone. Returns `true` if the server was
    /// stopping. A running server starts again with its next connection or with its stop.
    pub(super) fn abandon(&self) -> bool {
        let was_over = self.is_over();
        self.change(|phase| match phase {
            ServerPhase::Running => Some(ServerPhase::Built),
            ServerPhase::Built | ServerPhase::Stopped(_) => None,
            _ => Some(ServerPhase::Stopped(Ending::Forced)),
        }) && was_over
    }

    fn change(&self, next: impl FnOnce(ServerPhase) -> Option<ServerPhase>) -> bool {
        self.state.send_if_modified(|state| match next(state.phase) {
            Some(phase) => {
                state.phase = phase;
                true
            }
            None => false,
        })
    }

    fn phase(&self) -> ServerPhase {
        self.state.borrow().phase
    }

    pub(super) fn is_ready(&self) -> bool {
        let state = self.state.borrow();
        state.addresses.is_some() && !state.phase.is_over()
    }

    pub(super) fn is_over(&self) -> bool {
        self.phase().is_over()
    }

    /// Waits until the server listens or is over. If it never listened, the list is empty.
    pub(super) async fn ready(&self) -> Vec<SocketAddr> {
        let state = self.wait_for(|state| state.addresses.is_some() || state.phase.is_over()).await;
        state
            .and_then(|state| state.addresses)
            .map_or_else(Vec::new, |addresses| addresses.to_vec())
    }

    /// Waits for the stop and returns its deadline, or `None` if the server has ended.
    pub(crate) async fn stopping(&self) -> Option<Instant> {
        self.wait_for(|state| state.phase.is_over()).await?.phase.deadline()
    }

    /// Waits until every connection that is left awaits the stop in a handler or a page.
    pub(super) async fn drained(&self) {
        self.wait_for(|state| {
            matches!(state.phase, ServerPhase::Drained { .. }) || state.phase.is_cut()
        })
        .await;
    }

    /// Waits until open connections must be dropped.
    pub(crate) async fn cutting(&self) {
        self.wait_for(|state| state.phase.is_cut()).await;
    }

    pub(crate) async fn ended(&self) -> Ending {
        let state = self.wait_for(|state| matches!(state.phase, ServerPhase::Stopped(_))).await;
        match state.map(|state| state.phase) {
            Some(ServerPhase::Stopped(ending)) => ending,
            _ => Ending::Forced,
        }
    }

    /// Waits for the deadline of the stop, even if it moves forward meanwhile.
    pub(super) async fn deadline_passed(&self) {
        let mut state = self.state.subscribe();
        loop {
            let Some(deadline) = state.borrow_and_update().phase.deadline() else { return };
            tokio::select! {
                biased;
                () = sleep_until(deadline) => return,
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Never returns `None`, because `self` holds the sender.
    async fn wait_for(&self, wanted: impl FnMut(&State) -> bool) -> Option<State> {
        let mut state = self.state.subscribe();
        let found = state.wait_for(wanted).await;
        found.ok().map(|state| state.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_deadline_of_a_stop_only_moves_forward() {
        let lifecycle = ServerLifecycle::default();
        assert!(lifecycle.start_accepting());
        assert!(!lifecycle.start_accepting());
        let now = Instant::now();
        lifecycle.stop(now + Duration::from_secs(5));
        lifecycle.stop(now + Duration::from_secs(9));
        assert_eq!(lifecycle.stopping().await, Some(now + Duration::from_secs(5)));
        lifecycle.set_drained();
        lifecycle.stop(now + Duration::from_secs(1));
        lifecycle.deadline_passed().await;
        assert_eq!(now.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_server_whose_runtime_is_gone_can_start_again_unless_it_was_stopping() {
        let lifecycle = ServerLifecycle::default();
        assert!(lifecycle.start_accepting());
        lifecycle.abandon();
        assert!(lifecycle.start_accepting());
        lifecycle.stop(Instant::now());
        lifecycle.abandon();
        assert_eq!(lifecycle.ended().await, Ending::Forced);
    }

    #[tokio::test]
    async fn the_end_of_a_server_is_final() {
        let lifecycle = ServerLifecycle::default();
        lifecycle.stop(Instant::now());
        assert_eq!(lifecycle.ended().await, Ending::Orderly);
        lifecycle.end(Ending::Forced);
        lifecycle.cut();
        lifecycle.listen(Vec::new());
        assert!(!lifecycle.start_accepting() && !lifecycle.is_ready());
        assert_eq!(lifecycle.ended().await, Ending::Orderly);
    }
}
