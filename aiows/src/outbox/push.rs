//! Messages to one client: queued at once, after waiting, or refused.

use std::pin::pin;

use tokio::time::{sleep, timeout};

use super::offer::{OfferResult, Offered};
use super::policy::{Attempts, When};
use super::queue::Queue;
use super::{CloseRequest, Outbox};
use crate::codec::{Encoded, MAX_COPIED};
use crate::error::SendError;
use crate::limits::{Overflow, Rule};

/// The progress of an outbox when a sender began to wait.
#[derive(Clone, Copy)]
struct Progress {
    attempts: Attempts,
    written: u64,
}

impl Outbox {
    /// Appends a message, or applies its policy at once. If the policy drops the message, the
    /// result is `Ok`.
    pub(crate) fn try_push(&self, mut message: Encoded) -> Result<(), SendError> {
        self.offer(&mut message, When::Now).sent().unwrap_or(Err(SendError::Full))
    }

    /// Appends a message. If the queue is full, it waits for at most the write timeout.
    ///
    /// Under a policy that drops messages, it waits only while the socket takes bytes. Senders that
    /// wait are served in the order in which they began. While the server shuts down, they wait for
    /// the grace of the drain at most.
    ///
    /// Cancel safe: if the future is dropped, the message is not queued.
    pub(crate) async fn push(&self, mut message: Encoded) -> Result<(), SendError> {
        if !self.waiters.has_senders()
            && let Some(result) = self.offer(&mut message, When::Offered).sent()
        {
            return result;
        }
        // Boxed because it is rare: the futures of handlers contain this one.
        Box::pin(self.push_waiting(message)).await
    }

    async fn push_waiting(&self, mut message: Encoded) -> Result<(), SendError> {
        let began = self.progress();
        let wait = async {
            let line = self.waiters.enter();
            let _turn = line.turn().await;
            loop {
                let mut changed = pin!(self.waiters.changed());
                // Registered before the attempt, so that room made in between is not missed.
                changed.as_mut().enable();
                let offered = self.offer(&mut message, When::TriedAgain(began.attempts));
                if let Some(result) = offered.sent() {
                    return result;
                }
                changed.await;
            }
        };
        let wait = async {
            tokio::select! {
                biased;
                result = wait => result,
                () = self.drain_over() => Err(SendError::Closed),
            }
        };
        match timeout(self.write_timeout, wait).await {
            Ok(result) => result,
            Err(_) => self.give_up(message, began),
        }
    }

    /// Resolves when the server shuts down and the client's grace to make room is over.
    async fn drain_over(&self) {
        loop {
            let mut changed = pin!(self.waiters.changed());
            // Registered before the check, so that a drain that begins in between is not missed.
            changed.as_mut().enable();
            if let Some(grace) = self.drain_grace() {
                return sleep(grace).await;
            }
            changed.await;
        }
    }

    /// Applies the policy to a message that has waited long enough.
    fn give_up(&self, message: Encoded, began: Progress) -> Result<(), SendError> {
        let policy = self.bounds.policy(message.rule());
        if policy.drops() {
            return self.try_push(message);
        }
        if policy == Overflow::Disconnect && self.is_blocked_since(began) {
            self.request_close(CloseRequest::slow_consumer());
        }
        Err(SendError::Full)
    }

    /// Whether the socket has refused every byte since the sender began to wait. If the session was
    /// not scheduled in that time, this is no evidence of a slow client.
    fn is_blocked_since(&self, began: Progress) -> bool {
        let state = self.lock();
        state.queue.written() == began.written
            && state.may_apply_policy(When::TriedAgain(began.attempts))
    }

    fn progress(&self) -> Progress {
        let state = self.lock();
        Progress { attempts: state.attempts, written: state.queue.written() }
    }

    /// Appends the session's answer to a message, even if the queue is full: one message has at
    /// most one answer. Returns `true` if no other message should be handled until the client has
    /// read more.
    pub(crate) fn push_answer(&self, message: Encoded) -> bool {
        let mut state = self.lock();
        if !self.is_closed() {
            let rule = message.rule().kept();
            message.with_rule(rule).append(&mut state.queue);
            state.account(self.bounds.totals());
        }
        !self.bounds.has_room(&state, 0)
    }
}

impl OfferResult {
    /// Returns the result for the sender; `None` if the queue is full.
    fn sent(self) -> Option<Result<(), SendError>> {
        match self {
            Self::Queued | Self::Deferred | Self::Dropped => Some(Ok(())),
            Self::Closed => Some(Err(SendError::Closed)),
            Self::Busy(_) | Self::Full => None,
        }
    }
}

/// A message for one client. It is empty once it is appended.
impl Offered for &mut Encoded {
    const IS_PUBLISHED: bool = false;

    fn size(&self) -> usize {
        self.payload().len()
    }

    fn rule(&self) -> Rule {
        Encoded::rule(self)
    }

    fn append(self, queue: &mut Queue) {
        let (size, rule) = (self.payload().len(), Encoded::rule(self));
        match rule {
            Rule::Latest(key) => return queue.push_latest(key, self.take_frame(), size),
            Rule::Kept(Some(key)) => queue.overtake(key),
            Rule::Server | Rule::Policy(_) | Rule::DropOldest(_) | Rule::Kept(None) => {}
        }
        if size <= MAX_COPIED {
            queue.push_copy(self.frame(), size, rule.class());
            self.recycle();
        } else {
            queue.push_shared(self.take_frame(), size, rule.class());
        }
    }
}
