//! What the one timer of the session does.

use std::ops::ControlFlow;
use std::task::Context;

use super::phase::ClientEnd;
use super::{Answers, ConnectionIo, Handler, Phase};
use crate::close::DisconnectReason;
use crate::error::closing;
use crate::outbox::CloseRequest;
use crate::session::clock::TimerEvent;

impl ConnectionIo {
    /// Returns what is due, or arms the timer.
    pub(super) fn poll_clock(
        &mut self,
        cx: &mut Context<'_>,
        handler: Handler,
    ) -> Option<TimerEvent> {
        let deadline = match self.phase {
            // Here the client has to read, for which it has the write timeout.
            Phase::Leaving { .. } if handler == Handler::None && self.answers == Answers::Wait => {
                None
            }
            _ => self.phase.deadline(),
        };
        self.clock.poll(cx, self.reading(), deadline, &self.limits)
    }

    /// Does what is due; `Break` if a pending handler has to be dropped.
    pub(super) fn act_on(&mut self, event: TimerEvent) -> ControlFlow<()> {
        match event {
            TimerEvent::Shrink => {
                self.protocol.shrink();
                if self.protocol.has_grown() {
                    // The next message is under way in it: tried again later.
                    self.clock.note_large();
                }
            }
            // One that waits for its client does not hang.
            TimerEvent::Slow if self.socket.awaits_answer() => {}
            TimerEvent::Slow => self.clock.waiting().name_handler(),
            TimerEvent::Ping => self.outbox().ping(),
            TimerEvent::Silent => {
                tracing::debug!(connection = %self.socket.id(), "no answer to a ping");
                self.reason.get_or_insert(DisconnectReason::Timeout);
                self.lose();
                return ControlFlow::Break(());
            }
            TimerEvent::Stuck if self.phase.handles_messages() => {
                self.close(CloseRequest::slow_consumer());
            }
            TimerEvent::Stuck if self.phase.deadline().is_none() => {
                tracing::debug!(connection = %self.socket.id(), "close frame not read in time");
                self.lose();
                return ControlFlow::Break(());
            }
            // The deadline of the phase bounds it.
            TimerEvent::Stuck => {}
            TimerEvent::Unread => {
                self.close_for_limit(closing::UNREAD);
            }
            TimerEvent::Share if self.unfinished.has_too_much(self.limits.inbound_total) => {
                self.close_for_unfinished();
            }
            TimerEvent::Share => {}
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

    /// A handler that its client did not wait for has had its time; the client is still answered.
    fn pass_deadline(&mut self) {
        match &mut self.phase {
            Phase::Leaving { end, .. } => {
                let end = end.take().map_or(ClientEnd::Finished, |end| *end);
                self.conclude(end);
            }
            _ => self.lose(),
        }
    }
}
