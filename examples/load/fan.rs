//! Cases that count deliveries: what one connection says goes to all of them.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Result;
use crate::cases::{self, Service};
use crate::client::{Client, PATIENCE, Requests};
use crate::process::ServerProcess;
use crate::traffic::{self, Amount};

/// Large publications to a member that reads none of them: more than the kernel keeps for it.
const UNREAD: usize = 128;

/// Microseconds of CPU per delivery, and until 99 of 100 deliveries had arrived.
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

/// A member whose sockets are full. It is there before the others, which need not read all that.
fn deafen(process: &ServerProcess) -> Result<TcpStream> {
    let requests = Requests::new(Service::Broadcast, cases::text_64k(), 1);
    let deaf = Client::connect(process.address, &requests)?.into_stream();
    let mut publisher = Client::connect(process.address, &requests)?;
    publisher.exchange(UNREAD)?;
    publisher.leave()?;
    publisher.wait_for_end()?;
    Ok(deaf)
}

/// The first member publishes, and when all have everything it goes on.
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

/// Looks at all members in turn until each has `count` publications.
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
