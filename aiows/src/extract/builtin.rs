//! The extractors [`State`], [`Context`] and [`Text`], and [`FromCall`] for types of other modules.

use std::any::type_name;

use bytes::Bytes;

use super::Call;
use super::needs::Need;
use super::{Extraction, FromCall, Needs};
use crate::close::DisconnectReason;
use crate::error::{HandlerError, code};
use crate::hub::Hub;
use crate::id::MessageId;
use crate::message::RawMessage;
use crate::websocket::{Departure, WebSocket};

/// A clone of the application's state of type `T`.
///
/// You provide it with [`Server::state`](crate::server::Server::state), and can replace it for the
/// handlers of a router with [`Router::state`](crate::routing::Router::state). If neither provides
/// a `T`, [`Server::build`](crate::server::Server::build) fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct State<T>(pub T);

/// A clone of the value of type `T` in [`WebSocket::context`] of this connection.
///
/// If the connection has no such value, the handler fails with `internal`. Take
/// `Option<Context<T>>` if you want `None` in this case.
///
/// Use a type of your own. If handlers of two modules take the same `Context<String>` or
/// `Context<Vec<u8>>`, the build reports it as a mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Context<T>(pub T);

/// A copy of the text of a frame, as the client sent it.
///
/// A `#[fallback]` that takes it is a relay: it receives every text that no other handler takes as
/// a message, JSON or not, and these texts are not acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Text(pub String);

#[diagnostic::do_not_recommend]
impl FromCall for WebSocket {
    fn from_call(call: &Call) -> Extraction<Self> {
        Extraction::ready(Ok(call.websocket().clone()))
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for Call {
    fn from_call(call: &Call) -> Extraction<Self> {
        Extraction::ready(Ok(call.clone()))
    }
}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> FromCall for State<T> {
    fn from_call(call: &Call) -> Extraction<Self> {
        call.state()
            .map(State)
            .ok_or_else(|| format!("there is no state of type `{}`", type_name::<T>()))
            .into()
    }

    fn needs(needs: &mut Needs) {
        needs.state::<T>();
    }
}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> FromCall for Context<T> {
    fn from_call(call: &Call) -> Extraction<Self> {
        let value = call.websocket().context().get();
        value
            .map(Context)
            .ok_or_else(|| format!("the context of the connection has no `{}`", type_name::<T>()))
            .into()
    }

    fn needs(needs: &mut Needs) {
        needs.context::<T>();
    }
}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> FromCall for Option<Context<T>> {
    fn from_call(call: &Call) -> Extraction<Self> {
        Extraction::ready(Ok(call.websocket().context().get().map(Context)))
    }

    fn needs(needs: &mut Needs) {
        needs.context::<T>();
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for Hub {
    fn from_call(call: &Call) -> Extraction<Self> {
        call.state::<Self>().ok_or("the handler was not called by a server").into()
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for RawMessage {
    fn from_call(call: &Call) -> Extraction<Self> {
        let message = call.text().zip(call.message_type()).map(|(text, message_type)| {
            let tag = call.websocket().tag().clone();
            Self::new(text, &message_type, call.id().cloned(), tag)
        });
        message.ok_or_else(|| no_message("RawMessage")).into()
    }

    fn needs(needs: &mut Needs) {
        needs.head::<Self>();
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for Text {
    fn from_call(call: &Call) -> Extraction<Self> {
        call.text().map(|text| Self(text.to_owned())).ok_or_else(|| no_message("Text")).into()
    }

    fn needs(needs: &mut Needs) {
        needs.message::<Self>();
        needs.push(Need::AnyText);
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for Bytes {
    fn from_call(call: &Call) -> Extraction<Self> {
        // A copy: the original shares the connection's read buffer.
        let bytes = call.inbound().map(|inbound| Self::copy_from_slice(inbound.bytes()));
        bytes.ok_or_else(|| no_message("Bytes")).into()
    }

    fn needs(needs: &mut Needs) {
        needs.message::<Self>();
        needs.push(Need::AnyFrame);
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for MessageId {
    fn from_call(call: &Call) -> Extraction<Self> {
        let id = call.id().cloned();
        id.ok_or_else(|| HandlerError::new(code::INVALID_MESSAGE, "this message needs an `id`"))
            .into()
    }

    fn needs(needs: &mut Needs) {
        needs.head::<Self>();
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for Option<MessageId> {
    fn from_call(call: &Call) -> Extraction<Self> {
        Extraction::ready(Ok(call.id().cloned()))
    }

    fn needs(needs: &mut Needs) {
        needs.head::<Self>();
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for DisconnectReason {
    fn from_call(call: &Call) -> Extraction<Self> {
        let reason = call.disconnect_reason().cloned();
        reason.ok_or("there is no disconnect reason outside of disconnect handlers").into()
    }

    fn needs(needs: &mut Needs) {
        needs.push(Need::End { name: "DisconnectReason" });
    }
}

#[diagnostic::do_not_recommend]
impl FromCall for Departure {
    fn from_call(call: &Call) -> Extraction<Self> {
        let departure = call.disconnect_reason().map(|_| call.websocket().membership().departure());
        departure.ok_or("there is no departure outside of disconnect handlers").into()
    }

    fn needs(needs: &mut Needs) {
        needs.push(Need::End { name: "Departure" });
    }
}

pub(super) fn no_message(argument: &str) -> HandlerError {
    format!("the call has no message from which `{argument}` could be extracted").into()
}
