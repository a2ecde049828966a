//! The contexts connections decode with: one that is between two messages serves any of them.

use std::cell::Cell;
use std::io::{self, Read, Write};

use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// What a context reads at once, in bytes; it zero-fills this much before every read.
const READ_BUFFER: usize = 1024;

/// Room for one control frame; a context writes nothing else.
const WRITE_BUFFER: usize = 256;

thread_local! {
    static SPARE: Cell<Option<Box<WebSocketContext>>> = const { Cell::new(None) };
}

/// A context that has seen nothing, for messages of up to `message_size` bytes.
pub(super) fn take(message_size: usize) -> Box<WebSocketContext> {
    match SPARE.take() {
        Some(spare) if spare.get_config().max_message_size == Some(message_size) => spare,
        _ => Box::new(WebSocketContext::new(Role::Server, Some(config(message_size)))),
    }
}

fn config(message_size: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(message_size))
        .max_frame_size(Some(message_size))
}

/// Keeps a context for the next [`take`] on this thread; it must hold no byte of its connection.
pub(super) fn give_back(context: Box<WebSocketContext>) {
    SPARE.set(Some(context));
}

/// The stream a context sees: the bytes that are there. It writes nothing, because it is given no
/// control frames to answer.
pub(super) struct Feed<'a> {
    pub(super) bytes: &'a [u8],
}

impl Read for Feed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.bytes.read(buffer)
    }
}

impl Write for Feed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
