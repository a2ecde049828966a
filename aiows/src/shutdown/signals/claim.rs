//! Gives the signals to servers while they run, then back to the program.
//!
//! A signal handler stays installed for the life of the process, because tokio and signal-hook
//! never remove it. If the program had the default action of the system, our part of the handler
//! therefore performs that action once no server runs.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;

static CLAIMS: Mutex<Claims> = Mutex::new(Claims { count: 0, is_unclaimed: None });

struct Claims {
    /// The number of servers that run.
    count: usize,
    /// Read by the signal handlers. `None` before the first server.
    is_unclaimed: Option<Arc<AtomicBool>>,
}

/// Keeps the signals from ending the process while a server runs.
pub(super) struct Claim;

impl Claim {
    /// Must be called before any other code of this crate handles the signals.
    pub(super) fn take() -> io::Result<Self> {
        let mut claims = claims();
        let is_unclaimed = match &claims.is_unclaimed {
            Some(flag) => flag,
            None => claims.is_unclaimed.insert(install()?),
        };
        is_unclaimed.store(false, Ordering::SeqCst);
        claims.count += 1;
        Ok(Self)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = claims();
        claims.count -= 1;
        if let (0, Some(is_unclaimed)) = (claims.count, &claims.is_unclaimed) {
            is_unclaimed.store(true, Ordering::SeqCst);
        }
    }
}

fn claims() -> MutexGuard<'static, Claims> {
    CLAIMS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn install() -> io::Result<Arc<AtomicBool>> {
    let is_unclaimed = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        if has_default_action(signal) {
            register_conditional_default(signal, Arc::clone(&is_unclaimed))?;
        }
    }
    Ok(is_unclaimed)
}

/// Returns whether the program neither handles nor ignores a signal. If the system does not report
/// that, the default action is assumed, because most programs have it.
fn has_default_action(signal: i32) -> bool {
    let Ok(status) = fs::read_to_string("/proc/self/status") else { return true };
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    ["SigIgn:", "SigCgt:"]
        .into_iter()
        .filter_map(mask)
        .all(|mask| mask & (1_u64 << (signal - 1)) == 0)
}
