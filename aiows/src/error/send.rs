use std::error::Error as StdError;
use std::fmt;

/// Why a message was not queued for a peer. The caller still has the message.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closed or closing; nothing will be delivered any more.
    Closed,
    /// The message could not be written as a JSON object, or has a key of its head a second time:
    /// `type` or the router's tag, `id`, `correlation_id`; or its type is one of the protocol's own, such
    /// as `error` or `ack`.
    Encode(serde_json::Error),
    /// The peer does not read as fast as it is sent to.
    Full,
    /// Something was sent to everybody, where everything is sent to rooms.
    NoRoom,
    /// Something was sent to a room, but the server has several namespaces and none was named.
    ///
    /// A handler's [`Hub`](crate::Hub) has a namespace; that of
    /// [`ServerHandle::hub`](crate::ServerHandle::hub) names one with
    /// [`Hub::namespace`](crate::Hub::namespace).
    NoNamespace,
    /// [`WebSocket::to`](crate::WebSocket::to) was used for a room that the connection is not in. As the
    /// error of a handler it is visible: `forbidden`.
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
            Self::NoRoom => "nothing is sent to everybody on this server, name a room",
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
