//! The cases: the requests of the client and the work of the server.

use serde_json::{Value, json};

const TEXT: &str = "the quick brown fox jumps over the lazy dog, and over the fence.";
const KIB: usize = 1024;

/// One kind of work at one level of concurrency.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) service: Service,
    pub(crate) request: fn() -> String,
    pub(crate) work: Work,
    /// The number of small messages that one message of this case replaces.
    pub(crate) weight: usize,
}

/// The server's work for one text.
#[derive(Clone, Copy)]
pub(crate) enum Service {
    /// Sends the text back.
    Echo,
    /// Decodes the text as a message, validates it and answers with a message that contains it.
    Typed,
    /// Sends the text to every connection.
    Broadcast,
}

#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// Sends bursts on one connection, with at most this many unanswered requests.
    Bursts { in_flight: usize },
    /// Keeps one unanswered request on each of many connections.
    Spread { connections: usize },
    /// Sends the texts of one member to all members. `deaf` adds a member that never reads.
    Fan { members: usize, in_flight: usize, deaf: bool },
    /// Opens connections that send one request each and leave.
    Storm,
    /// Keeps silent connections open.
    Idle(Crowd),
}

#[derive(Clone, Copy)]
pub(crate) enum Crowd {
    /// As many connections as the options request, which have not sent a message yet.
    Fresh,
    /// This many connections, each of which has sent one request.
    Used(usize),
}

const CPU_PER_MESSAGE: &str = "µs of server CPU per message";
const CPU_PER_CONNECTION: &str = "µs of server CPU per connection";
/// The figures in the order in which the `fan` module measures them.
const FAN: &[&str] =
    &["µs of server CPU per delivery", "µs until 99 of 100 deliveries have arrived"];
/// The figures in the order in which the `idle` module measures them.
const IDLE: &[&str] = &[
    "KiB resident per silent connection",
    "KiB resident per connection after a message on each",
    "s until all that left are freed",
];

pub(crate) const CASES: &[Case] = &[
    typed("typed@1", Work::Bursts { in_flight: 1 }),
    typed("typed@16", Work::Bursts { in_flight: 16 }),
    typed("typed@1000conns", Work::Spread { connections: 1000 }),
    echo("echo@1", Work::Bursts { in_flight: 1 }),
    echo("echo@16", Work::Bursts { in_flight: 16 }),
    echo("echo@1000conns", Work::Spread { connections: 1000 }),
    Case { request: text_64k, weight: 25, ..echo("echo-64k", Work::Bursts { in_flight: 1 }) },
    Case { request: text_1m, weight: 400, ..echo("echo-1m", Work::Bursts { in_flight: 1 }) },
    Case {
        request: text_1m,
        weight: 400,
        ..echo("echo-1m@4conns", Work::Spread { connections: 4 })
    },
    fan("broadcast-10@1", 10, 1),
    fan("broadcast-10@8", 10, 8),
    fan("broadcast-200@1", 200, 1),
    fan("broadcast-200@8", 200, 8),
    fan("broadcast-1000@1", 1000, 1),
    fan("broadcast-1000@8", 1000, 8),
    fan("broadcast-10000@1", 10_000, 1),
    fan("broadcast-10000@8", 10_000, 8),
    Case {
        work: Work::Fan { members: 200, in_flight: 1, deaf: true },
        ..fan("broadcast-200-deaf@1", 200, 1)
    },
    Case { weight: 50, ..echo("storm", Work::Storm) },
    typed("idle", Work::Idle(Crowd::Fresh)),
    Case { request: text_1m, ..echo("idle-big", Work::Idle(Crowd::Used(200))) },
];

const fn typed(name: &'static str, work: Work) -> Case {
    Case { name, service: Service::Typed, request: chat, work, weight: 1 }
}

const fn echo(name: &'static str, work: Work) -> Case {
    Case { name, service: Service::Echo, request: || TEXT.to_owned(), work, weight: 1 }
}

const fn fan(name: &'static str, members: usize, in_flight: usize) -> Case {
    let work = Work::Fan { members, in_flight, deaf: false };
    Case { service: Service::Broadcast, weight: members, ..echo(name, work) }
}

impl Work {
    /// Returns the figures that this work measures.
    pub(crate) fn figures(self) -> &'static [&'static str] {
        match self {
            Self::Bursts { .. } | Self::Spread { .. } => &[CPU_PER_MESSAGE],
            Self::Fan { .. } => FAN,
            Self::Storm => &[CPU_PER_CONNECTION],
            Self::Idle(_) => IDLE,
        }
    }

    /// Returns the largest number of requests sent at once on one connection.
    pub(crate) fn in_flight(self) -> usize {
        match self {
            Self::Bursts { in_flight } | Self::Fan { in_flight, .. } => in_flight,
            Self::Spread { .. } | Self::Storm | Self::Idle(_) => 1,
        }
    }

    /// Returns the largest number of open connections.
    pub(crate) fn connections(self, idle: usize) -> usize {
        match self {
            Self::Bursts { .. } | Self::Storm => 1,
            // The deaf member and the publisher that fills its sockets need one connection each.
            Self::Fan { members, .. } => members + 2,
            Self::Spread { connections } | Self::Idle(Crowd::Used(connections)) => connections,
            Self::Idle(Crowd::Fresh) => idle,
        }
    }
}

impl Service {
    /// Returns the name of this service on the command line of a server.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Typed => "typed",
            Self::Broadcast => "broadcast",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Echo, Self::Typed, Self::Broadcast]
            .into_iter()
            .find(|service| service.name() == name)
    }

    /// Returns whether `reply` is the right reply.
    pub(crate) fn is_reply(self, request: &[u8], reply: &[u8]) -> bool {
        match self {
            Self::Echo | Self::Broadcast => reply == request,
            Self::Typed => serde_json::from_slice::<Value>(reply).is_ok_and(|reply| {
                reply == json!({"type": "chat_response", "echo": {"text": TEXT, "user_id": 42}})
            }),
        }
    }
}

// The JSON is written out, because the type comes first in the messages of client libraries.
fn chat() -> String {
    format!(r#"{{"type":"chat","text":"{TEXT}","user_id":42}}"#)
}

pub(crate) fn text_64k() -> String {
    TEXT.repeat(64 * KIB / TEXT.len())
}

fn text_1m() -> String {
    TEXT.repeat(KIB * KIB / TEXT.len())
}
