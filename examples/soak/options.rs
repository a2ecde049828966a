//! The command line.

use std::str::FromStr;
use std::time::Duration;

use crate::Result;

pub(crate) const HELP: &str = "\
Usage: soak [options]

  --minutes N        how long the clients are at work (default: a third of a minute)
  --clients N        how many clients there are (default: 100)
  --restart-every N  seconds between two restarts of the server (default: 300,
                     and 8 if --minutes is not given)
  --seed N           seed of the clients' choices (default: 1)
  --help             print this text
";

/// The duration of a run that is short enough for continuous integration.
const SHORT_RUN: Duration = Duration::from_secs(20);
const SHORT_RESTART: Duration = Duration::from_secs(8);
const RESTART: Duration = Duration::from_secs(300);

/// The role of this process.
pub(crate) enum Role {
    Soak(Options),
    Help,
    /// Serves on this port. The program starts itself with this role.
    Serve(u16),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) duration: Duration,
    pub(crate) clients: usize,
    pub(crate) restart_every: Duration,
    pub(crate) seed: u64,
}

impl Role {
    pub(crate) fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let (mut minutes, mut clients, mut restart_every, mut seed) = (None, 100, None, 1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "serve" => return Ok(Self::Serve(number(&value()?)?)),
                "--help" | "-h" => return Ok(Self::Help),
                "--minutes" => minutes = Some(duration(&value()?, 60.0)?),
                "--clients" => clients = number(&value()?)?,
                "--restart-every" => restart_every = Some(duration(&value()?, 1.0)?),
                "--seed" => seed = number(&value()?)?,
                _ => return Err(format!("unknown option `{arg}`\n\n{HELP}").into()),
            }
        }
        let usual_restart = if minutes.is_some() { RESTART } else { SHORT_RESTART };
        Ok(Self::Soak(Options {
            duration: minutes.unwrap_or(SHORT_RUN),
            clients,
            restart_every: restart_every.unwrap_or(usual_restart),
            seed,
        }))
    }
}

fn number<T: FromStr>(text: &str) -> Result<T> {
    text.parse().map_err(|_| format!("`{text}` is not a number").into())
}

fn duration(text: &str, unit: f64) -> Result<Duration> {
    let seconds = number::<f64>(text)? * unit;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(format!("`{text}` is not a positive number").into()),
    }
}
