//! Sizes, counts, deadlines and overflow policies, as plain values.
//!
//! The modules that enforce a limit read it from [`Limits`]. `Limits` belong to a server;
//! [`RouteLimits`] replace some of them for one route.

mod overflow; // what happens to a message if the queue of its recipient is full
mod route; // the limits of one route

use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::overflow::Class;
pub use self::overflow::{CoalesceKey, Kind, KindOf, Overflow, Rule};
pub use self::route::RouteLimits;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The longest timeout that is added to an instant: about 30 years.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Returns the instant at which a timeout that starts now expires.
///
/// Adding an arbitrary duration to an instant may panic, so a longer one counts as 30 years.
pub(crate) fn deadline_after(timeout: Duration) -> Instant {
    deadline_of(Instant::now(), timeout)
}

/// Returns the instant at which a timeout that started at `since` expires; see [`deadline_after`].
pub(crate) fn deadline_of(since: Instant, timeout: Duration) -> Instant {
    since + timeout.min(LONGEST_WAIT)
}

/// The time after which the log names a handler, or a room check, that is still running.
pub(crate) const SLOW_HANDLER: Duration = Duration::from_secs(10);

/// The time that a shutdown waits for a connection it has cut, including its disconnect handlers.
pub(crate) const CUT_GRACE: Duration = Duration::from_secs(1);

