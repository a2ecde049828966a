//! The measurement, in which the servers take turns, each time in a new process.

use crate::Result;
use crate::cases::{Case, Work};
use crate::client::Requests;
use crate::fan;
use crate::idle;
use crate::options::Options;
use crate::pin::Pinning;
use crate::process::ServerProcess;
use crate::servers::Candidate;
use crate::traffic::{self, Amount};

/// The figures of one case, in the order of `Work::figures`.
pub(crate) struct CaseResult {
    pub(crate) case: &'static Case,
    pub(crate) figures: Vec<Figure>,
}

pub(crate) struct Figure {
    pub(crate) unit: &'static str,
    /// The servers in the order of the options.
    pub(crate) servers: Vec<ServerRuns>,
}

pub(crate) struct ServerRuns {
    pub(crate) server: &'static str,
    /// One value per run.
    pub(crate) values: Vec<f64>,
}

pub(crate) fn measure(
    case: &'static Case,
    options: &Options,
    pinning: Pinning,
) -> Result<CaseResult> {
    let servers: Vec<_> =
        options.servers.iter().filter(|server| server.can(case.service)).collect();
    let of_server = |server: &&&Candidate| ServerRuns { server: server.name, values: Vec::new() };
    let of_unit = |unit| Figure { unit, servers: servers.iter().map(of_server).collect() };
    let mut figures: Vec<_> = case.work.figures().iter().copied().map(of_unit).collect();
    for _ in 0..options.runs {
        for (index, server) in servers.iter().enumerate() {
            let values = measure_once(case, server, options, pinning)
                .map_err(|error| format!("{} with `{}`: {error}", case.name, server.name))?;
            for (figure, value) in figures.iter_mut().zip(values) {
                figure.servers[index].values.push(value);
            }
        }
    }
    Ok(CaseResult { case, figures })
}

fn measure_once(
    case: &Case,
    server: &Candidate,
    options: &Options,
    pinning: Pinning,
) -> Result<Vec<f64>> {
    let process = ServerProcess::start(server, case.service, pinning)?;
    let requests = Requests::of(case);
    let amount = Amount {
        warmup: options.warmup.div_ceil(case.weight),
        measured: options.messages.div_ceil(case.weight),
    };
    match case.work {
        Work::Bursts { .. } => traffic::bursts(&process, &requests, amount),
        Work::Spread { connections } => traffic::spread(&process, &requests, amount, connections),
        Work::Fan { members, deaf, .. } => {
            fan::measure(&process, &requests, amount, (members, deaf))
        }
        Work::Storm => traffic::storm(&process, &requests, amount),
        Work::Idle(crowd) => idle::measure(&process, &requests, crowd, options.connections),
    }
}
