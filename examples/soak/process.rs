//! The server process.

use std::fs;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::Result;
use crate::events::{Counters, Event};
use crate::server::SHUTDOWN_TIMEOUT;
use crate::shared::Shared;

/// The timeout for the start of the server and for its answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The program kills a process that is still running this long after the shutdown timeout.
const EXIT_GRACE: Duration = Duration::from_secs(10);

/// A server process. Dropping it kills the process if it has not ended.
pub(crate) struct ServerProcess {
    child: Child,
    pid: u32,
    /// The process ends when this pipe is closed.
    stdin: ChildStdin,
    /// All events except the reports of disconnect handlers, which go to the ledger.
    events: mpsc::Receiver<Event>,
    reader: JoinHandle<()>,
}

impl ServerProcess {
    /// Starts a server and waits until it listens.
    pub(crate) async fn start(shared: &Arc<Shared>) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["serve", &shared.port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or("the server has ended")?;
        let stdin = child.stdin.take().ok_or("the server has no input")?;
        let stdout = child.stdout.take().ok_or("the server has no output")?;
        let (sender, events) = mpsc::channel(1);
        let reader = tokio::spawn(read(stdout, Arc::clone(shared), sender));
        let mut process = Self { child, pid, stdin, events, reader };
        match process.event().await? {
            Event::Listening => Ok(process),
            other => Err(format!("the server began with {other:?}").into()),
        }
    }

    pub(crate) async fn counters(&mut self) -> Result<Counters> {
        self.stdin.write_all(b"counters\n").await?;
        match self.event().await? {
            Event::Counters(counters) => Ok(counters),
            other => Err(format!("the server answered {other:?}").into()),
        }
    }

    async fn event(&mut self) -> Result<Event> {
        let event = timeout(ANSWER_TIMEOUT, self.events.recv()).await;
        event.map_err(|_| "the server is silent")?.ok_or_else(|| "the server has ended".into())
    }

    /// Returns the resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmRSS")?;
        Ok(kib.parse()?)
    }

    /// Returns the number of open descriptors.
    pub(crate) fn open_files(&self) -> Result<usize> {
        Ok(fs::read_dir(format!("/proc/{}/fd", self.pid))?.count())
    }

    /// Sends SIGTERM and waits until the process has ended and its reports are read. Returns `None`
    /// if the process had to be killed.
    pub(crate) async fn stop(mut self) -> Result<Option<ExitStatus>> {
        // `kill` is a shell builtin, so it is always available.
        let kill = ["-c", "kill -TERM \"$0\"", &self.pid.to_string()];
        if !Command::new("sh").args(kill).status().await?.success() {
            return Err("the server cannot be told to stop".into());
        }
        let status = match timeout(SHUTDOWN_TIMEOUT + EXIT_GRACE, self.child.wait()).await {
            Ok(status) => Some(status?),
            Err(_) => {
                self.child.kill().await?;
                None
            }
        };
        self.reader.await?;
        Ok(status)
    }
}

async fn read(stdout: ChildStdout, shared: Arc<Shared>, events: mpsc::Sender<Event>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Event::Ended(server)) => shared.ledger.server_half(&shared.tally, server),
            // An event that comes too late has no receiver.
            Ok(event) => drop(events.try_send(event)),
            Err(error) => eprintln!("the server printed `{line}`: {error}"),
        }
    }
}
