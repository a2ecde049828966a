//! The measurement: servers take turns, each time in a new process.

use crate::Result;
use crate::cases::Case;
use crate::client::Client;
use crate::options::Options;
use crate::pin::Pinning;
use crate::process::ServerProcess;
use crate::servers::Candidate;

/// Figures of one case: for every server, in the order of the options, one value per run.
pub(crate) struct CaseResult {
    pub(crate) case: &'static Case,
    /// Microseconds of server CPU per message.
    pub(crate) runs: Vec<ServerRuns>,
}

pub(crate) struct ServerRuns {
    pub(crate) server: &'static str,
    pub(crate) micros: Vec<f64>,
}

pub(crate) fn measure(
    case: &'static Case,
    options: &Options,
    pinning: Pinning,
) -> Result<CaseResult> {
    let mut runs: Vec<_> = options
        .servers
        .iter()
        .map(|server| ServerRuns { server: server.name, micros: Vec::new() })
        .collect();
    for _ in 0..options.runs {
        for (server, runs) in options.servers.iter().zip(&mut runs) {
            let micros = measure_once(case, server, options, pinning)
                .map_err(|error| format!("{} with `{}`: {error}", case.name, server.name))?;
            runs.micros.push(micros);
        }
    }
    Ok(CaseResult { case, runs })
}

fn measure_once(
    case: &Case,
    server: &Candidate,
    options: &Options,
    pinning: Pinning,
) -> Result<f64> {
    let process = ServerProcess::start(server, pinning)?;
    let mut client = Client::connect(process.address, case)?;
    client.exchange(options.warmup)?;
    let before = process.cpu_nanos()?;
    client.exchange(options.messages)?;
    let used = process.cpu_nanos()? - before;
    Ok(used as f64 / options.messages as f64 / 1000.0)
}