/// The amounts that one server accepts from its clients, and the times it waits for them.
///
/// Every value has a default that is safe on the open internet. Set the fields you want to change,
/// and pass the result to [`Server::limits`](crate::server::Server::limits). If one route needs
/// other values, use [`RouteLimits`].
///
/// ```
/// use std::time::Duration;
/// use aiows::Limits;
///
/// let mut limits = Limits::default();
/// limits.message_size = 64 * 1024;
/// limits.ping_interval = Duration::from_secs(5);
/// assert_eq!(limits.fragments, 16_384);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest message and the largest frame from a client, in bytes. Default: 1 MiB.
    ///
    /// If a message is larger, the connection is closed with 1009, and the close reason names the
    /// limit.
    pub message_size: usize,
    /// The maximum number of frames of one message, empty ones included. Default: 16,384.
    ///
    /// If a message has more, the connection is closed with 1009.
    pub fragments: usize,
    /// The deepest nesting of arrays and objects in a message. Default: 128.
    ///
    /// A deeper message is refused with `invalid_json`. serde_json keeps values that are nested at
    /// most 127 deep: if a field of a message holds more, the message is refused with
    /// `invalid_payload`, whatever this limit is.
    pub nesting: usize,
    /// The largest request head, in bytes. Default: 16 KiB.
    ///
    /// A larger one is refused with 431.
    pub request_head_size: usize,
    /// The maximum number of headers of a request. Default: 64.
    ///
    /// A request with more is refused with 431.
    pub request_headers: usize,
    /// The time from accepting a socket to a complete request head. Default: 10 s.
    ///
    /// A socket that had to wait for one of the [`handshakes`](Self::handshakes) has at least a
    /// tenth of it. Middleware that checks the request has the same time again.
    pub handshake_timeout: Duration,
    /// The maximum number of accepted sockets with an unfinished handshake. Default: 4,096.
    ///
    /// If there are more, the server drops the client that has been silent for longest, provided
    /// that this client has had 20 ms to send something. If all of them have sent something, new
    /// clients wait in the listener's backlog.
    ///
    /// The same number of refused clients may take up to 1 s to read their answers; further ones
    /// are dropped as soon as the answer is written.
    pub handshakes: usize,
    /// The maximum number of accepted messages that wait while a handler is running. Default: 32.
    ///
    /// Up to 64 KiB behind them are read but not decoded, so that pings are answered and the server
    /// notices a client that leaves; all further bytes stay in the socket. While the server waits
    /// for the answer to a [`WebSocket::request`](crate::WebSocket::request), only
    /// [`inbound_size`](Self::inbound_size) counts.
    pub inbound_messages: usize,
    /// The maximum number of bytes of accepted messages that wait while a handler is running.
    /// Default: 256 KiB.
    ///
    /// The last message may exceed the limit, and 64 KiB are read ahead as for
    /// [`inbound_messages`](Self::inbound_messages).
    ///
    /// While the server waits for the answer to a
    /// [`WebSocket::request`](crate::WebSocket::request), the client may send this many bytes
    /// before the answer, in any number of messages; together with the messages that waited before,
    /// twice as many. If it sends more, the request fails with
    /// [`Congested`](crate::error::RequestError::Congested). An empty message counts as two bytes.
    pub inbound_size: usize,
    /// The time from the first byte of a message to its last. Default: 60 s.
    ///
    /// If a message takes longer, the connection is closed with 1008. Time in which the server does
    /// not read, because a handler is running, does not count.
    pub message_timeout: Duration,
    /// The maximum number of bytes of unfinished messages of all clients together. Default:
    /// 128 MiB.
    ///
    /// If there are more, each client with an unfinished message larger than its share is closed
    /// with 1013 within a second.
    pub inbound_total: usize,
    /// The time for the middleware and the connect handlers of a connection together.
    /// Default: 30 s.
    ///
    /// If they take longer, the connection is closed with 1013, and the log names the handler. A
    /// handler that takes 10 s is named in a warning.
    pub connect_timeout: Duration,
    /// The maximum number of messages that one connection handles before other connections get
    /// their turn. Default: 64.
    pub messages_per_turn: usize,
    /// The maximum number of messages that wait to be written to one client. Default: 1,024.
    pub outbound_messages: usize,
    /// The maximum number of bytes that wait to be written to one client. Default: 1 MiB.
    ///
    /// An empty queue takes one message of any size.
    pub outbound_size: usize,
    /// The maximum number of bytes that wait for clients that do not read, over all connections
    /// together. Default: 256 MiB.
    ///
    /// If there are more, the client with the largest queue is closed as a slow client. If that
    /// client is the recipient of the next message, its queue counts as full instead. An empty
    /// queue takes one message in any case.
    pub outbound_total: usize,
    /// What happens to a message if the queue of its recipient is full. Default:
    /// [`Overflow::Disconnect`].
    ///
    /// A message type can have a policy of its own, see [`Message`](trait@crate::Message).
    pub overflow: Overflow,
    /// The time for which a client may refuse to read before it is disconnected as a slow client.
    /// Default: 10 s.
    ///
    /// A send waits for space in the queue no longer than this. The limit also applies to a client
    /// that refuses to read the messages queued before its close frame.
    pub write_timeout: Duration,
    /// The time between two pings to a client, whether it is busy or idle. Default: 20 s.
    pub ping_interval: Duration,
    /// The silence after a ping that ends the connection. Default: 20 s.
    ///
    /// Any bytes from the client count as a sign of life.
    pub ping_timeout: Duration,
    /// The time for the closing handshake, and for a handler that is still running after its client
    /// has left. Default: 10 s.
    ///
    /// The closing handshake begins when the close frame is written, so a slow client has as long
    /// as it needs to read the messages before it, if it reads.
    pub close_timeout: Duration,
    /// The time for each disconnect handler of a connection. Default: 10 s.
    ///
    /// A handler that takes longer is dropped, and the next one runs. Middleware around the
    /// handlers has the same time again, not counting theirs. After a shutdown has cut the
    /// connection, all of them together have 0.9 s.
    pub disconnect_timeout: Duration,
    /// The maximum number of rooms that one connection can be in. Default: 128.
    ///
    /// One more fails with `too_many_rooms`.
    pub rooms: usize,
    /// The maximum number of members of a room. Default: 10,000.
    ///
    /// One more fails with `room_full`.
    pub room_members: usize,
    /// The longest name of a room, in bytes. Default: 128.
    ///
    /// A longer one fails with `invalid_room`.
    pub room_name_size: usize,
    /// The longest name of a connection and of its user, in bytes. Default: 128.
    ///
    /// [`WebSocket::set_name`](crate::WebSocket::set_name) and
    /// [`set_user`](crate::WebSocket::set_user) refuse a longer one with `invalid_name`.
    pub name_size: usize,
    /// The maximum size of the information about a member in
    /// [`WebSocket::join_as`](crate::WebSocket::join_as), in bytes of JSON. Default: 1 KiB.
    ///
    /// More fails with `member_too_large`. A long list of members is sent in parts.
    pub member_info_size: usize,
    /// The time for which a user stays listed in a room after the last connection that joined with
    /// [`WebSocket::join_as_user`](crate::WebSocket::join_as_user) has gone, so that a page can be
    /// reloaded. Default: 2 s.
    ///
    /// Zero is allowed.
    pub presence_grace: Duration,
    /// The maximum number of connections of the whole server. Default: 10,000.
    ///
    /// Further requests are refused with 503.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: MIB,
            fragments: 16_384,
            nesting: 128,
            request_head_size: 16 * KIB,
            request_headers: 64,
            handshake_timeout: Duration::from_secs(10),
            handshakes: 4096,
            inbound_messages: 32,
            inbound_size: 256 * KIB,
            message_timeout: Duration::from_secs(60),
            inbound_total: 128 * MIB,
            connect_timeout: Duration::from_secs(30),
            messages_per_turn: 64,
            outbound_messages: 1024,
            outbound_size: MIB,
            outbound_total: 256 * MIB,
            overflow: Overflow::Disconnect,
            write_timeout: Duration::from_secs(10),
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(10),
            disconnect_timeout: Duration::from_secs(10),
            rooms: 128,
            room_members: 10_000,
            room_name_size: 128,
            name_size: 128,
            member_info_size: KIB,
            presence_grace: Duration::from_secs(2),
            connections: 10_000,
        }
    }
}

