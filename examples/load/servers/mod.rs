//! The servers that are compared.

mod bare;
mod chat;
mod fast;
mod framework;
mod web;

use std::io::Read;

use crate::Result;
use crate::cases::Service;

/// The default of 128 KiB is zeroed before every read.
const READ_BUFFER: usize = 4 * 1024;

/// Publications that a slow member may miss; more than are ever in flight.
const BACKLOG: usize = 64;

/// Why a connection ended.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// One way to write the server.
pub(crate) struct Candidate {
    pub(crate) name: &'static str,
    /// Serves on a free port of loopback and prints that port as the first line.
    serve: fn(Service) -> Result<()>,
    can_broadcast: bool,
}

impl Candidate {
    pub(crate) fn can(&self, service: Service) -> bool {
        self.can_broadcast || !matches!(service, Service::Broadcast)
    }
}

/// The first one is compared with each of the others.
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

#[allow(clippy::exit, reason = "whoever started this process is gone")]
fn exit_with_parent() {
    let mut nothing = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut nothing);
    std::process::exit(0);
}
