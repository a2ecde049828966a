//! Pins the server and the client to one processor each, if `taskset` is available.

use std::process::{Command, Stdio};

#[derive(Clone, Copy)]
pub(crate) enum Pinning {
    /// The processors of the server and the client.
    Pinned {
        server: usize,
        client: usize,
    },
    Unpinned,
}

/// Pins this process and returns the pinning for the servers.
pub(crate) fn pin_client((server, client): (usize, usize)) -> Pinning {
    let own_pid = std::process::id().to_string();
    let server_fits = taskset(&["-c", &server.to_string(), "true"]);
    if server_fits && taskset(&["-c", "-p", &client.to_string(), &own_pid]) {
        Pinning::Pinned { server, client }
    } else {
        Pinning::Unpinned
    }
}

impl Pinning {
    /// Returns a command that runs `program` on the server's processor.
    pub(crate) fn server_command(self, program: &std::path::Path) -> Command {
        match self {
            Self::Pinned { server, .. } => {
                let mut command = Command::new("taskset");
                command.arg("-c").arg(server.to_string()).arg(program);
                command
            }
            Self::Unpinned => Command::new(program),
        }
    }
}

fn taskset(args: &[&str]) -> bool {
    let mut command = Command::new("taskset");
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
