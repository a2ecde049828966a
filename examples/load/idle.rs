//! Cases that measure the memory of silent connections, and the time until the server frees it.

use std::time::{Duration, Instant};

use crate::cases::Crowd;
use crate::client::{Client, Requests};
use crate::process::ServerProcess;
use crate::{Failure, Result};

/// If a server has not closed its sockets within this time, the figure is `inf`.
const PATIENCE: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(2);

pub(crate) fn measure(
    process: &ServerProcess,
    requests: &Requests,
    crowd: Crowd,
    fresh: usize,
) -> Result<Vec<f64>> {
    let count = match crowd {
        Crowd::Fresh => fresh,
        Crowd::Used(count) => count,
    };
    warm_up(process, requests)?;
    let before = process.resident_kib()?;
    let files = process.open_files()?;
    let per_connection = || Ok::<_, Failure>((process.resident_kib()? - before) / count as f64);

    let mut clients = Client::connect_many(process.address, requests, count)?;
    if let Crowd::Used(_) = crowd {
        ask_each(&mut clients)?;
    }
    let silent = per_connection()?;
    ask_each(&mut clients)?;
    let asked = per_connection()?;

    let start = Instant::now();
    clients.iter_mut().try_for_each(Client::leave)?;
    clients.into_iter().try_for_each(Client::wait_for_end)?;
    Ok(vec![silent, asked, seconds_until_freed(process, files, start)?])
}

/// Excludes the memory that only the first connection needs.
fn warm_up(process: &ServerProcess, requests: &Requests) -> Result<()> {
    let mut client = Client::connect(process.address, requests)?;
    client.exchange(1)?;
    client.leave()?;
    client.wait_for_end()
}

fn ask_each(clients: &mut [Client<'_>]) -> Result<()> {
    clients.iter_mut().try_for_each(|client| client.exchange(1))
}

fn seconds_until_freed(process: &ServerProcess, files: usize, start: Instant) -> Result<f64> {
    while process.open_files()? > files {
        if start.elapsed() > PATIENCE {
            return Ok(f64::INFINITY);
        }
        std::thread::park_timeout(STEP);
    }
    Ok(start.elapsed().as_secs_f64())
}
