//! How a connection ends: the transitions between the phases of its session.

use std::io;
use std::ops::ControlFlow;
use std::task::{Context, Poll};
use std::time::Duration;

use super::phase::ClientEnd;
use super::read::Intake;
use super::{ConnectionIo, Handler, Phase};
use crate::close::DisconnectReason;
use crate::error::{Closing, closing};
use crate::limits::deadline_after;
use crate::outbox::{CloseMode, CloseOrder, CloseRequest, Writability};
use crate::protocol::{PeerClose, close_frame};
use crate::transport::{Io, StreamPanicked};
use crate::websocket::{EndedBy, Standing};

/// How long a connection that is cut may take for what is finished and its close frame.
const CUT_TIMEOUT: Duration = Duration::from_millis(300);

/// The least time in which a slow client reads the rest of a message and its close frame.
const SLOW_TIMEOUT: Duration = Duration::from_secs(1);

impl ConnectionIo {
    /// Why the connection ended.
    pub(in crate::session) fn reason(&self) -> DisconnectReason {
        self.reason.clone().unwrap_or_else(lost)
    }

    /// Closes or cuts the connection if that was requested; `Break` if a pending handler has to be dropped.
    pub(super) fn follow_close_order(&mut self, handler: Handler) -> ControlFlow<(), Intake> {
        match self.outbox().take_close_order(self.accepted(handler)) {
            CloseOrder::None => {}
            CloseOrder::Drain => return ControlFlow::Continue(Intake::AnswersOnly),
            CloseOrder::Close(request) => {
                let mode = request.mode;
                self.close(*request);
                if mode == CloseMode::Cut {
                    self.is_cut = true;
                    return ControlFlow::Break(());
                }
            }
            CloseOrder::Cut => {
                self.is_cut = true;
                self.cut();
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(Intake::Messages)
    }

    /// Sends a close frame and gives up what was not handled.
    pub(in crate::session) fn close(&mut self, request: CloseRequest) {
        if !self.phase.handles_messages() {
            // A connect handler that fails after the connection was closed changes nothing.
            return;
        }
        let CloseRequest { code, reason, because, mode, .. } = request;
        let is_slow = because == DisconnectReason::SlowConsumer;
        if is_slow {
            // Nothing may follow a message that is cut between two fragments.
            self.outbox().seal(None);
            let dropped = self.outbox().discard_unsent();
            tracing::warn!(connection = %self.socket.id(), dropped, "slow consumer");
        }
        self.outbox().seal(Some(close_frame(Some(code), &reason)));
        // Long enough for a slow client that has just resumed.
        let by = is_slow.then(|| deadline_after(self.limits.write_timeout.max(SLOW_TIMEOUT)));
        let phase = match (&self.phase, mode) {
            (_, CloseMode::Cut) => Phase::Failing { by: Some(deadline_after(CUT_TIMEOUT)) },
            (Phase::Leaving { end: Some(end), .. }, _) => match **end {
                ClientEnd::Close(_) | ClientEnd::Finished => Phase::Flushing { by },
                ClientEnd::Failure(_) => Phase::Failing { by },
                ClientEnd::Reset => Phase::Ended {
                    by: by.unwrap_or_else(|| deadline_after(self.limits.close_timeout)),
                },
            },
            _ => Phase::Closing { by },
        };
        self.stop_handling(phase, because);
    }

    /// Stops waiting for the client, whose close frame is queued already.
    pub(super) fn cut(&mut self) {
        if self.outbox().is_flushed() {
            self.lose();
        } else if !self.phase.has_ended() {
            self.phase = Phase::Failing { by: Some(deadline_after(CUT_TIMEOUT)) };
        }
    }

    pub(super) fn close_for_limit(&mut self, Closing { code, reason }: Closing) {
        self.close(CloseRequest::handshake(code, reason, DisconnectReason::Protocol { code }));
    }

    /// Closes a connection whose unfinished message takes more than its share.
    pub(super) fn close_for_unfinished(&mut self) {
        if self.phase.takes_messages() {
            self.close_for_limit(closing::TOO_MUCH_UNFINISHED);
        }
    }

    /// The client will send no more, but not everything before is read.
    pub(super) fn note_finished(&mut self) {
        if matches!(self.phase, Phase::Open) {
            self.outbox().note_client_end();
            self.socket.registry().depart(&self.socket, Standing::Leaving, EndedBy::Client);
            let handler_by = deadline_after(self.limits.close_timeout);
            self.phase = Phase::Leaving { end: None, handler_by };
        }
    }

    /// Gives the next handler of a client that is leaving the whole time.
    pub(super) fn renew_handler_deadline(&mut self) {
        if let Phase::Leaving { handler_by, .. } = &mut self.phase {
            *handler_by = deadline_after(self.limits.close_timeout);
        }
    }

    /// The stream has failed.
    #[cold]
    pub(super) fn fail(&mut self, error: &io::Error) {
        self.note_failure(error);
        self.client_ended(ClientEnd::Reset);
    }

    #[cold]
    pub(super) fn note_failure(&self, error: &io::Error) {
        if StreamPanicked::caused(error) {
            tracing::error!(connection = %self.socket.id(), "the stream of a connection panicked");
        }
    }

    /// The client has closed, or its side of the stream has ended.
    pub(super) fn client_ended(&mut self, end: ClientEnd) {
        let by = match end {
            ClientEnd::Failure(_) => EndedBy::Server,
            ClientEnd::Close(_) | ClientEnd::Finished | ClientEnd::Reset => EndedBy::Client,
        };
        self.socket.registry().depart(&self.socket, Standing::Leaving, by);
        self.socket.end_requests();
        let is_reset = matches!(end, ClientEnd::Reset);
        if is_reset {
            // Nothing that waits can be delivered.
            self.outbox().end();
            self.writability = Writability::Ready;
        }
        match (&self.phase, end) {
            (Phase::Open | Phase::Leaving { end: None, .. }, end) => {
                self.outbox().note_client_end();
                let handler_by = deadline_after(self.limits.close_timeout);
                self.phase = Phase::Leaving { end: Some(Box::new(end)), handler_by };
            }
            // A fault of a message is found after the close frame behind it, and comes first.
            (
                Phase::Leaving { handler_by, .. },
                end @ (ClientEnd::Failure(_) | ClientEnd::Reset),
            ) => {
                self.phase = Phase::Leaving { end: Some(Box::new(end)), handler_by: *handler_by };
            }
            (Phase::Leaving { .. }, _) => {}
            (Phase::Closing { by }, ClientEnd::Close(_) | ClientEnd::Finished)
            | (Phase::Failing { by }, ClientEnd::Finished) => {
                self.phase = Phase::Flushing { by: *by };
            }
            (Phase::Closing { by }, ClientEnd::Failure(_)) => {
                self.phase = Phase::Failing { by: *by };
            }
            (Phase::Closing { .. } | Phase::Failing { .. } | Phase::Flushing { .. }, _) => {
                self.lose()
            }
            (Phase::Ended { .. }, _) => {}
        }
        if is_reset {
            self.protocol.discard();
        }
    }

    /// Drops what a client sent before it reset its connection, if a handler has closed that: there is nobody
    /// to send a close frame to, so no request to close comes of it.
    #[inline]
    pub(super) fn give_up_if_sent_away(&mut self) {
        if let Phase::Leaving { end: Some(end), .. } = &self.phase
            && matches!(**end, ClientEnd::Reset)
            && self.socket.membership().standing == Standing::SentAway
        {
            self.lose();
        }
    }

    /// Ends the connection as the client did, once its messages are handled; `true` if it has.
    pub(super) fn conclude_if_handled(&mut self) -> bool {
        let is_handled = self.inbox.is_empty() && !self.protocol.has_undecoded();
        match &mut self.phase {
            Phase::Leaving { end, .. } if is_handled => match end.take() {
                Some(end) => {
                    self.conclude(*end);
                    true
                }
                None => false,
            },
            _ => false,
        }
    }

    pub(super) fn conclude(&mut self, end: ClientEnd) {
        let by = None;
        let (frame, phase, because) = match end {
            ClientEnd::Close(PeerClose { code, reason }) => {
                let frame = close_frame(code, &reason);
                (Some(frame), Phase::Flushing { by }, DisconnectReason::Peer { code, reason })
            }
            ClientEnd::Failure(failure) => {
                let code = failure.code();
                let frame = close_frame(Some(code), &failure.reason());
                (Some(frame), Phase::Failing { by }, DisconnectReason::Protocol { code })
            }
            ClientEnd::Finished => (None, Phase::Flushing { by }, lost()),
            ClientEnd::Reset => return self.lose(),
        };
        self.outbox().seal(frame);
        self.stop_handling(phase, because);
    }

    fn stop_handling(&mut self, phase: Phase, because: DisconnectReason) {
        self.phase = phase;
        let by = match self.reason.get_or_insert(because) {
            DisconnectReason::Timeout => EndedBy::Client,
            _ => EndedBy::Server,
        };
        self.socket.registry().depart(&self.socket, Standing::SentAway, by);
        self.inbox.clear();
        self.protocol.drop_messages();
        // Less is never too much.
        let _ = self.unfinished.set(0, usize::MAX);
        self.socket.end_requests();
    }

    /// Once the last frame is written, starts the client's deadline and ends our side of the stream; that
    /// of plain TCP has ended with the write.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) {
        let (Phase::Closing { by } | Phase::Failing { by } | Phase::Flushing { by }) =
            &mut self.phase
        else {
            return;
        };
        if self.writability == Writability::Blocked {
            return;
        }
        by.get_or_insert_with(|| deadline_after(self.limits.close_timeout));
        // RFC 6455 section 7.1.1: the server ends the stream first. The client may still be sending:
        // dropping the socket then would make the kernel discard what the client has not received.
        if let Io::Stream(stream) = &mut self.io {
            match stream.poll_shutdown(cx) {
                Poll::Pending => return,
                // The end is near in any case.
                Poll::Ready(Err(error)) => self.note_failure(&error),
                Poll::Ready(Ok(())) => {}
            }
        }
        if matches!(self.phase, Phase::Flushing { .. }) {
            self.lose();
        }
    }

    /// Nothing can be read or written any more.
    pub(super) fn lose(&mut self) {
        let begun = self.phase.deadline();
        // A pending handler may go on for so long.
        let by = begun.unwrap_or_else(|| deadline_after(self.limits.close_timeout));
        self.stop_handling(Phase::Ended { by }, lost());
        self.outbox().end();
        self.writability = Writability::Ready;
    }
}

fn lost() -> DisconnectReason {
    DisconnectReason::Peer { code: None, reason: String::new() }
}
