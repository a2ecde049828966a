//! What happens to a message that finds no room: written, waited for, or as its policy says.

use std::sync::Arc;
use std::task::Waker;

use super::drops::Dropped;
use super::{SessionTurn, State, Totals};
use crate::limits::{Class, Limits, Overflow, Rule};

/// How often a session has tried to write to its stream, wrapping around; see [`When`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempts(pub(super) u32);

/// When a policy may act on a message that finds no room and whose socket refuses bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    /// At once, since the sender cannot wait.
    Now,
    /// Over plain TCP, where the sender tries the socket, at once. Not on a stream: its session has
    /// not tried it since the message was offered.
    Offered,
    /// On a stream as soon as the session has tried it again.
    TriedAgain(Attempts),
}

/// What is done with a message.
pub(super) enum Admission {
    /// It is queued, in the place of an older message with its key if there is one.
    Append,
    /// It was counted, and that is all.
    Drop,
    /// There is no room. The policy does not drop messages.
    Refuse(Overflow),
    /// There is no room, and the socket is not known to refuse bytes.
    Wait,
}

/// What has to be done about a change once the lock is released.
#[derive(Default)]
pub(super) struct Aftermath {
    /// The session, if it must try its socket again.
    pub(super) session: Option<Waker>,
    /// Whether bytes were written, so that senders may find room.
    pub(super) made_room: bool,
    pub(super) dropped: Option<Dropped>,
    /// Sessions of other connections that were closed to make room.
    pub(super) closed: Vec<Waker>,
}

/// What the queue of one connection may hold, and what happens to a message beyond that.
#[derive(Debug)]
pub(super) struct Bounds {
    max_messages: usize,
    max_size: usize,
    /// For all sockets that refuse bytes together.
    max_total: usize,
    overflow: Overflow,
    /// Of all connections of the server.
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

    /// Bytes of payload that may wait.
    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// Whether there is room for `size` more bytes of payload.
    pub(super) fn has_room(&self, state: &State, size: usize) -> bool {
        state.queue.has_room(size, self.max_messages, self.max_size)
            && (!state.blocked
                || state.queue.messages() == 0
                || self.totals.stuck.may_hold(
                    state.queue.size() + size,
                    state.accounted(),
                    self.max_total,
                ))
    }

    /// Whether a message is just to be appended: the common case, in few instructions.
    pub(super) fn has_plain_room(&self, state: &State, size: usize, rule: Rule) -> bool {
        !state.blocked
            && !matches!(rule, Rule::Latest(_))
            && state.queue.has_room(size, self.max_messages, self.max_size)
    }

    /// Whether a part fits without closing another connection for it: a part can wait.
    pub(super) fn has_room_for_part(&self, state: &State, size: usize) -> bool {
        let own = state.queue.size() + size;
        state.queue.has_room(size, self.max_messages / 2, self.max_size / 2)
            && (!state.blocked
                || state.queue.messages() == 0
                || self.totals.stuck.without(state.accounted()).saturating_add(own)
                    <= self.max_total)
    }

    /// Makes what waits for all blocked sockets fit into the bound. Messages that were queued before
    /// this socket refused bytes were not compared with it. Returns the sessions to be woken.
    ///
    /// A queue of one message, or one that exceeds the bound by itself, was allowed to.
    pub(super) fn relieve_blocked(&self, state: &State) -> Vec<Waker> {
        let mut closed = Vec::new();
        let may_exceed = state.queue.messages() < 2 || state.queue.size() > self.max_total;
        if state.blocked && !may_exceed {
            self.totals.stuck.relieve(0, 0, self.max_total, &mut closed);
        }
        closed
    }

    /// Decides on a message, and makes room for it: over plain TCP by writing, then as its policy
    /// says.
    pub(super) fn admit(
        &self,
        state: &mut State,
        size: usize,
        rule: Rule,
        when: When,
        aftermath: &mut Aftermath,
    ) -> Admission {
        if let Rule::Latest(key) = rule
            && let Some(found) = state.queue.find(key)
            && (size <= found.size || self.has_room_instead(state, size, found.size))
        {
            return Admission::Append;
        }
        if self.finds_room(state, size, aftermath)
            || (state.try_tcp(aftermath) && self.finds_room(state, size, aftermath))
        {
            return Admission::Append;
        }
        if !state.may_act(when) {
            aftermath.session = aftermath.session.take().or_else(|| state.sleeper.take());
            if state.turn == SessionTurn::Expected {
                state.turn = SessionTurn::Awaited;
            }
            return Admission::Wait;
        }
        self.act(state, size, rule, aftermath)
    }

    /// Does what the policy says about a message for a socket that refuses bytes.
    fn act(
        &self,
        state: &mut State,
        size: usize,
        rule: Rule,
        aftermath: &mut Aftermath,
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
                let count = self.drop_oldest(state, class, size, aftermath);
                aftermath.dropped = Some(Dropped { policy, count });
                Admission::Append
            }
            policy if policy.drops() && !matches!(rule, Rule::Kept(_)) => {
                state.queue.note_newest_dropped();
                aftermath.dropped = Some(Dropped { policy, count: 1 });
                Admission::Drop
            }
            policy => Admission::Refuse(policy),
        }
    }

    fn can_make_room(&self, state: &State, class: Class, size: usize) -> bool {
        state.queue.can_make_room(class, size, self.max_messages, self.max_size)
    }

    /// Whether a message is to be queued; closes those who hold more of what all may hold together.
    fn finds_room(&self, state: &State, size: usize, aftermath: &mut Aftermath) -> bool {
        self.has_room(state, size)
            && (!state.blocked
                || state.queue.messages() == 0
                || self.totals.stuck.relieve(
                    state.queue.size() + size,
                    state.accounted(),
                    self.max_total,
                    &mut aftermath.closed,
                ))
    }

    /// Whether there is room for a message in place of one with `before` bytes of payload.
    fn has_room_instead(&self, state: &State, size: usize, before: usize) -> bool {
        let more = size.saturating_sub(before);
        state.queue.messages() == 1
            || (state.queue.size() + more <= self.max_size
                && (!state.blocked || self.totals.stuck.without(0) + more <= self.max_total))
    }

    /// Drops the oldest until there is room, or nothing left that may be dropped.
    fn drop_oldest(
        &self,
        state: &mut State,
        class: Class,
        size: usize,
        aftermath: &mut Aftermath,
    ) -> u64 {
        let mut dropped = 0;
        while !self.finds_room(state, size, aftermath) && state.queue.drop_oldest(class) {
            // Otherwise this queue may be chosen to be closed for bytes that it no longer holds.
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
    /// Whether the socket refuses bytes, as far as a policy has to know it.
    pub(super) fn may_act(&self, when: When) -> bool {
        let tried = match when {
            When::Now => true,
            When::Offered => self.writer.is_some(),
            When::TriedAgain(since) => self.writer.is_some() || self.attempts != since,
        };
        self.blocked && tried
    }
}
