//! A run, in which servers start, work and stop under load, one after the other.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{ExitCode, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::events::Counters;
use crate::memory::{Memory, Sample};
use crate::options::Options;
use crate::process::ServerProcess;
use crate::server::FORCED;
use crate::shared::{Shared, Stage};
use crate::tally::{Count, Fault};
use crate::{Result, clients, files};

/// The interval between two samples of the memory.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// The shortest life of a server, even if less time is left in the run.
const SHORTEST_LIFE: Duration = Duration::from_secs(3);
/// All clients must leave within this time after the stage becomes `Leaving`.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(60);
/// Counters and descriptors must return to their first values within this time after the last
/// client has left.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(15);
const SETTLE_STEP: Duration = Duration::from_millis(250);
/// This port is below the range of ephemeral ports, so no client socket can occupy it.
const FIRST_PORT: u16 = 21_000;
const PORTS: u16 = 1000;

/// The next step after a server has ended.
enum Next {
    Restart,
    End,
}

struct Run {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
    memory: Memory,
    start: Instant,
    life: u64,
    /// The duration of the longest shutdown.
    longest_stop: Duration,
}

#[tokio::main]
pub(crate) async fn soak(options: Options) -> Result<ExitCode> {
    files::allow(options.clients)?;
    println!(
        "soak: {} clients for {:.1} minutes, a restart every {} s, seed {}",
        options.clients,
        options.duration.as_secs_f64() / 60.0,
        options.restart_every.as_secs(),
        options.seed,
    );
    let shared = Arc::new(Shared::new(options, free_port()?));
    let clients = (0..options.clients).map(|index| clients::run(Arc::clone(&shared), index));
    let mut run = Run {
        clients: clients.collect(),
        shared,
        memory: Memory::default(),
        start: Instant::now(),
        life: 0,
        longest_stop: Duration::ZERO,
    };
    loop {
        match run.live().await {
            Ok(Next::Restart) => {}
            Ok(Next::End) => break,
            Err(error) => {
                run.shared.tally.fault(Fault::Server, format!("life {}: {error}", run.life));
                break;
            }
        }
    }
    Ok(run.report())
}

/// Finds a port that is free for every server of the run.
fn free_port() -> Result<u16> {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    // Concurrent runs start at different ports, because a port looks free between two servers.
    let start = std::process::id() % u32::from(PORTS);
    let ports = (0..PORTS).map(|offset| FIRST_PORT + (start as u16 + offset) % PORTS);
    ports.into_iter().find(is_free).ok_or_else(|| "there is no free port".into())
}

impl Run {
    /// Runs one server from its start to its end.
    async fn live(&mut self) -> Result<Next> {
        self.life += 1;
        let mut server = ServerProcess::start(&self.shared).await?;
        let descriptors = server.open_files()?;
        let Options { duration, restart_every, .. } = self.shared.options;
        let born = Instant::now();
        let left = duration.saturating_sub(self.start.elapsed());
        let life = left.min(restart_every).max(SHORTEST_LIFE);
        self.shared.stage.send_replace(Stage::Up { life: self.life });
        self.sample(&server, born, born + life).await?;
        let is_last = left <= life;
        if is_last {
            self.shared.stage.send_replace(Stage::Leaving);
            self.empty(&mut server, descriptors).await?;
        }
        self.stop(server).await?;
        Ok(if is_last { Next::End } else { Next::Restart })
    }

    /// Samples the server's memory until `end`.
    async fn sample(&mut self, server: &ServerProcess, born: Instant, end: Instant) -> Result<()> {
        let step = SAMPLE_EVERY.min((end - born) / 4);
        let mut next = born + step;
        while next < end {
            sleep_until(next).await;
            next += step;
            self.memory.samples.push(Sample {
                at: self.start.elapsed(),
                life: self.life,
                age: born.elapsed(),
                kib: server.resident_kib()?,
            });
        }
        sleep_until(end).await;
        Ok(())
    }

    /// Waits until every client has left and the server has released all their resources.
    async fn empty(&mut self, server: &mut ServerProcess, descriptors: usize) -> Result<()> {
        let tally = &self.shared.tally;
        let leave = async { while self.clients.join_next().await.is_some() {} };
        if timeout(LEAVE_TIMEOUT, leave).await.is_err() {
            tally.fault(Fault::NoEnd, format!("{} clients do not end", self.clients.len()));
            self.clients.shutdown().await;
        }
        let end = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let (counters, open) = (server.counters().await?, server.open_files()?);
            if counters == Counters::default() && open <= descriptors {
                return Ok(());
            }
            if Instant::now() > end {
                if counters != Counters::default() {
                    tally.fault(Fault::Counters, format!("{counters:?}"));
                }
                if open > descriptors {
                    tally.fault(Fault::Descriptors, format!("{open}, at the start {descriptors}"));
                }
                return Ok(());
            }
            sleep(SETTLE_STEP).await;
        }
    }

    async fn stop(&mut self, server: ServerProcess) -> Result<()> {
        let Shared { stage, tally, ledger, .. } = &*self.shared;
        let life = self.life;
        if *stage.borrow() != Stage::Leaving {
            stage.send_replace(Stage::Down);
        }
        self.shared.note_stop(life);
        tally.count(Count::Stops);
        let begin = Instant::now();
        let status = server.stop().await?;
        let took = begin.elapsed();
        self.longest_stop = self.longest_stop.max(took);
        match status.as_ref().map(ExitStatus::code) {
            Some(Some(0)) => {}
            Some(Some(code)) if code == i32::from(FORCED) => {
                tally.fault(Fault::ForcedStop, format!("life {life}, after {took:.1?}"));
            }
            status => {
                tally.fault(Fault::FailedStop, format!("life {life}, {status:?} after {took:.1?}"));
            }
        }
        ledger.end_life(tally, life);
        Ok(())
    }

    fn report(&self) -> ExitCode {
        let Shared { tally, ledger, .. } = &*self.shared;
        let longest = ledger.close(tally);
        let comparisons = self.memory.comparisons();
        for comparison in comparisons.iter().filter(|comparison| !comparison.is_flat()) {
            tally.fault(Fault::Memory, comparison);
        }
        print!("\n{}", self.memory);
        for comparison in &comparisons {
            println!("  {comparison}");
        }
        if comparisons.is_empty() {
            println!("  too short a run to tell whether memory grows");
        }
        println!("counts\n{tally}longest stop {:.1?}", self.longest_stop);
        println!("longest time until a disconnect handler ran {longest:.1?}");
        let failures = tally.failures();
        if failures.is_empty() {
            println!("soak: ok");
            return ExitCode::SUCCESS;
        }
        println!("soak: FAILED: {} (seed {})", failures.join(", "), self.shared.options.seed);
        ExitCode::FAILURE
    }
}
