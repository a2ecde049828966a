//! The actions of the session's timer.

use std::ops::ControlFlow;
use std::task::Context;

use super::phase::ClientEnd;
use super::{Answers, ConnectionIo, Handler, Phase};
use crate::close::DisconnectReason;
use crate::error::closing;
use crate::outbox::CloseRequest;
use crate::session::clock::TimerEvent;

impl ConnectionIo {
    /// Returns an event that is due, or arms the timer.
    pub(super) fn poll_clock(
        &mut self,
        cx: &mut Context<'_>,
        handler: Handler,
    ) -> Option<TimerEvent> {
        let deadline = match self.phase {
            // The client has to read first, and the write timeout limits that.
            Phase::Leaving { .. } if handler == Handler::None && self.answers == Answers::Wait => {
                None
            }
            _ => self.phase.deadline(),
        };
        self.clock.poll(cx, self.reading(), deadline, &self.limits)
    }

    /// Carries out an event; `Break` if a pending handler has to be dropped.
    pub(super) fn act_on(&mut self, event: TimerEvent) -> ControlFlow<()> {
        match event {
            TimerEvent::Shrink => {
                self.protocol.shrink();
                if self.protocol.has_grown() {
                    // The next message is already arriving in this buffer, so this is tried again
                    // later.
                    self.clock.note_large();
                }
            }
            // A handler that waits for its client does not hang.
            TimerEvent::SlowHandler if self.socket.awaits_answer() => {}
            TimerEvent::SlowHandler => self.clock.waiting().set_warning_due(),
            TimerEvent::Ping => self.outbox().ping(),
            TimerEvent::NoPong => {
                tracing::debug!(connection = %self.socket.id(), "no answer to a ping");
                self.reason.get_or_insert(DisconnectReason::Timeout);
                self.end_now();
                return ControlFlow::Break(());
            }
            TimerEvent::Blocked if self.phase.handles_messages() => {
                self.close(CloseRequest::slow_consumer());
            }
            TimerEvent::Blocked if self.phase.deadline().is_none() => {
                tracing::debug!(connection = %self.socket.id(), "close frame not read in time");
                self.end_now();
                return ControlFlow::Break(());
            }
            // The deadline of the phase limits this.
            TimerEvent::Blocked => {}
            TimerEvent::InboxFull => {
                self.close_for_limit(closing::UNREAD);
            }
            TimerEvent::CheckShare if self.unfinished.has_too_much(self.limits.inbound_total) => {
                self.close_for_unfinished();
            }
            TimerEvent::CheckShare => {}
            TimerEvent::Unfinished => {
                self.close_for_limit(closing::UNFINISHED);
            }
            TimerEvent::Deadline => {
                self.pass_deadline();
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// Ends a phase at its deadline. In `Leaving`, a handler has used up its time, and the
    /// connection now closes in the way its client has ended it.
    fn pass_deadline(&mut self) {
        match &mut self.phase {
            Phase::Leaving { end, .. } => {
                let end = end.take().map_or(ClientEnd::Finished, |end| *end);
                self.conclude(end);
            }
            _ => self.end_now(),
        }
    }
}
