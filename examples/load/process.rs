//! A server process, and the CPU time, the memory and the descriptors that it uses.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::Result;
use crate::cases::Service;
use crate::pin::Pinning;
use crate::servers::Candidate;

/// The time for which a server may work after its last answer, in steps of [`SETTLE_STEP`].
const SETTLE_STEPS: usize = 50;
const SETTLE_STEP: Duration = Duration::from_millis(2);

/// A server process. Dropping it stops the process.
pub(crate) struct ServerProcess {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl ServerProcess {
    pub(crate) fn start(server: &Candidate, service: Service, pinning: Pinning) -> Result<Self> {
        let mut child = pinning
            .server_command(&std::env::current_exe()?)
            .args(["serve", server.name, service.name()])
            // The server ends when this pipe closes, even if this process ends without stopping it.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("the server has no output")?;
        let mut process = Self { child, address: ([127, 0, 0, 1], 0).into() };
        let mut port = String::new();
        BufReader::new(stdout).read_line(&mut port)?;
        process
            .address
            .set_port(port.trim().parse().map_err(|_| format!("`{}` did not start", server.name))?);
        Ok(process)
    }

    /// Returns the CPU time of all threads in nanoseconds, after the server has become idle. The
    /// kernel updates the figure of a running thread only occasionally.
    pub(crate) fn cpu_nanos(&self) -> Result<u64> {
        let mut last = self.cpu_nanos_now()?;
        for _ in 0..SETTLE_STEPS {
            std::thread::park_timeout(SETTLE_STEP);
            let now = self.cpu_nanos_now()?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(last)
    }

    /// Returns the resident memory in KiB, after the server has become idle.
    pub(crate) fn resident_kib(&self) -> Result<f64> {
        self.cpu_nanos()?;
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
        Ok(kib.parse()?)
    }

    /// Returns the number of open descriptors.
    pub(crate) fn open_files(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    fn cpu_nanos_now(&self) -> Result<u64> {
        let mut total = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
            let on_cpu = schedstat.split(' ').next().ok_or("schedstat is empty")?;
            total += on_cpu.parse::<u64>()?;
        }
        Ok(total)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // Both calls fail only if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
