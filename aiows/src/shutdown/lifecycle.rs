//! The life of a server, from its build to its end, as one value that everybody watches.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Where a server is between its build and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No connection was accepted yet: a stop has nothing to wait for.
    Built,
    /// Connections are accepted, and the drain task waits for the stop.
    Running,
    /// The drain task closes the connections, and cuts them at the deadline.
    Stopping {
        deadline: Instant,
    },
    /// The connections that are left belong to handlers and pages that await the stop.
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
    /// Every connection had ended by itself.
    Orderly,
    /// Connections were cut.
    Forced,
}

#[derive(Clone, Debug)]
struct State {
    phase: Phase,
    /// Set once the server listens, and kept after its end.
    addresses: Option<Arc<[SocketAddr]>>,
}

#[derive(Debug)]
pub(crate) struct Lifecycle {
    state: watch::Sender<State>,
}

impl Phase {
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

impl Default for Lifecycle {
    fn default() -> Self {
        Self { state: watch::Sender::new(State { phase: Phase::Built, addresses: None }) }
    }
}

impl Lifecycle {
    /// Begins to accept connections; returns `true` if the caller must spawn the drain task.
    pub(crate) fn start(&self) -> bool {
        // Most callers come later, and need no more than a look.
        self.phase() == Phase::Built
            && self.change(|phase| match phase {
                Phase::Built => Some(Phase::Running),
                _ => None,
            })
    }

    /// Whether connections were ever accepted, and the drain task still runs or has ended the server.
    pub(crate) fn is_started(&self) -> bool {
        self.phase() != Phase::Built
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

    /// Begins the stop, or moves its deadline forward; it is never moved back.
    pub(crate) fn stop(&self, deadline: Instant) {
        self.change(|phase| match phase {
            Phase::Built => Some(Phase::Stopped(Ending::Orderly)),
            Phase::Running => Some(Phase::Stopping { deadline }),
            Phase::Stopping { deadline: now } if deadline < now => {
                Some(Phase::Stopping { deadline })
            }
            Phase::Drained { deadline: now } if deadline < now => Some(Phase::Drained { deadline }),
            _ => None,
        });
    }

    /// Lets handlers and pages that await the stop go on.
    pub(crate) fn set_drained(&self) {
        self.change(|phase| match phase {
            Phase::Stopping { deadline } => Some(Phase::Drained { deadline }),
            _ => None,
        });
    }

    pub(crate) fn cut(&self) {
        self.change(|phase| (!phase.is_cut()).then_some(Phase::Cut));
    }

    /// Ends the server, in whatever phase it is.
    pub(crate) fn end(&self, ending: Ending) {
        self.change(|phase| match phase {
            Phase::Stopped(_) => None,
            _ => Some(Phase::Stopped(ending)),
        });
    }

    /// Notes that the runtime of the drain task is gone; returns `true` if the server was stopping. A
    /// running server starts again with a later connection, or with its stop.
    pub(crate) fn abandon(&self) -> bool {
        let was_over = self.is_over();
        self.change(|phase| match phase {
            Phase::Running => Some(Phase::Built),
            Phase::Built | Phase::Stopped(_) => None,
            _ => Some(Phase::Stopped(Ending::Forced)),
        }) && was_over
    }

    fn change(&self, next: impl FnOnce(Phase) -> Option<Phase>) -> bool {
        self.state.send_if_modified(|state| match next(state.phase) {
            Some(phase) => {
                state.phase = phase;
                true
            }
            None => false,
        })
    }

    fn phase(&self) -> Phase {
        self.state.borrow().phase
    }

    pub(crate) fn is_ready(&self) -> bool {
        let state = self.state.borrow();
        state.addresses.is_some() && !state.phase.is_over()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.phase().is_over()
    }

    /// Waits until the server listens or is over; it has no addresses if it never listened.
    pub(crate) async fn ready(&self) -> Vec<SocketAddr> {
        let state = self.wait_for(|state| state.addresses.is_some() || state.phase.is_over()).await;
        state
            .and_then(|state| state.addresses)
            .map_or_else(Vec::new, |addresses| addresses.to_vec())
    }

    /// Waits for the stop, and returns its deadline; `None` if there is nothing left to stop.
    pub(crate) async fn stopping(&self) -> Option<Instant> {
        self.wait_for(|state| state.phase.is_over()).await?.phase.deadline()
    }

    /// Waits until only handlers and pages are left that await the stop.
    pub(crate) async fn drained(&self) {
        self.wait_for(|state| matches!(state.phase, Phase::Drained { .. }) || state.phase.is_cut())
            .await;
    }

    /// Waits until whatever is still open must be dropped.
    pub(crate) async fn cutting(&self) {
        self.wait_for(|state| state.phase.is_cut()).await;
    }

    pub(crate) async fn ended(&self) -> Ending {
        let state = self.wait_for(|state| matches!(state.phase, Phase::Stopped(_))).await;
        match state.map(|state| state.phase) {
            Some(Phase::Stopped(ending)) => ending,
            _ => Ending::Forced,
        }
    }

    /// Waits for the deadline of a stop that has begun, also if it moves forward meanwhile.
    pub(crate) async fn deadline_passed(&self) {
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

    /// `None` never happens: the sender lives in `self`.
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
    async fn a_deadline_is_moved_forward_only() {
        let lifecycle = Lifecycle::default();
        assert!(lifecycle.start());
        assert!(!lifecycle.start());
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
        let lifecycle = Lifecycle::default();
        assert!(lifecycle.start());
        lifecycle.abandon();
        assert!(lifecycle.start());
        lifecycle.stop(Instant::now());
        lifecycle.abandon();
        assert_eq!(lifecycle.ended().await, Ending::Forced);
    }

    #[tokio::test]
    async fn an_end_is_final() {
        let lifecycle = Lifecycle::default();
        lifecycle.stop(Instant::now());
        assert_eq!(lifecycle.ended().await, Ending::Orderly);
        lifecycle.end(Ending::Forced);
        lifecycle.cut();
        lifecycle.listen(Vec::new());
        assert!(!lifecycle.start() && !lifecycle.is_ready());
        assert_eq!(lifecycle.ended().await, Ending::Orderly);
    }
}
