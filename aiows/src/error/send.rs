//! The type [`SendError`].

use std::error::Error as StdError;
use std::fmt;

/// The reason for which a message was not queued for a client. The caller still has the message.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closed or closing. No more messages can be delivered.
    Closed,
    /// The message cannot be sent: it does not serialize to a JSON object, it has a key of the head
    /// (`type` or the router's tag, `id`, `correlation_id`), or its type is reserved for the
    /// protocol, such as `error` or `ack`.
    Encode(serde_json::Error),
    /// The queue of the client is full, because the client does not read fast enough.
    Full,
    /// The message was sent to all connections, but the server sends only to rooms.
    NoRoom,
    /// The message was sent to a room, but the server has several namespaces and none was given.
    ///
    /// The [`Hub`](crate::Hub) of a handler has a namespace. For
    /// [`ServerHandle::hub`](crate::ServerHandle::hub) use
    /// [`Hub::namespace`](crate::Hub::namespace).
    NoNamespace,
    /// [`WebSocket::to`](crate::WebSocket::to) was used for a room that the connection is not in.
    /// As the error of a handler it is visible, with the code `forbidden`.
    NotMember,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the connection is closed",
            Self::Encode(_) => "the message cannot be written as a JSON object",
            Self::Full => "the outbound queue of the connection is full",
            Self::NotMember => "the connection is not in the room",
            Self::NoNamespace => {
                "this server has several namespaces with rooms of their own, write \
                 `hub.namespace(\"..\")` to name one"
            }
            Self::NoRoom => "this server sends only to rooms, name a room",
        })
    }
}

impl StdError for SendError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Encode(error) => Some(error),
            Self::Closed | Self::Full | Self::NoNamespace | Self::NoRoom | Self::NotMember => None,
        }
    }
}
