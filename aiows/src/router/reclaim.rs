//! Handlers that middleware runs through `next`, and that their group can take back.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::handler::{BoxFuture, HandlerFuture, Outcome, Returned, Run};
use crate::id::ConnectionId;

/// The running handlers of a group.
///
/// Middleware polls them where it awaits `next`, so that they see its task-locals and spans. The
/// group remains their owner: if middleware spawns, drops or forgets the future of `next`, the
/// handlers are neither stopped nor run again. Dropping this value drops the handlers.
pub(super) struct Reclaimable {
    shared: Arc<Shared>,
}

/// The future of `next`. It runs the handlers until the group reclaims them.
struct NextFuture {
    shared: Arc<Shared>,
}

struct Shared(Mutex<State>);

struct State {
    stage: Stage,
    /// `None` while one side polls them, and after their end.
    handlers: Option<HandlerFuture>,
    /// Wakes the future of `next`; set while it waits.
    next_waker: Option<Waker>,
    /// Wakes the group; set while it waits for a poll on another thread.
    owner_waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The future of `next` runs the handlers.
    Running,
    /// The owner runs the handlers; the future of `next` waits for their end.
    Reclaimed,
    Returned,
    Dropped,
}

impl Reclaimable {
    pub(super) fn new(connection: ConnectionId, handlers: BoxFuture) -> Self {
        let state = State {
            stage: Stage::Running,
            handlers: Some(HandlerFuture::start(Some(connection), || handlers)),
            next_waker: None,
            owner_waker: None,
        };
        Self { shared: Arc::new(Shared(Mutex::new(state))) }
    }

    /// Returns the innermost `next`, which runs the handlers.
    ///
    /// It ignores its call, so the handlers get the original call even if middleware passes on
    /// another one.
    pub(super) fn as_run(&self) -> Run {
        let shared = Arc::clone(&self.shared);
        Arc::new(move |_| Box::pin(NextFuture { shared: Arc::clone(&shared) }))
    }

    /// Runs the handlers to their end, from where middleware left them.
    pub(super) async fn finish(self) -> Returned {
        let Some(handlers) = self.reclaim().await else { return Ok(Outcome::default()) };
        let returned = handlers.await;
        self.shared.end(Stage::Returned);
        returned
    }

    /// Drops the handlers if they have not returned.
    pub(super) async fn cancel(self) {
        drop(self.reclaim().await);
    }

    /// Takes the handlers back, if necessary after the current poll on another thread. Returns
    /// `None` if they have returned.
    async fn reclaim(&self) -> Option<HandlerFuture> {
        poll_fn(|cx| {
            let waker = cx.waker().clone();
            let mut state = self.shared.lock();
            if state.stage == Stage::Returned {
                return Poll::Ready(None);
            }
            state.stage = Stage::Reclaimed;
            let handlers = state.handlers.take();
            let before = match handlers {
                Some(_) => None,
                None => state.owner_waker.replace(waker),
            };
            drop(state);
            drop(before);
            handlers.map_or(Poll::Pending, |handlers| Poll::Ready(Some(handlers)))
        })
        .await
    }
}

impl Drop for Reclaimable {
    fn drop(&mut self) {
        self.shared.end(Stage::Dropped);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the handlers. Only the first end sets the stage.
    fn end(&self, stage: Stage) {
        let mut state = self.lock();
        if matches!(state.stage, Stage::Running | Stage::Reclaimed) {
            state.stage = stage;
        }
        let handlers = state.handlers.take();
        let wakers = [state.next_waker.take(), state.owner_waker.take()];
        drop(state);
        drop(handlers);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Takes the handlers for one poll by the future of `next`.
    fn take_for_poll(&self, cx: &Context<'_>) -> Poll<Result<HandlerFuture, Returned>> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        match state.stage {
            Stage::Returned => return Poll::Ready(Err(Ok(Outcome::default()))),
            Stage::Dropped => return Poll::Ready(Err(Err("the connection has ended".into()))),
            Stage::Running | Stage::Reclaimed => {}
        }
        let handlers = match state.stage {
            Stage::Running => state.handlers.take(),
            _ => None,
        };
        let before = state.next_waker.replace(waker);
        drop(state);
        drop(before);
        handlers.map_or(Poll::Pending, |handlers| Poll::Ready(Ok(handlers)))
    }

    /// Puts the handlers back after a poll by the future of `next`.
    fn give_back(&self, handlers: HandlerFuture) {
        let mut state = self.lock();
        let (unneeded, owner_waker) = match state.stage {
            Stage::Running | Stage::Reclaimed => {
                state.handlers = Some(handlers);
                (None, state.owner_waker.take())
            }
            // The future of `next` was woken and will see the stage.
            Stage::Returned | Stage::Dropped => (Some(handlers), None),
        };
        drop(state);
        drop(unneeded);
        owner_waker.into_iter().for_each(Waker::wake);
    }
}

impl Future for NextFuture {
    type Output = Returned;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Returned> {
        let mut handlers = match self.shared.take_for_poll(cx) {
            Poll::Ready(Ok(handlers)) => handlers,
            Poll::Ready(Err(ended)) => return Poll::Ready(ended),
            Poll::Pending => return Poll::Pending,
        };
        let polled = Pin::new(&mut handlers).poll(cx);
        match &polled {
            Poll::Pending => self.shared.give_back(handlers),
            Poll::Ready(_) => self.shared.end(Stage::Returned),
        }
        polled
    }
}
