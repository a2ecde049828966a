//! Sizes, counts and deadlines, as plain values.

mod overflow;
mod route;

use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::overflow::Class;
pub use self::overflow::{CoalesceKey, Kind, KindOf, Overflow, Rule};
pub use self::route::RouteLimits;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The longest wait that is added to an instant: about 30 years.
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

/// How long a handler or a check of a room may take before the log names it.
pub(crate) const SLOW_HANDLER: Duration = Duration::from_secs(10);

/// What is waited for a connection that a stop has cut, its disconnect handlers included.
pub(crate) const CUT_GRACE: Duration = Duration::from_secs(1);

/// What one server accepts from its peers, and how long it waits for them.
///
/// Every value has a default that is safe on the open internet; set fields by name and hand the
/// result to [`Server::limits`](crate::Server::limits). One route may have some of them of its own, see
/// [`RouteLimits`].
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
    /// Largest message and largest frame from a peer, in bytes: 1 MiB. A larger one closes with
    /// 1009, and the reason says how large one may be.
    pub message_size: usize,
    /// Most frames of one message, empty ones included: 16,384. More close with 1009.
    pub fragments: usize,
    /// Deepest nesting of arrays and objects in a message: 128. Deeper is `invalid_json`.
    ///
    /// serde_json keeps values that are nested at most 127 deep: if a field of a message holds more, the
    /// message is refused with `invalid_payload`, whatever this limit is.
    pub nesting: usize,
    /// Largest request head, in bytes: 16 KiB. A larger one is refused with 431.
    pub request_head_size: usize,
    /// Most headers of a request: 64. More are refused with 431.
    pub request_headers: usize,
    /// Time from accepting a socket to a complete request head: 10 s. A socket that has waited for one
    /// of the [`handshakes`](Self::handshakes) has a tenth of it at least. Middleware that is asked
    /// about the request has as long again.
    pub handshake_timeout: Duration,
    /// Accepted sockets whose request is not decided yet: 4,096. Beyond it, the client that has been
    /// silent for longest is dropped, if it has had 20 ms to send something; if all have sent something,
    /// more wait in the listener's backlog.
    /// As many refused clients may take up to 1 s to read their answers; further ones are dropped
    /// once the answer is written.
    pub handshakes: usize,
    /// Accepted messages that wait while a handler is pending: 32. Up to 64 KiB behind them are read
    /// and not decoded, so that pings are answered and a client that leaves is noticed; everything
    /// else stays in the socket. While the server waits for the answer to a
    /// [`WebSocket::request`](crate::WebSocket::request), only [`inbound_size`](Self::inbound_size) counts.
    pub inbound_messages: usize,
    /// Bytes of accepted messages that wait while a handler is pending: 256 KiB. The last message may
    /// exceed it, and 64 KiB are read ahead as for [`inbound_messages`](Self::inbound_messages).
    ///
    /// From the moment the server waits for an answer to a
    /// [`WebSocket::request`](crate::WebSocket::request), as many bytes may come before the answer, in any
    /// number of messages; together with those that waited before, twice as many. Then the question fails
    /// as [`Congested`](crate::RequestError::Congested). Empty messages count as two bytes.
    pub inbound_size: usize,
    /// Time from the first byte of a message to its last: 60 s. A slower one closes with 1008. Time in
    /// which the server does not read, because a handler is pending, does not count.
    pub message_timeout: Duration,
    /// Bytes of unfinished messages of all clients together: 128 MiB. Beyond it, clients whose
    /// unfinished message is larger than their share are closed with 1013 within a second.
    pub inbound_total: usize,
    /// Time for the middleware and the connect handlers of a connection together: 30 s. Then it is closed
    /// with 1013, and the log names the handler. One that takes 10 s is named in a warning.
    pub connect_timeout: Duration,
    /// Messages handled in one turn before other connections get theirs: 64.
    pub messages_per_turn: usize,
    /// Messages that wait to be written to one peer: 1,024.
    pub outbound_messages: usize,
    /// Bytes that wait to be written to one peer: 1 MiB. An empty queue takes one message of any
    /// size.
    pub outbound_size: usize,
    /// Bytes that wait to be written to all clients together that refuse to read: 256 MiB. Beyond it
    /// the client with the largest queue is closed as a slow client; if that is the recipient of the
    /// next message, its queue counts as full. An empty queue takes one message in any case.
    pub outbound_total: usize,
    /// What happens to a message that finds no room in the queue of its peer:
    /// [`Overflow::Disconnect`]. A message type may say otherwise, see
    /// [`Message`](trait@crate::Message).
    pub overflow: Overflow,
    /// Time a peer may refuse to read before it is cut off as a slow consumer: 10 s. A send waits
    /// no longer than this for room. It also bounds a peer that refuses to read what is queued before
    /// its close frame.
    pub write_timeout: Duration,
    /// Time between two pings to a peer, busy or not: 20 s.
    pub ping_interval: Duration,
    /// Silence after a ping that ends the connection: 20 s. Any bytes are a sign of life.
    pub ping_timeout: Duration,
    /// Time for the closing handshake, and for a handler whose peer is gone: 10 s. The closing handshake
    /// begins when the close frame is written, so a slow peer that reads what was sent before it has as
    /// long as it needs for that.
    pub close_timeout: Duration,
    /// Time for each disconnect handler of a connection: 10 s. One that takes longer is dropped, and the next one
    /// runs. Middleware around them has as long again, not counting their time. After a stop has cut the
    /// connection, all together have 0.9 s.
    pub disconnect_timeout: Duration,
    /// Rooms one connection may be in: 128. One more is `too_many_rooms`.
    pub rooms: usize,
    /// Members a room may have: 10,000. One more is `room_full`.
    pub room_members: usize,
    /// Longest name of a room, in bytes: 128. A longer one is `invalid_room`.
    pub room_name_size: usize,
    /// Longest name of a connection and of its user, in bytes: 128. `WebSocket::set_name` and `set_user`
    /// refuse a longer one with `invalid_name`.
    pub name_size: usize,
    /// What `WebSocket::join_as` may say about a member, in bytes of JSON: 1 KiB. More is
    /// `member_too_large`. A long list of a room is sent in parts.
    pub member_info_size: usize,
    /// Time for which a user stays listed in a room after the last connection has gone that joined with
    /// `WebSocket::join_as_user`: 2 s, so that a page may load again. Zero is allowed.
    pub presence_grace: Duration,
    /// Connections of the whole server: 10,000. More are refused with 503.
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
    /// Names every value with which a server cannot work.
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
    fn a_zero_is_named() {
        let limits = Limits { fragments: 0, ping_timeout: Duration::ZERO, ..Limits::default() };
        assert_eq!(
            limits.mistakes(),
            ["limit `fragments` must not be zero", "limit `ping_timeout` must not be zero"]
        );
        assert_eq!(Limits::default().mistakes(), Vec::<String>::new());
    }
}
