//! The deadlines of one connection, kept with a single timer.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::Limits;

/// What is left for writing the last frame when the closing has taken long enough.
const LAST_WORD: Duration = Duration::from_secs(1);

/// How long a buffer for large messages is kept, and how close two of them make a stream.
const KEEP_LARGE: Duration = Duration::from_secs(1);

/// A peer is pinged at every interval, busy or not: that way nothing reads the time per message,
/// and a peer is gone at most an interval and a timeout after it was last heard.
pub(super) struct Clock {
    timer: Pin<Box<Sleep>>,
    /// Whether the timer knows the task to wake.
    armed: bool,
    ping_interval: Duration,
    ping_timeout: Duration,
    write_timeout: Duration,
    next_ping: Instant,
    /// When an unanswered ping was sent.
    pinged: Option<Instant>,
    /// Since when the socket takes nothing, and how much it had taken until then.
    stuck: Option<(Instant, u64)>,
    end_by: Option<Instant>,
    /// When the last large message came.
    large_at: Option<Instant>,
    shrink_at: Option<Instant>,
}

/// What the time has come for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The closing has taken long enough.
    End,
    Ping,
    /// The peer has answered no ping.
    Silent,
    /// The peer has read nothing.
    Stuck,
    /// A large buffer was kept long enough.
    Shrink,
    /// Nothing, while the peer is not read from.
    Wait,
}

impl Clock {
    pub(super) fn new(limits: &Limits) -> Self {
        let next_ping = Instant::now() + limits.ping_interval;
        Self {
            timer: Box::pin(sleep_until(next_ping)),
            armed: false,
            ping_interval: limits.ping_interval,
            ping_timeout: limits.ping_timeout,
            write_timeout: limits.write_timeout,
            next_ping,
            pinged: None,
            stuck: None,
            end_by: None,
            large_at: None,
            shrink_at: None,
        }
    }

    /// Any bytes of the peer are a sign of life.
    pub(super) fn heard(&mut self) {
        self.pinged = None;
    }

    pub(super) fn set_end(&mut self, after: Duration) {
        self.end_by.get_or_insert_with(|| Instant::now() + after);
    }

    /// Whether a large message came a short time ago; notes that one has come now.
    pub(super) fn is_second_large(&mut self) -> bool {
        let now = Instant::now();
        let last = self.large_at.replace(now);
        last.is_some_and(|last| now - last < KEEP_LARGE)
    }

    /// Keeps a large buffer for a while.
    pub(super) fn keep_large(&mut self) {
        self.shrink_at.get_or_insert_with(|| Instant::now() + KEEP_LARGE);
    }

    /// The socket refuses bytes after it has taken `written` of them.
    pub(super) fn blocked(&mut self, written: u64) {
        if self.stuck.is_none_or(|(_, before)| before != written) {
            self.stuck = Some((Instant::now(), written));
        }
    }

    /// From now on the socket may take nothing for this long.
    pub(super) fn allow_stuck(&mut self, timeout: Duration) {
        self.write_timeout = timeout;
        self.stuck = None;
    }

    pub(super) fn unblocked(&mut self) {
        self.stuck = None;
    }

    /// Says what is due, or arms the timer for what is next.
    ///
    /// `listening` says that the peer is read from: only then its silence means anything.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, listening: bool) -> Option<Due> {
        let (at, due) = self.next(listening);
        // A deadline that moves away leaves the timer alone: it fires early and is set again.
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
            self.armed = false;
        }
        while !self.armed || self.timer.is_elapsed() {
            self.armed = true;
            if self.timer.as_mut().poll(cx).is_pending() {
                return None;
            }
            let now = Instant::now();
            if at <= now {
                self.note(due, now);
                return Some(due);
            }
            self.timer.as_mut().reset(at);
            self.armed = false;
        }
        None
    }

    fn next(&self, listening: bool) -> (Instant, Due) {
        let liveness = match self.pinged {
            _ if self.end_by.is_some() => None,
            None => Some((self.next_ping, Due::Ping)),
            Some(at) if listening => Some((at + self.ping_timeout, Due::Silent)),
            // The answer may be there, unread; one ping is enough.
            Some(at) => Some((at + self.ping_timeout + self.ping_interval, Due::Wait)),
        };
        let stuck = self.stuck.map(|(since, _)| (since + self.write_timeout, Due::Stuck));
        let end = self.end_by.map(|at| (at, Due::End));
        let shrink = self.shrink_at.map(|at| (at, Due::Shrink));
        let due = [end, stuck, shrink, liveness].into_iter().flatten().min_by_key(|(at, _)| *at);
        due.unwrap_or((self.next_ping, Due::Ping))
    }

    fn note(&mut self, due: Due, now: Instant) {
        match due {
            Due::Ping => {
                self.next_ping = now + self.ping_interval;
                self.pinged = Some(now);
            }
            Due::Shrink => self.shrink_at = None,
            Due::Wait => self.pinged = Some(now),
            Due::Stuck => self.stuck = None,
            Due::End => self.end_by = Some(now + LAST_WORD),
            Due::Silent => self.pinged = None,
        }
    }
}
