//! Counts of events and of faults.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The number of examples that the program prints of each kind of fault.
const SHOWN: u64 = 5;

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($kind:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum $name { $($kind),* }

        impl $name {
            const ALL: &[Self] = &[$(Self::$kind),*];

            fn text(self) -> &'static str {
                match self { $(Self::$kind => $text),* }
            }
        }
    };
}

kinds! {
    /// An event that the program counts.
    Count {
        Connections = "connections",
        Refused = "connections refused during a stop",
        Requests = "requests sent",
        Answers = "answers received",
        News = "broadcasts received",
        Bursts = "bursts published",
        Stalls = "stalls",
        SlowClosed = "stalled clients closed as slow",
        Panics = "handlers that panicked",
        Cancelled = "handlers that were cancelled",
        Closes = "clients that left with a close frame",
        Fins = "clients that ended their stream",
        HalfOpen = "requests left unfinished",
        Resets = "clients that reset the connection",
        Abandoned = "clients that left a handler waiting",
        Away = "clients closed with 1001",
        Stops = "stops",
    }
}

kinds! {
    /// An event that must not happen.
    Fault {
        LostMessages = "messages lost to a client that read",
        LostAnswers = "answers lost to a client that read",
        Unanswered = "accepted requests left unanswered",
        WrongAnswer = "answers wrong, repeated or out of order",
        NewsGap = "gaps in the broadcasts of a publisher",
        NewsRepeated = "broadcasts repeated or out of order",
        Overdue = "requests not answered in time",
        NoAway = "clients that read and got no 1001 at a stop",
        SlowReader = "clients that read and were closed as slow",
        CutOff = "clients that were cut off",
        NoEnd = "connections not ended by the server",
        NoConnection = "connections that could not be made",
        NoDisconnect = "connections whose disconnect handler did not run",
        LateDisconnect = "disconnect handlers that ran late",
        TwiceDisconnect = "disconnect handlers that ran twice",
        ForcedStop = "forced stops",
        FailedStop = "stops that failed or did not end",
        Server = "servers that did not start or died",
        Counters = "counters that did not return to zero",
        Descriptors = "descriptors that were not closed",
        Memory = "memory that grew",
    }
}

pub(crate) struct Tally {
    start: Instant,
    counts: Vec<AtomicU64>,
    faults: Mutex<BTreeMap<Fault, u64>>,
}

impl Tally {
    pub(crate) fn count(&self, count: Count) {
        self.add(count, 1);
    }

    pub(crate) fn add(&self, count: Count, amount: u64) {
        self.counts[count as usize].fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn get(&self, count: Count) -> u64 {
        self.counts[count as usize].load(Ordering::Relaxed)
    }

    /// Counts a fault and prints it if it is among the first of its kind.
    pub(crate) fn fault(&self, fault: Fault, detail: impl fmt::Display) {
        let mut faults = self.faults();
        let count = faults.entry(fault).or_default();
        *count += 1;
        let is_shown = *count <= SHOWN;
        drop(faults);
        if is_shown {
            let seconds = self.start.elapsed().as_secs_f64();
            eprintln!("{seconds:8.2} s  {}: {detail}", fault.text());
        }
    }

    /// Returns the kinds of faults with their counts. The list is empty if the run had no faults.
    pub(crate) fn failures(&self) -> Vec<String> {
        let faults = self.faults();
        faults.iter().map(|(fault, count)| format!("{count} {}", fault.text())).collect()
    }

    fn faults(&self) -> MutexGuard<'_, BTreeMap<Fault, u64>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            counts: Count::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            faults: Mutex::default(),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for count in Count::ALL {
            writeln!(f, "  {:<52}{:>12}", count.text(), self.get(*count))?;
        }
        writeln!(f, "faults")?;
        let faults = self.faults();
        for fault in Fault::ALL {
            let count = faults.get(fault).copied().unwrap_or_default();
            writeln!(f, "  {:<52}{count:>12}", fault.text())?;
        }
        Ok(())
    }
}
