//! All deadlines of one connection, kept with a single timer.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::waiting::Waiting;
use crate::limits::{Limits, deadline_after};

/// How long a large buffer is kept after the last large message. Two large messages within this
/// time count as a stream.
const KEEP_LARGE: Duration = Duration::from_secs(1);

/// How often a large unfinished message is compared with its share of the memory for all of them.
const SHARE_INTERVAL: Duration = Duration::from_secs(1);

/// The deadlines of one connection.
///
/// A client is pinged in every interval, even if it is busy. That way no time is read per message,
/// and a dead client is noticed at most one interval and one timeout after its last sign of life.
pub(super) struct Clock {
    timer: Pin<Box<Sleep>>,
    /// Whether the timer has registered the session's task to be woken.
    is_armed: bool,
    next_ping: Instant,
    /// The time at which an unanswered ping was sent; `None` once the client has sent any bytes.
    pinged: Option<Instant>,
    /// Whether the client is read from; updated in every turn.
    reading: Reading,
    /// Set while the socket takes no bytes.
    blocked: Option<Box<BlockedSocket>>,
    /// Set while a handler is pending or the inbound queue is full.
    waiting: Option<Waiting>,
    /// The number of the message in progress, and the time at which the wait for the rest of it
    /// began.
    message_begun: Option<(u32, Instant)>,
    /// The time at which a large unfinished message is next compared with its share.
    share_at: Option<Instant>,
    /// The time of the last large message, if its buffer may still be kept.
    large_at: Option<Instant>,
}

/// A socket that takes no bytes.
struct BlockedSocket {
    /// The time at which it last took some, or first took none.
    since: Instant,
    /// The bytes it had taken by that time.
    written: u64,
    /// The bytes it had taken when that last counted as a sign of life, or when it first took none.
    counted: u64,
}

/// An action that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimerEvent {
    /// The deadline of the session's phase has passed.
    Deadline,
    /// A ping is due.
    Ping,
    /// The client has not answered a ping.
    NoPong,
    /// The socket has taken no bytes for too long.
    Blocked,
    /// A message was not finished in time.
    Unfinished,
    /// A large unfinished message may exceed its share, although no more of it has come.
    CheckShare,
    /// The inbound queue has been full for so long that a client that has left would go unnoticed.
    InboxFull,
    /// A large buffer has been kept long enough.
    Shrink,
    /// A handler has been pending for a long time.
    SlowHandler,
}

/// Whether the client is read from, and if not, whether its departure is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// The client is read from.
    On,
    /// The client is not read from, but the socket reports its departure.
    Watched,
    /// The client is not read from, and its departure goes unnoticed.
    Blind,
    /// No more bytes are expected from the client.
    Over,
}

impl Clock {
    pub(super) fn new(limits: &Limits) -> Self {
        let next_ping = deadline_after(limits.ping_interval);
        Self {
            timer: Box::pin(sleep_until(next_ping)),
            is_armed: false,
            next_ping,
            pinged: None,
            reading: Reading::On,
            blocked: None,
            waiting: None,
            message_begun: None,
            share_at: None,
            large_at: None,
        }
    }

    /// Notes bytes from the client, which are a sign of life.
    pub(super) fn note_read(&mut self) {
        self.pinged = None;
    }

    /// Notes that a handler has returned, so that the inbound queue moves on.
    pub(super) fn note_progress(&mut self) {
        self.waiting = None;
    }

    pub(super) fn waiting(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_default()
    }

    /// Returns how long the handler has been pending.
    pub(super) fn handler_time(&self) -> Duration {
        self.waiting.as_ref().map_or(Duration::ZERO, Waiting::handler_time)
    }

