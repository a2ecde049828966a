//! A load test that compares the cost of messages and connections in servers written with different
//! libraries.
//!
//! ```text
//! cargo run --release -p aiows-examples --example load -- [options]
//! ```
//!
//! Every server runs in a separate process, so the figures contain only its time and memory. This
//! process is the client. README.md explains the options and the figures.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "the result of this program is what it prints"
)]

mod cases;
mod client;
mod fan;
mod files;
mod frame;
mod idle;
mod options;
mod pin;
mod process;
mod report;
mod run;
mod servers;
mod traffic;

use std::error::Error;
use std::process::ExitCode;

use options::{Options, Role};

type Failure = Box<dyn Error>;
type Result<T, E = Failure> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match play_role() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn play_role() -> Result<()> {
    match Role::from_args(std::env::args().skip(1))? {
        Role::Compare(options) => compare(&options),
        Role::Help => {
            print!("{}", options::help());
            Ok(())
        }
        Role::Serve(name, service) => servers::serve(&name, &service),
    }
}

fn compare(options: &Options) -> Result<()> {
    let connections = options.cases.iter().map(|case| case.work.connections(options.connections));
    files::allow(connections.max().unwrap_or(0))?;
    let pinning = pin::pin_client(options.cpus);
    let mut results = Vec::new();
    for case in &options.cases {
        results.push(run::measure(case, options, pinning)?);
    }
    let report = report::Report { options, pinning, results: &results };
    if options.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(())
}
