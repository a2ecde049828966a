//! Handlers that middleware runs through `next`, and that the group around gets back.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::handler::Outcome;
use crate::handler::{BoxFuture, Returned, Run, drop_caught, isolated, poll_caught};
use crate::id::ConnectionId;

/// The running handlers, kept by the group.
///
/// Middleware polls them where it awaits `next`, so they see its task-locals and spans. But they belong
/// to the group: middleware that spawns, drops or forgets the future of `next` neither repeats nor stops
/// them. Dropping this value drops them.
pub(super) struct Lent {
    shared: Arc<Shared>,
}

/// The future of `next`: runs the handlers until the group recalls them.
struct Borrowed {
    shared: Arc<Shared>,
}

struct Shared {
    connection: ConnectionId,
    state: Mutex<State>,
}

struct State {
    stage: Stage,
    /// `None` while one side polls it, and at the end.
    handlers: Option<BoxFuture>,
    borrower: Option<Waker>,
    lender: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Lent,
    /// The borrower waits for the lender to run them.
    Recalled,
    Returned,
    Dropped,
}

impl Lent {
    pub(super) fn new(connection: ConnectionId, handlers: BoxFuture) -> Self {
        let state =
            State { stage: Stage::Lent, handlers: Some(handlers), borrower: None, lender: None };
        Self { shared: Arc::new(Shared { connection, state: Mutex::new(state) }) }
    }

    /// Makes the innermost step of middleware, which runs the handlers.
    ///
    /// They are the same handlers whatever call middleware passes on.
    pub(super) fn step(&self) -> Run {
        let shared = Arc::clone(&self.shared);
        Arc::new(move |_| Box::pin(Borrowed { shared: Arc::clone(&shared) }))
    }

    /// Runs what middleware has left of the handlers.
    pub(super) async fn finish(self) -> Returned {
        let Some(handlers) = self.recall().await else { return Ok(Outcome::default()) };
        let returned = isolated(Some(self.shared.connection), || handlers).await;
        self.shared.end(Stage::Returned);
        returned
    }

    /// Drops what middleware has left of the handlers.
    pub(super) async fn cancel(self) {
        self.shared.drop_all(self.recall().await);
    }

    /// Takes the handlers back, after the poll in which another thread may be; `None` if they have
    /// returned.
    async fn recall(&self) -> Option<BoxFuture> {
        poll_fn(|cx| {
            let waker = cx.waker().clone();
            let mut state = self.shared.lock();
            if state.stage == Stage::Returned {
                return Poll::Ready(None);
            }
            state.stage = Stage::Recalled;
            let handlers = state.handlers.take();
            let before = match handlers {
                Some(_) => None,
                None => state.lender.replace(waker),
            };
            drop(state);
            drop(before);
            handlers.map_or(Poll::Pending, |handlers| Poll::Ready(Some(handlers)))
        })
        .await
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.shared.end(Stage::Dropped);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_all(&self, handlers: Option<BoxFuture>) {
        handlers.into_iter().for_each(|handlers| drop_caught(|| Some(self.connection), handlers));
    }

    /// Ends the handlers; the first end counts.
    fn end(&self, stage: Stage) {
        let mut state = self.lock();
        if matches!(state.stage, Stage::Lent | Stage::Recalled) {
            state.stage = stage;
        }
        let handlers = state.handlers.take();
        let wakers = [state.borrower.take(), state.lender.take()];
        drop(state);
        self.drop_all(handlers);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Takes the handlers for one poll of the borrower.
    fn take(&self, cx: &Context<'_>) -> Poll<Result<BoxFuture, Returned>> {
        let waker = cx.waker().clone();
        let mut state = self.lock();
        match state.stage {
            Stage::Returned => return Poll::Ready(Err(Ok(Outcome::default()))),
            Stage::Dropped => return Poll::Ready(Err(Err("the connection has ended".into()))),
            Stage::Lent | Stage::Recalled => {}
        }
        let handlers = match state.stage {
            Stage::Lent => state.handlers.take(),
            _ => None,
        };
        let before = state.borrower.replace(waker);
        drop(state);
        drop(before);
        handlers.map_or(Poll::Pending, |handlers| Poll::Ready(Ok(handlers)))
    }

    /// Gives the handlers back after a poll of the borrower.
    fn give_back(&self, handlers: BoxFuture) {
        let mut state = self.lock();
        let (late, lender) = match state.stage {
            Stage::Lent | Stage::Recalled => {
                state.handlers = Some(handlers);
                (None, state.lender.take())
            }
            // The borrower was woken and finds out.
            Stage::Returned | Stage::Dropped => (Some(handlers), None),
        };
        drop(state);
        self.drop_all(late);
        lender.into_iter().for_each(Waker::wake);
    }
}

impl Future for Borrowed {
    type Output = Returned;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Returned> {
        let mut handlers = match self.shared.take(cx) {
            Poll::Ready(Ok(handlers)) => handlers,
            Poll::Ready(Err(ended)) => return Poll::Ready(ended),
            Poll::Pending => return Poll::Pending,
        };
        match poll_caught(handlers.as_mut(), cx) {
            Poll::Pending => {
                self.shared.give_back(handlers);
                Poll::Pending
            }
            Poll::Ready(returned) => {
                self.shared.drop_all(Some(handlers));
                self.shared.end(Stage::Returned);
                Poll::Ready(returned)
            }
        }
    }
}