    fn note_reading(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.full_since = None;
        }
    }

    /// Sets the message in progress, and starts its deadline if it is a new one.
    pub(super) fn set_message_under_way(&mut self, number: Option<u32>) {
        if self.message_begun.map(|(number, _)| number) != number {
            self.message_begun = number.map(|number| (number, Instant::now()));
        }
    }

    /// Schedules the comparison of a large unfinished message with its share.
    pub(super) fn watch_share(&mut self) {
        self.share_at.get_or_insert_with(|| Instant::now() + SHARE_INTERVAL);
    }

    /// Cancels this comparison, because there is no such message any more.
    pub(super) fn forget_share(&mut self) {
        self.share_at = None;
    }

    /// Notes that a large message has come; `true` if another one came a short time ago. `Shrink`
    /// is due a short time after the last one.
    pub(super) fn note_large(&mut self) -> bool {
        let now = Instant::now();
        let last = self.large_at.replace(now);
        last.is_some_and(|last| now - last < KEEP_LARGE)
    }

    /// Notes that the socket refuses bytes after it has taken `written` of them. If it has taken at
    /// least `enough` bytes while it was full, that is a sign of life: it only has room again
    /// because the client has read.
    pub(super) fn note_blocked(&mut self, written: u64, enough: u64) {
        let now = Instant::now();
        let blocked = self.blocked.get_or_insert_with(|| {
            Box::new(BlockedSocket { since: now, written, counted: written })
        });
        if blocked.written != written {
            (blocked.since, blocked.written) = (now, written);
            if written - blocked.counted >= enough {
                blocked.counted = written;
                self.pinged = None;
            }
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Notes that the socket has taken all bytes, `written` of them altogether. `enough` is the
    /// same as for [`note_blocked`](Self::note_blocked).
    pub(super) fn note_unblocked(&mut self, written: u64, enough: u64) {
        if self.blocked.take().is_some_and(|blocked| written - blocked.counted >= enough) {
            self.pinged = None;
        }
    }

    /// Returns an event that is due, or arms the timer for the next one. `deadline` is that of the
    /// phase.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reading: Reading,
        deadline: Option<Instant>,
        limits: &Limits,
    ) -> Option<TimerEvent> {
        self.set_reading(reading);
        let (at, event) = self.next_event(deadline, limits)?;
        // If a deadline moves further away, the timer is not reset: it fires early and is set again
        // then.
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
            self.is_armed = false;
        }
        while !self.is_armed || self.timer.is_elapsed() {
            self.is_armed = true;
            // If the cooperative budget were used up, the timer would return pending without
            // registering the task. The session's turn runs without such a budget.
            if self.timer.as_mut().poll(cx).is_pending() {
                return None;
            }
            let now = Instant::now();
            if at <= now {
                self.note(event, now, limits);
                return Some(event);
            }
            self.timer.as_mut().reset(at);
            self.is_armed = false;
        }
        None
    }

    fn set_reading(&mut self, reading: Reading) {
        let before = std::mem::replace(&mut self.reading, reading);
        match reading {
            Reading::On if matches!(before, Reading::Watched | Reading::Blind) => {
                self.note_reading();
                // The pong may be behind bytes that were not read until now.
                self.pinged = self.pinged.map(|_| Instant::now());
            }
            Reading::On => self.note_reading(),
            Reading::Over => {
                self.note_reading();
                self.message_begun = None;
                self.share_at = None;
            }
            Reading::Watched => self.message_begun = None,
            Reading::Blind => {
                self.message_begun = None;
                self.waiting().full_since.get_or_insert_with(Instant::now);
            }
        }
    }

    fn next_event(
        &self,
        deadline: Option<Instant>,
        limits: &Limits,
    ) -> Option<(Instant, TimerEvent)> {
        let Limits { ping_interval, ping_timeout, write_timeout, message_timeout, .. } = limits;
        let liveness = match (self.reading, self.pinged) {
            (Reading::Over, _) => None,
            (_, None) => Some((self.next_ping, TimerEvent::Ping)),
            (Reading::On, Some(at)) => Some((after(at, *ping_timeout), TimerEvent::NoPong)),
            // The pong may wait in the socket. Further pings detect whether the client's host still
            // takes them: if not, the socket fails.
            (Reading::Watched, Some(_)) => Some((self.next_ping, TimerEvent::Ping)),
            // `InboxFull` below limits this time.
            (Reading::Blind, Some(_)) => None,
        };
        let blocked = self.blocked.as_ref().map(|blocked| after(blocked.since, *write_timeout));
        let begun = self.message_begun.map(|(_, at)| after(at, *message_timeout));
        let mut next = liveness;
        // If two are due at the same time, the later one in this list comes first. Most are `None`.
        let mut consider = |at: Option<Instant>, event| {
            if let Some(at) = at
                && next.is_none_or(|(first, _)| at <= first)
            {
                next = Some((at, event));
            }
        };
        consider(self.large_at.map(|at| at + KEEP_LARGE), TimerEvent::Shrink);
        consider(self.share_at, TimerEvent::CheckShare);
        consider(begun, TimerEvent::Unfinished);
        if let Some(waiting) = &self.waiting {
            let full_since = |since| after(after(since, *ping_interval), *ping_timeout);
            consider(waiting.full_since.map(full_since), TimerEvent::InboxFull);
            consider(waiting.slow_at(), TimerEvent::SlowHandler);
        }
        consider(blocked, TimerEvent::Blocked);
        consider(deadline, TimerEvent::Deadline);
        next
    }

    fn note(&mut self, event: TimerEvent, now: Instant, limits: &Limits) {
        match event {
            TimerEvent::Ping => {
                self.next_ping = deadline_after(limits.ping_interval);
                self.pinged = Some(now);
            }
            TimerEvent::Shrink => self.large_at = None,
            TimerEvent::Blocked => self.blocked = None,
            TimerEvent::InboxFull => self.note_reading(),
            TimerEvent::SlowHandler => self.waiting().note_period(),
            TimerEvent::Unfinished => self.message_begun = None,
            TimerEvent::CheckShare => self.share_at = Some(now + SHARE_INTERVAL),
            TimerEvent::NoPong => self.pinged = None,
            TimerEvent::Deadline => {}
        }
    }
}

/// Like [`deadline_after`], but from an instant in the past.
fn after(since: Instant, timeout: Duration) -> Instant {
    since.checked_add(timeout).unwrap_or_else(|| deadline_after(timeout))
}
