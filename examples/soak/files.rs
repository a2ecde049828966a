//! The limit of open files.

use std::fs;
use std::process::{Command, Stdio};

use crate::Result;

/// The number of open files that are not connections: standard streams, the event loop, libraries.
const OTHERS: usize = 100;

/// Raises the limit of open files if it is too low. The server inherits the limit.
pub(crate) fn allow(connections: usize) -> Result<()> {
    let needed = connections + OTHERS;
    if limit()? >= needed {
        return Ok(());
    }
    let mut command = Command::new("prlimit");
    command.arg("--pid").arg(std::process::id().to_string()).arg(format!("--nofile={needed}:"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The limit itself shows whether the command succeeded.
    let _ = command.status();
    match limit()? {
        limit if limit < needed => Err(format!(
            "{connections} clients need a limit of {needed} open files, but it is {limit}: \
             raise it with `ulimit -n`, or pass a smaller --clients"
        )
        .into()),
        _ => Ok(()),
    }
}

fn limit() -> Result<usize> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()).ok_or("no limit of files")?;
    Ok(soft.parse().unwrap_or(usize::MAX))
}
