//! The servers under comparison.

mod bare;
mod chat;
mod fast;
mod framework;
mod web;

use std::io::Read;

use crate::Result;
use crate::cases::Service;

/// The size of the read buffer. The default buffer of 128 KiB would be zeroed before every read.
const READ_BUFFER: usize = 4 * 1024;

/// The capacity of the broadcast channel, which is larger than the number of publications in
/// flight.
const BACKLOG: usize = 64;

/// The reason for the end of a connection.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One implementation of the server.
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    /// Serves on a free port of the loopback interface and prints the port as its first line.
    serve: fn(Service) -> Result<()>,
    can_broadcast: bool,
}

impl Candidate {
    pub(crate) fn can(&self, service: Service) -> bool {
        self.can_broadcast || !matches!(service, Service::Broadcast)
    }
}

/// The servers. The report compares the first one with each of the others.
pub(crate) const SERVERS: &[Candidate] = &[
    Candidate { name: "aiows", serve: framework::serve, can_broadcast: true },
    Candidate { name: "aiows-layered", serve: framework::serve_layered, can_broadcast: true },
    Candidate { name: "bare", serve: bare::serve, can_broadcast: true },
    Candidate { name: "axum", serve: web::serve, can_broadcast: true },
    Candidate { name: "fastwebsockets", serve: fast::serve, can_broadcast: false },
];

pub(crate) fn serve(name: &str, service: &str) -> Result<()> {
    let server = SERVERS.iter().find(|server| server.name == name).ok_or("no such server")?;
    let service = Service::named(service).ok_or("no such service")?;
    std::thread::spawn(exit_with_parent);
    (server.serve)(service)
}

#[allow(clippy::exit, reason = "the parent process has ended")]
fn exit_with_parent() {
    let mut nothing = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut nothing);
    std::process::exit(0);
}
