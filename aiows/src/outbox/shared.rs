//! One message for many peers: encoded once, appended to each of their outboxes.

use bytes::Bytes;

use super::push::Verdict;
use super::{CloseWish, MAX_INLINE, Outbox};
use crate::codec::{Encoded, HEADROOM};
use crate::error::SendError;
use crate::overflow::{Overflow, Rule};
use crate::transport::{Opcode, write_header};

/// A whole frame that any number of outboxes may hold.
#[derive(Clone, Debug)]
pub(crate) struct SharedFrame {
    bytes: Bytes,
    /// Bytes of payload.
    size: usize,
    rule: Rule,
}

impl SharedFrame {
    pub(crate) fn new(opcode: Opcode, message: Encoded) -> Self {
        let rule = message.rule();
        let mut frame = message.into_buffer();
        let start = write_header(opcode, &mut frame);
        let size = frame.len() - HEADROOM;
        Self { bytes: Bytes::from(frame).slice(start..), size, rule }
    }
}

impl Outbox {
    /// Appends a frame, or does at once what its policy says; for a policy that drops, that is `Ok`.
    ///
    /// # Errors
    ///
    /// `Closed`, or `Full`; under `Overflow::Disconnect` the connection is being closed then.
    pub(crate) fn publish(&self, frame: &SharedFrame) -> Result<(), SendError> {
        let mut state = self.lock();
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        let SharedFrame { bytes, size, rule } = frame;
        let (verdict, shed) = self.judge(&mut state, *size, *rule, false);
        match verdict {
            Verdict::Append(Some(slot)) => state.queue.push_latest(slot, bytes.clone(), *size),
            Verdict::Append(None) if *size <= MAX_INLINE => state.queue.push_copy(bytes, *size),
            Verdict::Append(None) => state.queue.push_shared(bytes.clone(), *size),
            Verdict::Replace(at) => state.queue.replace(at, bytes.clone(), *size),
            Verdict::Drop => {}
            Verdict::Refuse(policy) => {
                drop(state);
                if policy == Overflow::Disconnect {
                    self.wish_close(CloseWish::slow_consumer());
                }
                return Err(SendError::Full);
            }
        }
        self.release(state, shed);
        Ok(())
    }
}
