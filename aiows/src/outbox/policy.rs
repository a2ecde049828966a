//! The limits of one queue, and the action for a message beyond them: write first, wait, or apply
//! the policy.

use std::sync::Arc;
use std::task::Waker;

use super::drop_log::{Dropped, LogLine};
use super::{SessionTurn, State, Totals};
use crate::limits::{Class, Limits, Overflow, Rule};

/// How often a session has tried to write, wrapping around; see [`When`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempts(pub(super) u32);

/// When a policy may be applied to a message that finds the queue full and the socket blocked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum When {
    /// At once, because the sender cannot wait.
    Now,
    /// Over plain TCP at once, because the sender has just tried the socket. On a stream not yet:
    /// its session has not tried to write since the message was offered.
    Offered,
    /// On a stream as soon as the session has made another attempt.
    TriedAgain(Attempts),
    /// Never, because the message is a part of a long list and is offered again later. It may fill
    /// only half of the queue, which leaves room for other messages, and closes no connection.
    Never,
}

/// The decision on a message.
pub(super) enum Admission {
    /// Queue it, in place of an older message with its key if there is one.
    Append,
    /// Drop it; it is already counted.
    Drop,
    /// The queue is full, and this policy does not drop messages.
    Refuse(Overflow),
    /// The queue is full, but it is not known whether the socket refuses bytes.
    Wait,
}

/// Actions that follow once the lock is released.
#[derive(Default)]
pub(super) struct AfterUnlock {
    /// Wakes the session, if it must try its socket again.
    pub(super) session: Option<Waker>,
    /// Whether waiting senders have to try again: they may find room, or the connection closes.
    pub(super) wakes_senders: bool,
    /// A line for the log about dropped messages.
    pub(super) line: Option<LogLine>,
    /// Wakes the sessions of other connections that were chosen to be closed to make room.
    pub(super) closed: Vec<Waker>,
}

/// The limits of one queue, and the default policy for a message beyond them.
#[derive(Debug)]
pub(super) struct Bounds {
    max_messages: usize,
    max_size: usize,
    /// The limit, in bytes, for the queues of all blocked sockets together.
    max_total: usize,
    overflow: Overflow,
    /// The totals of all connections of the server.
    totals: Arc<Totals>,
}

