//! The deadlines of one connection, kept with a single timer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::Limits;

pub(super) struct Clock {
    timer: Pin<Box<Sleep>>,
    ping_interval: Duration,
    ping_timeout: Duration,
    write_timeout: Duration,
    /// When the peer was last heard.
    heard: Instant,
    pinged: Option<Instant>,
    /// Since when the socket takes nothing, and how much it had taken until then.
    stuck: Option<(Instant, u64)>,
    end_by: Option<Instant>,
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
}

impl Clock {
    pub(super) fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            timer: Box::pin(sleep_until(now + limits.ping_interval)),
            ping_interval: limits.ping_interval,
            ping_timeout: limits.ping_timeout,
            write_timeout: limits.write_timeout,
            heard: now,
            pinged: None,
            stuck: None,
            end_by: None,
        }
    }

    pub(super) fn heard(&mut self) {
        self.heard = Instant::now();
        self.pinged = None;
    }

    pub(super) fn set_end(&mut self, after: Duration) {
        self.end_by.get_or_insert_with(|| Instant::now() + after);
    }

    /// The socket refuses bytes after it has taken `written` of them.
    pub(super) fn blocked(&mut self, written: u64) {
        if self.stuck.is_none_or(|(_, before)| before != written) {
            self.stuck = Some((Instant::now(), written));
        }
    }

    pub(super) fn unblocked(&mut self) {
        self.stuck = None;
    }

    /// Says what is due, or arms the timer for what is next.
    ///
    /// `listening` says that the peer is read from: only then its silence means anything.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, listening: bool) -> Option<Due> {
        let (at, due) = self.next(listening);
        if at != self.timer.deadline() && (at < self.timer.deadline() || self.timer.is_elapsed()) {
            self.timer.as_mut().reset(at);
        }
        // The timer may be early, because a deadline that moves away does not touch it.
        while let Poll::Ready(()) = self.timer.as_mut().poll(cx) {
            if at <= Instant::now() {
                self.note(due);
                return Some(due);
            }
            self.timer.as_mut().reset(at);
        }
        None
    }

    fn next(&self, listening: bool) -> (Instant, Due) {
        let liveness = match self.pinged {
            _ if self.end_by.is_some() => None,
            Some(pinged) if listening => Some((pinged + self.ping_timeout, Due::Silent)),
            _ => Some((self.heard + self.ping_interval, Due::Ping)),
        };
        let stuck = self
            .stuck
            .map(|(since, _)| (since + self.write_timeout, Due::Stuck));
        let end = self.end_by.map(|at| (at, Due::End));
        let far = (self.heard + self.ping_interval, Due::Ping);
        [end, stuck, liveness]
            .into_iter()
            .flatten()
            .min_by_key(|(at, _)| *at)
            .unwrap_or(far)
    }

    fn note(&mut self, due: Due) {
        let now = Instant::now();
        match due {
            Due::Ping => {
                self.heard = now;
                self.pinged = Some(now);
            }
            Due::Stuck => self.stuck = None,
            Due::End => self.end_by = Some(now + self.ping_interval),
            Due::Silent => self.pinged = None,
        }
    }
}
