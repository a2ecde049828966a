//! The two reports about every connection: the server's and the client's.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::events::ServerHalf;
use crate::shared::Shared;
use crate::tally::{Count, Fault, Tally};
use crate::verdict::{self, ClientHalf};

/// A disconnect handler must run within this time after its client has left.
const NOTICED: Duration = Duration::from_secs(15);

#[derive(Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Reports that wait for their counterpart.
    clients: HashMap<String, (ClientHalf, Instant)>,
    servers: HashMap<String, ServerHalf>,
    /// Connections without a client report.
    unfinished: BTreeSet<String>,
    /// The server lives with complete reports.
    ended: BTreeSet<u64>,
    longest: Duration,
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records the report of a disconnect handler.
    pub(crate) fn server_half(&self, tally: &Tally, server: ServerHalf) {
        tally.add(Count::Cancelled, server.cancelled);
        let mut state = self.lock();
        let Some((client, left)) = state.clients.remove(&server.key) else {
            let key = server.key.clone();
            let repeated = state.servers.insert(key.clone(), server).is_some();
            drop(state);
            if repeated {
                tally.fault(Fault::TwiceDisconnect, key);
            }
            return;
        };
        let late = left.elapsed();
        state.longest = state.longest.max(late);
        drop(state);
        if late > NOTICED {
            let detail = format!("{client}, {} s late, {}", late.as_secs(), server.reason);
            tally.fault(Fault::LateDisconnect, detail);
        }
        verdict::compare(tally, &client, &server);
    }

    /// Records the report that a client makes when its connection has ended.
    pub(crate) fn client_half(&self, shared: &Shared, client: ClientHalf) {
        let mut state = self.lock();
        if let Some(server) = state.servers.remove(&client.key) {
            drop(state);
            verdict::compare(&shared.tally, &client, &server);
        } else if state.ended.contains(&client.life) {
            drop(state);
            shared.tally.fault(Fault::NoDisconnect, client);
        } else {
            state.clients.insert(client.key.clone(), (client, Instant::now()));
        }
    }

    /// Records a failed handshake. The server may or may not report this connection.
    pub(crate) fn forget(&self, key: String) {
        self.lock().unfinished.insert(key);
    }

    /// Records that the reports of this server life are complete.
    pub(crate) fn end_life(&self, tally: &Tally, life: u64) {
        let mut state = self.lock();
        state.ended.insert(life);
        let (missing, waiting) =
            state.clients.drain().partition(|(_, (client, _))| client.life == life);
        let missing: HashMap<_, _> = missing;
        state.clients = waiting;
        drop(state);
        for (client, _) in missing.into_values() {
            tally.fault(Fault::NoDisconnect, client);
        }
    }

    /// Checks that every server report has a client, after all clients and servers have ended.
    /// Returns the longest time from the end of a client to its disconnect handler.
    pub(crate) fn close(&self, tally: &Tally) -> Duration {
        let mut state = self.lock();
        let State { servers, unfinished, .. } = &mut *state;
        servers.retain(|key, _| !unfinished.contains(key));
        let repeated: Vec<_> = servers.drain().collect();
        let longest = state.longest;
        drop(state);
        for (key, server) in repeated {
            let detail = format!("{key}, {}, no client is left for this report", server.reason);
            tally.fault(Fault::TwiceDisconnect, detail);
        }
        longest
    }
}