impl Limits {
    /// Returns a text for every value that a server cannot work with.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let counts = [
            ("message_size", self.message_size),
            ("fragments", self.fragments),
            ("nesting", self.nesting),
            ("request_head_size", self.request_head_size),
            ("request_headers", self.request_headers),
            ("handshakes", self.handshakes),
            ("inbound_messages", self.inbound_messages),
            ("inbound_size", self.inbound_size),
            ("inbound_total", self.inbound_total),
            ("messages_per_turn", self.messages_per_turn),
            ("outbound_messages", self.outbound_messages),
            ("outbound_size", self.outbound_size),
            ("rooms", self.rooms),
            ("room_members", self.room_members),
            ("room_name_size", self.room_name_size),
            ("name_size", self.name_size),
            ("outbound_total", self.outbound_total),
            ("member_info_size", self.member_info_size),
            ("connections", self.connections),
        ];
        let times = [
            ("handshake_timeout", self.handshake_timeout),
            ("connect_timeout", self.connect_timeout),
            ("message_timeout", self.message_timeout),
            ("write_timeout", self.write_timeout),
            ("ping_interval", self.ping_interval),
            ("ping_timeout", self.ping_timeout),
            ("close_timeout", self.close_timeout),
            ("disconnect_timeout", self.disconnect_timeout),
        ];
        let counts = counts.into_iter().filter(|(_, value)| *value == 0);
        let times = times.into_iter().filter(|(_, value)| value.is_zero());
        counts
            .map(|(name, _)| name)
            .chain(times.map(|(name, _)| name))
            .map(|name| format!("limit `{name}` must not be zero"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_exists_for_every_duration() {
        let now = Instant::now();
        assert!(deadline_after(Duration::MAX) >= now + LONGEST_WAIT);
        assert!(deadline_after(Duration::ZERO) < now + LONGEST_WAIT);
    }

    #[test]
    fn a_zero_is_a_mistake() {
        let limits = Limits { fragments: 0, ping_timeout: Duration::ZERO, ..Limits::default() };
        assert_eq!(
            limits.mistakes(),
            ["limit `fragments` must not be zero", "limit `ping_timeout` must not be zero"]
        );
        assert_eq!(Limits::default().mistakes(), Vec::<String>::new());
    }
}
