//! One message for many peers: encoded once, appended to each of their outboxes.

use bytes::Bytes;

use super::flush::Flush;
use super::{MAX_INLINE, Outbox};
use crate::codec::{Encoded, HEADROOM};
use crate::error::SendError;
use crate::transport::{Opcode, write_header};

/// A whole frame that any number of outboxes may hold.
#[derive(Clone, Debug)]
pub(crate) struct SharedFrame {
    bytes: Bytes,
    /// Bytes of payload.
    size: usize,
}

impl SharedFrame {
    pub(crate) fn new(opcode: Opcode, message: Encoded) -> Self {
        let mut frame = message.into_buffer();
        let start = write_header(opcode, &mut frame);
        let size = frame.len() - HEADROOM;
        Self { bytes: Bytes::from(frame).slice(start..), size }
    }
}

impl Outbox {
    /// Appends a frame if there is room, without waiting; `true` when the caller has to see to it
    /// that [`keep_promise`](Self::keep_promise) is called.
    ///
    /// # Errors
    ///
    /// `Closed` or `Full`.
    pub(crate) fn publish(&self, frame: &SharedFrame) -> Result<bool, SendError> {
        let mut state = self.lock();
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        if !state.queue.has_room(frame.size, self.max_messages, self.max_size) {
            return Err(SendError::Full);
        }
        match frame.size <= MAX_INLINE {
            true => state.queue.push_copy(&frame.bytes, frame.size),
            false => state.queue.push_shared(frame.bytes.clone(), frame.size),
        }
        let flush = state.published();
        drop(state);
        match flush {
            Flush::Known => Ok(false),
            Flush::Promised => Ok(true),
            Flush::Session(sleeper) => {
                sleeper.wake();
                Ok(false)
            }
        }
    }
}
