use bytes::Bytes;

use super::Call;
use super::builtin::no_message;
use super::needs::Need;
use super::{Extraction, FromCall, Needs};

/// A message as it came: as text or as bytes. It is taken by relays and by protocols of your own.
///
/// Everywhere else bytes that are UTF-8 are as good as text. A fallback that takes it is a relay: it gets
/// every frame that is no message of another handler, and nothing is acknowledged.
///
/// ```
/// use aiows::{Frame, Result, WebSocket, fallback};
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
    /// It came as text.
    Text(String),
    /// It came as binary.
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
