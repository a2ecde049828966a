//! Who gets the signals: servers while they run, then the program again.
//!
//! A handler that is installed for a signal stays for the life of the process: tokio and signal-hook
//! share one and never give it back. So once no server runs, our part of it does what the system does
//! by default, if that is what the program had.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_default;

static CLAIMS: Mutex<Claims> = Mutex::new(Claims { count: 0, is_unclaimed: None });

struct Claims {
    /// The servers that run.
    count: usize,
    /// Read by the handlers of the signals; `None` before the first server.
    is_unclaimed: Option<Arc<AtomicBool>>,
}

/// Keeps the signals from ending the process while a server runs.
pub(super) struct Claim;

impl Claim {
    /// Must come before anything else of ours handles the signals.
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

/// Whether the program neither handles nor ignores a signal. Where the system does not tell, most
/// programs do not.
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
