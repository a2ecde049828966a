//! The command line.

use crate::Result;
use crate::cases::{self, Case};
use crate::servers::{self, Candidate};

const HELP: &str = "\
Usage: load [options]

  --case NAME[,NAME]    cases to measure (default: all)
  --servers NAME[,NAME] servers to measure (default: all)
  --messages N          measured small messages per run (default: 100000)
  --warmup N            messages before them (default: 10000)
  --connections N       connections of the case `idle` (default: 10000)
  --runs N              runs per server and case (default: 7)
  --cpus SERVER,CLIENT  where to pin the two processes (default: 0,1)
  --json                print JSON instead of tables
  --help                print this text
";

pub(crate) fn help() -> String {
    let cases: Vec<_> = cases::CASES.iter().map(|case| case.name).collect();
    let servers: Vec<_> = servers::SERVERS.iter().map(|server| server.name).collect();
    format!("{HELP}\nCases: {}\nServers: {}\n", cases.join(", "), servers.join(", "))
}

/// The role of this process.
pub(crate) enum Role {
    Compare(Options),
    Help,
    /// Runs the named server with the named service. The program starts itself with this role.
    Serve(String, String),
}

pub(crate) struct Options {
    pub(crate) cases: Vec<&'static Case>,
    pub(crate) servers: Vec<&'static Candidate>,
    pub(crate) messages: usize,
    pub(crate) warmup: usize,
    pub(crate) connections: usize,
    pub(crate) runs: usize,
    pub(crate) cpus: (usize, usize),
    pub(crate) json: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cases: cases::CASES.iter().collect(),
            servers: servers::SERVERS.iter().collect(),
            messages: 100_000,
            warmup: 10_000,
            connections: 10_000,
            runs: 7,
            cpus: (0, 1),
            json: false,
        }
    }
}

impl Role {
    pub(crate) fn from_args(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Options::default();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "serve" => return Ok(Self::Serve(value()?, value()?)),
                "--help" | "-h" => return Ok(Self::Help),
                "--case" => options.cases = select(&value()?, cases::CASES, |case| case.name)?,
                "--servers" => {
                    options.servers = select(&value()?, servers::SERVERS, |server| server.name)?;
                }
                "--messages" => options.messages = positive(&value()?)?,
                "--warmup" => options.warmup = positive(&value()?)?,
                "--connections" => options.connections = positive(&value()?)?,
                "--runs" => options.runs = positive(&value()?)?,
                "--cpus" => options.cpus = cpu_pair(&value()?)?,
                "--json" => options.json = true,
                _ => return Err(format!("unknown option `{arg}`\n\n{}", help()).into()),
            }
        }
        Ok(Self::Compare(options))
    }
}

/// Selects the comma-separated `names`. A name without its `@..` part selects all cases of that
/// kind.
fn select<T>(names: &str, all: &'static [T], name_of: fn(&T) -> &str) -> Result<Vec<&'static T>> {
    let mut selected = Vec::new();
    for name in names.split(',') {
        let before = selected.len();
        selected.extend(all.iter().filter(|item| {
            let full = name_of(item);
            full == name || full.split('@').next() == Some(name)
        }));
        if selected.len() == before {
            return Err(format!("`{name}` is not known\n\n{}", help()).into());
        }
    }
    Ok(selected)
}

fn positive(text: &str) -> Result<usize> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("`{text}` is not a positive number").into()),
        Ok(number) => Ok(number),
    }
}

fn cpu_pair(text: &str) -> Result<(usize, usize)> {
    let (server, client) = text.split_once(',').ok_or("--cpus takes two numbers")?;
    Ok((server.parse()?, client.parse()?))
}
