//! Cases that measure CPU time: messages on one connection, messages on many, and connections.

use crate::Result;
use crate::client::{Client, Requests};
use crate::process::ServerProcess;

/// The number of messages, or of connections, in a run.
#[derive(Clone, Copy)]
pub(crate) struct Amount {
    pub(crate) warmup: usize,
    pub(crate) measured: usize,
}

pub(crate) fn bursts(
    process: &ServerProcess,
    requests: &Requests,
    amount: Amount,
) -> Result<Vec<f64>> {
    let mut client = Client::connect(process.address, requests)?;
    Ok(vec![micros(process, amount, |count| client.exchange(count))?])
}

pub(crate) fn spread(
    process: &ServerProcess,
    requests: &Requests,
    amount: Amount,
    connections: usize,
) -> Result<Vec<f64>> {
    let mut clients = Client::connect_many(process.address, requests, connections)?;
    Ok(vec![micros(process, amount, |count| take_turns(&mut clients, count))?])
}

pub(crate) fn storm(
    process: &ServerProcess,
    requests: &Requests,
    amount: Amount,
) -> Result<Vec<f64>> {
    let used = micros(process, amount, |count| {
        for _ in 0..count {
            let mut client = Client::connect(process.address, requests)?;
            client.exchange(1)?;
            client.leave()?;
            client.wait_for_end()?;
        }
        Ok(())
    })?;
    Ok(vec![used])
}

/// Exchanges `count` messages. Every client has one unanswered message until the end.
fn take_turns(clients: &mut [Client<'_>], count: usize) -> Result<()> {
    let first = count.min(clients.len());
    for client in &mut clients[..first] {
        client.send(1)?;
    }
    for turn in 0..count {
        let client = &mut clients[turn % first];
        client.receive()?;
        if turn + first < count {
            client.send(1)?;
        }
    }
    Ok(())
}

/// Returns the CPU time of the server per measured message, in microseconds.
pub(crate) fn micros(
    process: &ServerProcess,
    amount: Amount,
    mut exchange: impl FnMut(usize) -> Result<()>,
) -> Result<f64> {
    exchange(amount.warmup)?;
    let before = process.cpu_nanos()?;
    exchange(amount.measured)?;
    let used = process.cpu_nanos()? - before;
    Ok(used as f64 / amount.measured as f64 / 1000.0)
}
