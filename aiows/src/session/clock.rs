//! The deadlines of one connection, kept with a single timer.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::waiting::Waiting;
use crate::limits::{Limits, deadline_after};

/// How long a buffer for large messages is kept, and how close two of them make a stream.
const KEEP_LARGE: Duration = Duration::from_secs(1);

/// How often a large unfinished message is compared with its share of the memory for all of them.
const SHARE_INTERVAL: Duration = Duration::from_secs(1);

/// A client is pinged at every interval, busy or not: that way nothing reads the time per message,
/// and a client is gone at most an interval and a timeout after its last sign of life.
pub(super) struct Clock {
    timer: Pin<Box<Sleep>>,
    /// Whether the timer has registered the task that it wakes.
    is_armed: bool,
    next_ping: Instant,
    /// When an unanswered ping was sent.
    pinged: Option<Instant>,
    reading: Reading,
    /// Set while the socket takes nothing.
    stuck: Option<Box<Stuck>>,
    waiting: Option<Waiting>,
    /// The number of the message under way, and since when the rest of it is waited for.
    message_begun: Option<(u32, Instant)>,
    /// When a large unfinished message is compared with its share next.
    share_at: Option<Instant>,
    /// When the last large message came, unless that is long ago.
    large_at: Option<Instant>,
}

/// A socket that takes nothing.
struct Stuck {
    since: Instant,
    /// The bytes it had taken until then.
    written: u64,
    /// The bytes it had taken when it was last a sign of life, or when it first took nothing.
    counted: u64,
}

/// What has to be done because its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimerEvent {
    /// The deadline of the session's phase has passed.
    Deadline,
    /// A ping is due.
    Ping,
    /// The client has not answered a ping.
    Silent,
    /// The socket has taken nothing for too long.
    Stuck,
    /// A message is not finished.
    Unfinished,
    /// A large unfinished message may have more than its share, although no more of it has come.
    Share,
    /// The inbound queue has been full for so long that a client which left would not be noticed.
    Unread,
    /// A large buffer was kept long enough.
    Shrink,
    /// A handler has been pending for long.
    Slow,
}

