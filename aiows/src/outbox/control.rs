use std::io::{self, Write};

use bytes::Bytes;

use super::Outbox;

/// Where the state machine writes: pongs and the close frame, each whole.
pub(crate) struct Control<'a> {
    pub(super) outbox: &'a Outbox,
}

impl Write for Control<'_> {
    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        const CLOSE: u8 = 0x88;
        const PONG: u8 = 0x8a;
        let mut state = self.outbox.lock();
        match frame.first() {
            Some(&CLOSE) if !state.sealed => {
                self.outbox.set_closing();
                state.sealed = true;
                state.note_ending();
                state.queue.push_last(Bytes::copy_from_slice(frame));
            }
            Some(&PONG) if !state.sealed => state.queue.push_pong(Bytes::copy_from_slice(frame)),
            _ => {}
        }
        Ok(frame.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
