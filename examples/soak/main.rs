//! A soak test with thousands of clients that connect and leave, for as long as you like. The
//! server must not lose a message to a client that reads.
//!
//! ```text
//! cargo run --release -p aiows-examples --example soak -- --minutes 30 --clients 2000
//! ```
//!
//! The server runs in a separate process, which is stopped and restarted under load. README.md
//! describes the acts of the clients and the faults.

#![allow(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "the result of this program is what it prints"
)]

mod clients;
mod connection;
mod events;
mod files;
mod ledger;
mod memory;
mod options;
mod process;
mod random;
mod request;
mod run;
mod server;
mod shared;
mod stream;
mod tally;
mod verdict;

use std::error::Error;
use std::process::ExitCode;

use options::Role;

type Failure = Box<dyn Error + Send + Sync>;
type Result<T, E = Failure> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match play_role() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn play_role() -> Result<ExitCode> {
    match Role::from_args(std::env::args().skip(1))? {
        Role::Soak(options) => run::soak(options),
        Role::Help => {
            print!("{}", options::HELP);
            Ok(ExitCode::SUCCESS)
        }
        Role::Serve(port) => server::serve(port),
    }
}