/// Whether the client is read from, and otherwise what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    On,
    /// Not read from; the socket reports it if the client leaves.
    Watched,
    /// Not read from, and nothing would report that the client has left.
    Blind,
    /// Nothing is expected of the client.
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
            stuck: None,
            waiting: None,
            message_begun: None,
            share_at: None,
            large_at: None,
        }
    }

    /// Any bytes of the client are a sign of life.
    pub(super) fn note_read(&mut self) {
        self.pinged = None;
    }

    /// A handler has returned: the inbound queue moves on.
    pub(super) fn note_progress(&mut self) {
        self.waiting = None;
    }

    pub(super) fn waiting(&mut self) -> &mut Waiting {
        self.waiting.get_or_insert_default()
    }

    /// How long the handler has been pending.
    pub(super) fn handler_time(&self) -> Duration {
        self.waiting.as_ref().map_or(Duration::ZERO, Waiting::handler_time)
    }

    fn note_reading(&mut self) {
        if let Some(waiting) = &mut self.waiting {
            waiting.unread = None;
        }
    }

    /// Starts the deadline of a message when the first part of it arrives without the rest.
    pub(super) fn set_message_under_way(&mut self, number: Option<u32>) {
        if self.message_begun.map(|(number, _)| number) != number {
            self.message_begun = number.map(|number| (number, Instant::now()));
        }
    }

    /// Compares a large unfinished message with its share from time to time.
    pub(super) fn watch_share(&mut self) {
        self.share_at.get_or_insert_with(|| Instant::now() + SHARE_INTERVAL);
    }

    /// There is no such message any more.
    pub(super) fn forget_share(&mut self) {
        self.share_at = None;
    }

    /// Notes that a large message has come; `true` if another one came a short time ago. `Shrink` is due
    /// a short time after the last one.
    pub(super) fn note_large(&mut self) -> bool {
        let now = Instant::now();
        let last = self.large_at.replace(now);
        last.is_some_and(|last| now - last < KEEP_LARGE)
    }

    /// The socket refuses bytes after it has taken `written` of them. From `enough` bytes on, what a full
    /// socket takes is a sign of life: it has room again only because the client has read.
    pub(super) fn note_blocked(&mut self, written: u64, enough: u64) {
        let now = Instant::now();
        let stuck = self
            .stuck
            .get_or_insert_with(|| Box::new(Stuck { since: now, written, counted: written }));
        if stuck.written != written {
            (stuck.since, stuck.written) = (now, written);
            if written - stuck.counted >= enough {
                stuck.counted = written;
                self.pinged = None;
            }
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.stuck.is_some()
    }

    /// The socket has taken everything, `written` bytes altogether; `enough` as above.
    pub(super) fn note_unblocked(&mut self, written: u64, enough: u64) {
        if self.stuck.take().is_some_and(|stuck| written - stuck.counted >= enough) {
            self.pinged = None;
        }
    }

    /// Returns what is due, or arms the timer for what is next. `deadline` is that of the phase.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        reading: Reading,
        deadline: Option<Instant>,
        limits: &Limits,
    ) -> Option<TimerEvent> {
        self.follow(reading);
        let (at, event) = self.next(deadline, limits)?;
        // A deadline that moves away leaves the timer alone: it fires early and is set again.
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
            self.is_armed = false;
        }
        while !self.is_armed || self.timer.is_elapsed() {
            self.is_armed = true;
            // With its budget used up a timer would return pending and register nothing; the turn of
            // the session runs without one.
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

    fn follow(&mut self, reading: Reading) {
        let before = std::mem::replace(&mut self.reading, reading);
        match reading {
            Reading::On if matches!(before, Reading::Watched | Reading::Blind) => {
                self.note_reading();
                // The answer may still be on its way behind what was not read.
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
                self.waiting().unread.get_or_insert_with(Instant::now);
            }
        }
    }

    fn next(&self, deadline: Option<Instant>, limits: &Limits) -> Option<(Instant, TimerEvent)> {
        let Limits { ping_interval, ping_timeout, write_timeout, message_timeout, .. } = limits;
        let liveness = match (self.reading, self.pinged) {
            (Reading::Over, _) => None,
            (_, None) => Some((self.next_ping, TimerEvent::Ping)),
            (Reading::On, Some(at)) => Some((after(at, *ping_timeout), TimerEvent::Silent)),
            // The answer may wait in the socket. Further pings find out whether the client's host still
            // takes them: if not, the socket fails.
            (Reading::Watched, Some(_)) => Some((self.next_ping, TimerEvent::Ping)),
            // The deadline below bounds it.
            (Reading::Blind, Some(_)) => None,
        };
        let stuck = self.stuck.as_ref().map(|stuck| after(stuck.since, *write_timeout));
        let begun = self.message_begun.map(|(_, at)| after(at, *message_timeout));
        let mut next = liveness;
        // Of two at the same time the one that stands lower is due first. Most are `None`.
        let mut consider = |at: Option<Instant>, event| {
            if let Some(at) = at
                && next.is_none_or(|(first, _)| at <= first)
            {
                next = Some((at, event));
            }
        };
        consider(self.large_at.map(|at| at + KEEP_LARGE), TimerEvent::Shrink);
        consider(self.share_at, TimerEvent::Share);
        consider(begun, TimerEvent::Unfinished);
        if let Some(waiting) = &self.waiting {
            let unread = |since| after(after(since, *ping_interval), *ping_timeout);
            consider(waiting.unread.map(unread), TimerEvent::Unread);
            consider(waiting.slow_at(), TimerEvent::Slow);
        }
        consider(stuck, TimerEvent::Stuck);
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
            TimerEvent::Stuck => self.stuck = None,
            TimerEvent::Unread => self.note_reading(),
            TimerEvent::Slow => self.waiting().note_lapse(),
            TimerEvent::Unfinished => self.message_begun = None,
            TimerEvent::Share => self.share_at = Some(now + SHARE_INTERVAL),
            TimerEvent::Silent => self.pinged = None,
            TimerEvent::Deadline => {}
        }
    }
}

/// As [`deadline_after`], from an instant that has passed.
fn after(since: Instant, timeout: Duration) -> Instant {
    since.checked_add(timeout).unwrap_or_else(|| deadline_after(timeout))
}
