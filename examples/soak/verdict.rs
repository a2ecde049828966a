//! Whether a connection ended as it must.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::events::ServerHalf;
use crate::server::{CLOSE_TIMEOUT, WRITE_TIMEOUT};
use crate::shared::Shared;
use crate::tally::{Count, Fault, Tally};

/// Requests that the server accepts ahead of the handler at work.
pub(crate) const ACCEPTED: usize = 32;
/// A request that is older than this when the server is stopped has reached it.
pub(crate) const ARRIVED: Duration = Duration::from_secs(2);
/// How much earlier than its timeouts the server may act in the client's view.
const MARGIN: Duration = Duration::from_millis(300);

const AWAY: u16 = 1001;
const SLOW: u16 = 1008;

/// How a client behaves towards the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It reads and expects everything.
    Reads,
    /// It has stopped reading for this long and not caught up yet.
    Stalled(Duration),
    /// It has ended its side, and reads what is left.
    Leaves,
    /// It does not care for the rest: it resets, or leaves behind a handler that never returns.
    Abandons,
}

/// How a connection ended in the client's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The server sent a close frame.
    Closed(u16),
    /// The stream ended without one.
    Lost,
    Broken(io::ErrorKind),
    /// The client gave the connection up.
    Dropped,
}

/// What a client knows about one connection at its end.
#[derive(Debug)]
pub(crate) struct ClientHalf {
    pub(crate) key: String,
    pub(crate) life: u64,
    pub(crate) manner: Manner,
    pub(crate) end: End,
    /// How long ago the server was told to stop.
    pub(crate) since_stop: Option<Duration>,
    pub(crate) messages: u64,
    pub(crate) answers: u64,
    /// Requests without an answer.
    pub(crate) unanswered: usize,
    /// Requests of these that the server must have accepted before its stop.
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

/// Checks what the client saw on its own.
pub(crate) fn judge(shared: &Shared, client: &ClientHalf) {
    let tally = &shared.tally;
    let is_stopping = client.since_stop.is_some();
    let cut = if is_stopping { Fault::NoAway } else { Fault::CutOff };
    match (client.manner, client.end) {
        (Manner::Reads | Manner::Stalled(_), End::Closed(AWAY)) if is_stopping => {
            tally.count(Count::Away);
            // What a client that does not read has sent may still lie in its socket.
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
        // What the client gave up by itself was counted when it did so.
        (Manner::Reads | Manner::Leaves, _) | (Manner::Abandons, _) => {}
    }
}

/// Compares what the client received with what the server had for it.
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
