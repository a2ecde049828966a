//! The server's memory over time, and the check that it does not grow.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The growth that the check tolerates: a share, and KiB on top of it.
const TOLERANCE: f64 = 0.05;
const TOLERANCE_KIB: f64 = 2048.0;
/// The number of samples that a median needs for a comparison.
const ENOUGH: usize = 3;
/// The age from which a server's memory is compared. Before that, its clients are still arriving.
const SETTLED: Duration = Duration::from_secs(60);

pub(crate) struct Sample {
    /// The time since the start of the run.
    pub(crate) at: Duration,
    pub(crate) life: u64,
    /// The time since the start of this server.
    pub(crate) age: Duration,
    pub(crate) kib: u64,
}

#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) samples: Vec<Sample>,
}

/// Two medians, of which the second must not be higher than the first.
pub(crate) struct Comparison {
    what: String,
    before: f64,
    after: f64,
}

impl Memory {
    /// Returns the comparisons that have enough samples: the last sixth of the run with the sixth
    /// before, and, for each server of the last third, the second half of its life with the first.
    pub(crate) fn comparisons(&self) -> Vec<Comparison> {
        let Some(end) = self.samples.last().map(|sample| sample.at) else { return Vec::new() };
        let settled = || self.samples.iter().filter(|sample| sample.age >= SETTLED);
        let between = |from: Duration, to: Duration| {
            median(settled().filter(|sample| sample.at > from && sample.at <= to))
        };
        let mut found = Vec::new();
        let sixths = (between(end * 4 / 6, end * 5 / 6), between(end * 5 / 6, end));
        if let (Some(before), Some(after)) = sixths {
            found.push(Comparison { what: "the last sixth of the run".into(), before, after });
        }
        let mut lives: BTreeMap<u64, Vec<&Sample>> = BTreeMap::new();
        for sample in settled().filter(|sample| sample.at > end * 2 / 3) {
            lives.entry(sample.life).or_default().push(sample);
        }
        for (life, samples) in lives {
            let (first, second) = samples.split_at(samples.len() / 2);
            let halves = (median(first.iter().copied()), median(second.iter().copied()));
            if let (Some(before), Some(after)) = halves {
                found.push(Comparison {
                    what: format!("the late part of life {life}"),
                    before,
                    after,
                });
            }
        }
        found
    }
}

impl Comparison {
    pub(crate) fn is_flat(&self) -> bool {
        self.after <= self.before * (1.0 + TOLERANCE) + TOLERANCE_KIB
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, after] = [self.before, self.after].map(|kib| kib / 1024.0);
        write!(f, "{}: {after:.1} MiB, before {before:.1} MiB", self.what)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut minutes: BTreeMap<(u64, u64), Vec<&Sample>> = BTreeMap::new();
        for sample in &self.samples {
            minutes.entry((sample.at.as_secs() / 60, sample.life)).or_default().push(sample);
        }
        writeln!(f, "memory of the server, medians of each minute in MiB")?;
        for ((minute, life), samples) in minutes {
            let kib = median_of_any(samples).unwrap_or_default();
            writeln!(f, "  minute {minute:>3}, life {life:>3}{:>41.1}", kib / 1024.0)?;
        }
        Ok(())
    }
}

fn median<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Option<f64> {
    let samples: Vec<_> = samples.into_iter().collect();
    if samples.len() < ENOUGH { None } else { median_of_any(samples) }
}

fn median_of_any(mut samples: Vec<&Sample>) -> Option<f64> {
    samples.sort_by_key(|sample| sample.kib);
    samples.get(samples.len() / 2).map(|sample| sample.kib as f64)
}