impl Bounds {
    pub(super) fn new(limits: &Limits, totals: Arc<Totals>) -> Self {
        Self {
            max_messages: limits.outbound_messages,
            max_size: limits.outbound_size,
            max_total: limits.outbound_total,
            overflow: limits.overflow,
            totals,
        }
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Returns the most bytes of payload that the queue may hold.
    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// Whether the queue has room for `size` more bytes of payload.
    pub(super) fn has_room(&self, state: &State, size: usize) -> bool {
        state.queue.has_room(size, self.max_messages, self.max_size)
            && (!state.is_blocked
                || state.queue.messages() == 0
                || self.totals.blocked.may_hold(
                    state.queue.size() + size,
                    state.accounted(),
                    self.max_total,
                ))
    }

    /// Whether a message can simply be appended. This is the common case, decided in few
    /// instructions.
    pub(super) fn has_plain_room(&self, state: &State, size: usize, rule: Rule) -> bool {
        !state.is_blocked
            && !matches!(rule, Rule::Latest(_))
            && state.queue.has_room(size, self.max_messages, self.max_size)
    }

    /// Whether a part of a list fits without closing another connection for it, because a part can
    /// wait.
    pub(super) fn has_room_for_part(&self, state: &State, size: usize) -> bool {
        let own = state.queue.size() + size;
        state.queue.has_room(size, self.max_messages / 2, self.max_size / 2)
            && (!state.is_blocked
                || state.queue.messages() == 0
                || self.totals.blocked.without(state.accounted()).saturating_add(own)
                    <= self.max_total)
    }

    /// Enforces the limit for all blocked sockets. It is needed because messages that were queued
    /// before this socket refused bytes were not checked against that limit. Returns the wakers of
    /// the sessions that have to close.
    ///
    /// A queue with one message, or one that exceeds the limit by itself, was allowed to do so.
    pub(super) fn enforce_total(&self, state: &State) -> Vec<Waker> {
        let mut closed = Vec::new();
        let may_exceed = state.queue.messages() < 2 || state.queue.size() > self.max_total;
        if state.is_blocked && !may_exceed {
            self.totals.blocked.close_larger(0, 0, self.max_total, &mut closed);
        }
        closed
    }

    /// Decides on a message and makes room for it: first by writing, over plain TCP, then with its
    /// policy.
    pub(super) fn admit(
        &self,
        state: &mut State,
        size: usize,
        rule: Rule,
        when: When,
        after_unlock: &mut AfterUnlock,
    ) -> Admission {
        if let When::Never = when {
            let fits = self.has_room_for_part(state, size)
                || (state.try_tcp(after_unlock) && self.has_room_for_part(state, size));
            return if fits { Admission::Append } else { Admission::Refuse(Overflow::Reject) };
        }
        if let Rule::Latest(key) = rule
            && let Some(found) = state.queue.find(key)
            && (size <= found.size || self.has_room_instead(state, size, found.size))
        {
            return Admission::Append;
        }
        if self.finds_room(state, size, after_unlock)
            || (state.try_tcp(after_unlock) && self.finds_room(state, size, after_unlock))
        {
            return Admission::Append;
        }
        if !state.may_apply_policy(when) {
            after_unlock.session = after_unlock.session.take().or_else(|| state.sleeper.take());
            if state.turn == SessionTurn::Expected {
                state.turn = SessionTurn::Awaited;
            }
            return Admission::Wait;
        }
        self.apply_policy(state, size, rule, after_unlock)
    }

    /// Applies the policy to a message for a socket that refuses bytes.
    fn apply_policy(
        &self,
        state: &mut State,
        size: usize,
        rule: Rule,
        after_unlock: &mut AfterUnlock,
    ) -> Admission {
        let class = match rule {
            Rule::DropOldest(kind) => Class::Own(kind),
            _ => Class::Server,
        };
        match self.policy(rule) {
            policy @ Overflow::DropOldest if self.can_make_room(state, class, size) => {
                if let Rule::Latest(key) = rule
                    && let Some(found) = state.queue.find(key)
                {
                    state.queue.remove_replaced(found);
                    state.account(&self.totals);
                }
                let count = self.drop_oldest(state, class, size, after_unlock);
                after_unlock.line = state.note_dropped(Dropped { policy, count });
                Admission::Append
            }
            policy if policy.drops() && !matches!(rule, Rule::Kept(_)) => {
                state.queue.note_newest_dropped();
                after_unlock.line = state.note_dropped(Dropped { policy, count: 1 });
                Admission::Drop
            }
            policy => Admission::Refuse(policy),
        }
    }

    fn can_make_room(&self, state: &State, class: Class, size: usize) -> bool {
        state.queue.can_make_room(class, size, self.max_messages, self.max_size)
    }

    /// Whether the queue has room for a message. If the limit for all blocked sockets is reached,
    /// connections with larger queues are closed for it.
    fn finds_room(&self, state: &State, size: usize, after_unlock: &mut AfterUnlock) -> bool {
        self.has_room(state, size)
            && (!state.is_blocked
                || state.queue.messages() == 0
                || self.totals.blocked.close_larger(
                    state.queue.size() + size,
                    state.accounted(),
                    self.max_total,
                    &mut after_unlock.closed,
                ))
    }

    /// Whether the queue has room for a message in place of one with `before` bytes of payload.
    fn has_room_instead(&self, state: &State, size: usize, before: usize) -> bool {
        let more = size.saturating_sub(before);
        state.queue.messages() == 1
            || (state.queue.size() + more <= self.max_size
                && (!state.is_blocked || self.totals.blocked.without(0) + more <= self.max_total))
    }

    /// Drops the oldest messages of a class until the queue has room, or none is left that may be
    /// dropped. Returns how many were dropped.
    fn drop_oldest(
        &self,
        state: &mut State,
        class: Class,
        size: usize,
        after_unlock: &mut AfterUnlock,
    ) -> u64 {
        let mut dropped = 0;
        while !self.finds_room(state, size, after_unlock) && state.queue.drop_oldest(class) {
            // Updated each time, because otherwise this queue may be chosen to be closed for bytes
            // that it no longer holds.
            state.account(&self.totals);
            dropped += 1;
        }
        dropped
    }

    pub(super) fn policy(&self, rule: Rule) -> Overflow {
        match rule {
            Rule::Policy(policy) => policy,
            Rule::DropOldest(_) => Overflow::DropOldest,
            Rule::Server | Rule::Latest(_) | Rule::Kept(_) => self.overflow,
        }
    }
}

impl State {
    /// Whether the socket refuses bytes according to an attempt that is recent enough for the
    /// policy.
    pub(super) fn may_apply_policy(&self, when: When) -> bool {
        let tried = match when {
            When::Now => true,
            When::Never => false,
            When::Offered => self.writer.is_some(),
            When::TriedAgain(since) => self.writer.is_some() || self.attempts != since,
        };
        self.is_blocked && tried
    }
}
