//! Checks that each connection ends correctly.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::events::ServerHalf;
use crate::server::{CLOSE_TIMEOUT, WRITE_TIMEOUT};
use crate::shared::Shared;
use crate::tally::{Count, Fault, Tally};

/// The number of requests that the server accepts ahead of the running handler.
pub(crate) const ACCEPTED: usize = 32;
/// A request that is older than this when the shutdown starts has reached the server.
pub(crate) const ARRIVED: Duration = Duration::from_secs(2);
/// In the client's view, the server may act this much earlier than its timeouts.
const MARGIN: Duration = Duration::from_millis(300);

const AWAY: u16 = 1001;
const SLOW: u16 = 1008;

/// The behavior of a client at the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// The client reads and must receive every message.
    Reads,
    /// The client has stopped reading for this long and has not caught up yet.
    Stalled(Duration),
    /// The client has ended its side and reads the remaining messages.
    Leaves,
    /// The client does not read to the end. It resets the connection, or leaves while a handler
    /// that never returns is running.
    Abandons,
}

/// The end of a connection in the client's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server sent a close frame.
    Closed(u16),
    /// The stream ended without a close frame.
    Lost,
    Broken(io::ErrorKind),
    /// The client gave up the connection.
    Dropped,
}

/// The client's report about one connection, made at its end.
#[derive(Debug)]
pub(crate) struct ClientHalf {
    pub(crate) key: String,
    pub(crate) life: u64,
    pub(crate) manner: Manner,
    pub(crate) end: End,
    /// The time since the shutdown started, if it has started.
    pub(crate) since_stop: Option<Duration>,
    pub(crate) messages: u64,
    pub(crate) answers: u64,
    /// Requests without an answer.
    pub(crate) unanswered: usize,
    /// The part of these requests that the server must have accepted before the shutdown.
    pub(crate) unanswered_accepted: usize,
}

impl fmt::Display for ClientHalf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, life, manner, end, since_stop, messages, answers, unanswered, .. } = self;
        write!(f, "{key} in life {life}, {manner:?}, {end:?}")?;
        if let Some(since) = since_stop {
            write!(f, " {:.1} s after the stop", since.as_secs_f64())?;
        }
        write!(f, ", {messages} messages, {answers} answers, {unanswered} unanswered")
    }
}

/// Checks the client's report without the server's.
pub(crate) fn judge(shared: &Shared, client: &ClientHalf) {
    let tally = &shared.tally;
    let is_stopping = client.since_stop.is_some();
    let cut = if is_stopping { Fault::NoAway } else { Fault::CutOff };
    match (client.manner, client.end) {
        (Manner::Reads | Manner::Stalled(_), End::Closed(AWAY)) if is_stopping => {
            tally.count(Count::Away);
            // If the client does not read, its requests may still be in its socket.
            if client.manner == Manner::Reads && client.unanswered_accepted > 0 {
                let count = client.unanswered_accepted;
                tally.fault(Fault::Unanswered, format!("{client}, {count} of these accepted"));
            }
        }
        (Manner::Reads | Manner::Leaves, End::Closed(SLOW)) => {
            tally.fault(Fault::SlowReader, client)
        }
        (Manner::Reads, End::Closed(_) | End::Lost | End::Broken(_)) => tally.fault(cut, client),
        (Manner::Stalled(_), End::Closed(SLOW)) => tally.count(Count::SlowClosed),
        (Manner::Stalled(pause), _) => {
            let patience = if is_stopping { CLOSE_TIMEOUT } else { WRITE_TIMEOUT };
            match pause + MARGIN < patience {
                true => tally.fault(cut, client),
                false => tally.count(Count::SlowClosed),
            }
        }
        (Manner::Leaves, End::Closed(_) | End::Lost | End::Broken(_))
            if client.unanswered > 0 && !is_stopping =>
        {
            tally.fault(Fault::Unanswered, client);
        }
        // The client has already counted the connections that it gave up.
        (Manner::Reads | Manner::Leaves, _) | (Manner::Abandons, _) => {}
    }
}

/// Compares the messages that the client received with the messages that the server queued.
pub(crate) fn compare(tally: &Tally, client: &ClientHalf, server: &ServerHalf) {
    let expects_all = match client.manner {
        Manner::Reads | Manner::Leaves => true,
        Manner::Stalled(_) => client.end == End::Closed(AWAY),
        Manner::Abandons => false,
    };
    if !expects_all {
        return;
    }
    let ServerHalf { finished, cancelled, queued, dropped, reason, .. } = server;
    if client.answers != *finished {
        let detail =
            format!("{client}; the server finished {finished}, cancelled {cancelled}, {reason}");
        tally.fault(Fault::LostAnswers, detail);
    }
    if client.messages != *queued {
        let detail = format!("{client}; the server queued {queued}, dropped {dropped}, {reason}");
        tally.fault(Fault::LostMessages, detail);
    }
}
