//! Cases that measure deliveries, in which all connections receive the texts of one connection.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Result;
use crate::cases::{self, Service};
use crate::client::{Client, PATIENCE, Requests};
use crate::process::ServerProcess;
use crate::traffic::{self, Amount};

/// The number of large publications to a member that never reads. The kernel cannot buffer them
/// all.
const UNREAD: usize = 128;

/// Returns the CPU time per delivery and the time until 99 of 100 deliveries have arrived, in
/// microseconds.
pub(crate) fn measure(
    process: &ServerProcess,
    requests: &Requests,
    amount: Amount,
    (members, deaf): (usize, bool),
) -> Result<Vec<f64>> {
    let _deaf = deaf.then(|| deafen(process)).transpose()?;
    let mut members = Client::connect_many(process.address, requests, members)?;
    let mut delays = Vec::new();
    let used = traffic::micros(process, amount, |count| {
        delays.clear();
        publish(&mut members, requests.window(), count, &mut delays)
    })?;
    delays.sort_unstable();
    let late = delays[delays.len() * 99 / 100];
    Ok(vec![used / members.len() as f64, late.as_secs_f64() * 1e6])
}

/// Returns a member with full sockets. It joins before the others, so they do not receive the
/// publications that fill its sockets.
fn deafen(process: &ServerProcess) -> Result<TcpStream> {
    let requests = Requests::new(Service::Broadcast, cases::text_64k(), 1);
    let deaf = Client::connect(process.address, &requests)?.into_stream();
    let mut publisher = Client::connect(process.address, &requests)?;
    publisher.exchange(UNREAD)?;
    publisher.leave()?;
    publisher.wait_for_end()?;
    Ok(deaf)
}

/// Publishes through the first member, which continues when all members have every publication.
fn publish(
    members: &mut [Client<'_>],
    window: usize,
    mut count: usize,
    delays: &mut Vec<Duration>,
) -> Result<()> {
    while count > 0 {
        let now = count.min(window);
        let start = Instant::now();
        members[0].send(now)?;
        gather(members, now, start, delays)?;
        count -= now;
    }
    Ok(())
}

/// Polls all members in turn until each has `count` publications.
fn gather(
    members: &mut [Client<'_>],
    count: usize,
    start: Instant,
    delays: &mut Vec<Duration>,
) -> Result<()> {
    let mut waiting: Vec<_> = (0..members.len()).map(|member| (member, count)).collect();
    while !waiting.is_empty() {
        let mut failure = None;
        waiting.retain_mut(|(member, missing)| match members[*member].take_some(*missing) {
            Ok(taken) => {
                *missing -= taken;
                if *missing == 0 {
                    delays.push(start.elapsed());
                }
                *missing > 0
            }
            Err(error) => {
                failure = Some(error);
                true
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("{} members miss something", waiting.len()).into());
        }
        std::thread::yield_now();
    }
    Ok(())
}
