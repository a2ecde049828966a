//! The extractor [`Frame`]: a message in the kind of frame it was sent in.

use bytes::Bytes;

use super::Call;
use super::builtin::no_message;
use super::needs::Need;
use super::{Extraction, FromCall, Needs};

/// A message as the client sent it, as text or as bytes, for relays and for protocols of your own.
///
/// All other extractors treat bytes that are UTF-8 like text. A `#[fallback]` that takes a `Frame`
/// is a relay: it receives every frame that no other handler takes as a message, and these frames
/// are not acknowledged.
///
/// ```
/// use aiows::extract::Frame;
/// use aiows::{Result, WebSocket, fallback};
///
/// #[fallback]
/// async fn echo(ws: WebSocket, frame: Frame) -> Result {
///     match frame {
///         Frame::Text(text) => ws.send_text(&text).await?,
///         Frame::Binary(bytes) => ws.send_binary(&bytes).await?,
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text frame.
    Text(String),
    /// A binary frame.
    Binary(Bytes),
}

#[diagnostic::do_not_recommend]
impl FromCall for Frame {
    fn from_call(call: &Call) -> Extraction<Self> {
        let frame = call.inbound().map(|inbound| match inbound.as_text() {
            Some(text) if !inbound.is_binary() => Self::Text(text.to_owned()),
            // A copy: the original shares the connection's read buffer.
            _ => Self::Binary(Bytes::copy_from_slice(inbound.bytes())),
        });
        frame.ok_or_else(|| no_message("Frame")).into()
    }

    fn needs(needs: &mut Needs) {
        needs.message::<Self>();
        needs.push(Need::AnyFrame);
    }
}
