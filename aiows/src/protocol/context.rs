//! The decoding contexts of connections. Between two messages a connection has none, so that
//! connections can share them.

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

/// The bytes that a context reads at once. It zero-fills as many before every read.
const READ_BUFFER: usize = 1024;

/// Space for one control frame. A context writes only control frames.
const WRITE_BUFFER: usize = 256;

thread_local! {
    static SPARE: Cell<Option<Box<WebSocketContext>>> = const { Cell::new(None) };
}

/// Returns an unused context, for messages of up to `message_size` bytes.
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

/// Keeps a context for the next [`take`] on this thread. It must hold no bytes of its connection.
pub(super) fn give_back(context: Box<WebSocketContext>) {
    SPARE.set(Some(context));
}

/// The maximum number of bytes that all connections together keep in grown buffers.
const KEPT_TOTAL: usize = 16 * 1024 * 1024;

static KEPT: AtomicUsize = AtomicUsize::new(0);

/// The buffer of a context after a large message. The context itself would never shrink it.
#[derive(Debug)]
pub(super) struct GrownBuffer {
    /// The size of the largest message that the context has decoded.
    size: usize,
    /// How much of the size is counted in [`KEPT`].
    kept: usize,
}

impl GrownBuffer {
    pub(super) fn new(size: usize) -> Self {
        Self { size, kept: 0 }
    }

    pub(super) fn grow(&mut self, size: usize) {
        self.size = self.size.max(size);
    }

    /// Counts the buffer as kept for further messages. Returns `false` if the buffers of others
    /// have reached the maximum.
    pub(super) fn keep(&mut self) -> bool {
        let more = self.size - self.kept;
        let kept = KEPT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |kept| {
            kept.checked_add(more).filter(|kept| *kept <= KEPT_TOTAL)
        });
        if kept.is_ok() {
            self.kept = self.size;
        }
        kept.is_ok()
    }
}

impl Drop for GrownBuffer {
    fn drop(&mut self) {
        KEPT.fetch_sub(self.kept, Ordering::Relaxed);
    }
}

/// The stream that a context reads: the bytes that have arrived. It drops writes, because a context
/// that receives no control frames has no answers to write.
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
