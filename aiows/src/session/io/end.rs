//! The transitions between the phases of a session.

use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use super::phase::ClientEnd;
use super::read::Intake;
use super::{ConnectionIo, Handler, Phase};
use crate::close::DisconnectReason;
use crate::error::{Closing, closing};
use crate::limits::deadline_after;
use crate::outbox::{CloseMode, CloseOrder, CloseRequest, Writability};
use crate::protocol::{PeerClose, close_frame};
use crate::transport::StreamPanicked;
use crate::websocket::{EndedBy, Standing};

/// How long a connection that is cut may take to write its close frame and the frames before it.
const CUT_TIMEOUT: Duration = Duration::from_millis(300);

/// The least time that a slow client has to read the rest of a message and its close frame.
const SLOW_TIMEOUT: Duration = Duration::from_secs(1);

impl ConnectionIo {
    /// Returns why the connection ended.
    pub(in crate::session) fn reason(&self) -> DisconnectReason {
        self.reason.clone().unwrap_or_else(connection_lost)
    }

    /// Closes or cuts the connection if that was requested; `Break` if a pending handler has to be
    /// dropped.
    pub(super) fn follow_close_order(&mut self, handler: Handler) -> ControlFlow<(), Intake> {
        match self.outbox().take_close_order(self.accepted(handler)) {
            CloseOrder::None => {}
            CloseOrder::Drain => return ControlFlow::Continue(Intake::AnswersOnly),
            CloseOrder::Close { request, dropped } => {
                let mode = request.mode;
                self.await_close(*request, dropped);
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

    /// Sends a close frame and drops the messages that are not handled yet.
    pub(in crate::session) fn close(&mut self, request: CloseRequest) {
        if !self.phase.handles_messages() {
            // If a connect handler fails after the connection was closed, the first close counts.
            return;
        }
        let dropped = self.outbox().close(&request);
        self.await_close(request, dropped);
    }

    /// Stops handling messages, because the close frame of a request is queued.
    fn await_close(&mut self, request: CloseRequest, dropped: usize) {
        let CloseRequest { because, mode, .. } = request;
        let is_slow = because == DisconnectReason::SlowConsumer;
        if is_slow {
            tracing::warn!(connection = %self.socket.id(), dropped, "slow consumer");
        }
        // Long enough for a slow client that has just resumed reading.
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

    /// Stops waiting for the client. The close frame is queued already.
    pub(super) fn cut(&mut self) {
        if self.outbox().is_flushed() {
            self.end_now();
        } else if !self.phase.has_ended() {
            self.phase = Phase::Failing { by: Some(deadline_after(CUT_TIMEOUT)) };
        }
    }

    pub(super) fn close_for_limit(&mut self, Closing { code, reason }: Closing) {
        self.close(CloseRequest::handshake(code, reason, DisconnectReason::Protocol { code }));
    }

    /// Closes the connection because its unfinished message takes more than its share.
    pub(super) fn close_for_unfinished(&mut self) {
        if self.phase.takes_messages() {
            self.close_for_limit(closing::TOO_MUCH_UNFINISHED);
        }
    }

    /// Notes that the client will send no more, while some of its bytes are still unread.
    pub(super) fn note_finished(&mut self) {
        if matches!(self.phase, Phase::Open) {
            self.outbox().note_client_end();
            self.socket.registry().depart(&self.socket, Standing::Leaving, EndedBy::Client);
            let handler_by = deadline_after(self.limits.close_timeout);
            self.phase = Phase::Leaving { end: None, handler_by };
        }
    }

    /// Restarts the time limit for the next handler of a client that is leaving.
    pub(super) fn renew_handler_deadline(&mut self) {
        if let Phase::Leaving { handler_by, .. } = &mut self.phase {
            *handler_by = deadline_after(self.limits.close_timeout);
        }
    }

    /// Handles a failure of the stream.
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

    /// Handles the end of the client's side of the stream, with or without a close frame.
    pub(super) fn client_ended(&mut self, end: ClientEnd) {
        let by = match end {
            ClientEnd::Failure(_) => EndedBy::Server,
            ClientEnd::Close(_) | ClientEnd::Finished | ClientEnd::Reset => EndedBy::Client,
        };
        self.socket.registry().depart(&self.socket, Standing::Leaving, by);
        self.socket.end_requests();
        let is_reset = matches!(end, ClientEnd::Reset);
        if is_reset {
            // No queued frame can be delivered any more.
            self.outbox().end();
            self.writability = Writability::Ready;
        }
        match (&self.phase, end) {
            (Phase::Open | Phase::Leaving { end: None, .. }, end) => {
                self.outbox().note_client_end();
                let handler_by = deadline_after(self.limits.close_timeout);
                self.phase = Phase::Leaving { end: Some(Box::new(end)), handler_by };
            }
            // A fault in a message may be found after the close frame behind it, and takes
            // precedence.
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
                self.end_now()
            }
            (Phase::Ended { .. }, _) => {}
        }
        if is_reset {
            self.protocol.discard();
        }
    }

    /// Ends the connection if its client has reset it and a handler has closed it as well. The
    /// remaining messages are dropped. The outbox has ended by then and passes on no request to
    /// close, so the standing is checked instead.
    #[inline]
    pub(super) fn end_if_reset_and_closed(&mut self) {
        if let Phase::Leaving { end: Some(end), .. } = &self.phase
            && matches!(**end, ClientEnd::Reset)
            && self.socket.membership().standing == Standing::Closed
        {
            self.end_now();
        }
    }

    /// Closes the connection in the way the client has ended it, once its messages are handled;
    /// `true` if that happened.
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

    /// Closes the connection in the way the client has ended it, and stops handling messages.
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
            ClientEnd::Finished => (None, Phase::Flushing { by }, connection_lost()),
            ClientEnd::Reset => return self.end_now(),
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
        self.socket.registry().depart(&self.socket, Standing::Closed, by);
        self.inbox.clear();
        self.protocol.drop_messages();
        // A smaller size never exceeds the share.
        let _ = self.unfinished.set(0, usize::MAX);
        self.socket.end_requests();
    }

    /// Ends the connection: no bytes can be read or written any more.
    pub(super) fn end_now(&mut self) {
        let begun = self.phase.deadline();
        // A pending handler may run until then.
        let by = begun.unwrap_or_else(|| deadline_after(self.limits.close_timeout));
        self.stop_handling(Phase::Ended { by }, connection_lost());
        self.outbox().end();
        self.writability = Writability::Ready;
    }
}

fn connection_lost() -> DisconnectReason {
    DisconnectReason::Peer { code: None, reason: String::new() }
}
