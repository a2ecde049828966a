//! Tables and JSON.

use std::fmt;

use serde_json::{Value, json};

use crate::options::Options;
use crate::pin::Pinning;
use crate::run::{CaseResult, ServerRuns};

pub(crate) struct Report<'a> {
    pub(crate) options: &'a Options,
    pub(crate) pinning: Pinning,
    pub(crate) results: &'a [CaseResult],
}

struct Summary {
    min: f64,
    median: f64,
    max: f64,
}

/// How the first server compares with another one.
struct Ratio<'a> {
    of: &'a str,
    to: &'a str,
    of_medians: f64,
    /// Median of the ratios of runs that were made one after the other.
    median_of_pairs: f64,
}

impl Report<'_> {
    pub(crate) fn to_json(&self) -> Value {
        let cases: Vec<_> = self.results.iter().map(case_json).collect();
        let cpus = match self.pinning {
            Pinning::Pinned { server, client } => json!({"server": server, "client": client}),
            Pinning::Unpinned => Value::Null,
        };
        json!({
            "unit": "µs of server CPU per message",
            "messages": self.options.messages,
            "warmup": self.options.warmup,
            "pinned": cpus,
            "optimized": !cfg!(debug_assertions),
            "cases": cases,
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { messages, warmup, runs, .. } = self.options;
        write!(f, "{messages} messages after {warmup}, {runs} runs, ")?;
        match self.pinning {
            Pinning::Pinned { server, client } => {
                writeln!(f, "pinned: server to cpu {server}, client to cpu {client}")?;
            }
            Pinning::Unpinned => writeln!(f, "not pinned")?,
        }
        if cfg!(debug_assertions) {
            writeln!(f, "a debug build: the figures say nothing, use --release")?;
        }
        writeln!(f, "µs of server CPU per message")?;
        self.results.iter().try_for_each(|result| write_case(f, result))
    }
}

fn write_case(f: &mut fmt::Formatter<'_>, result: &CaseResult) -> fmt::Result {
    writeln!(f, "\n{:<18}{:>10}{:>10}{:>10}", result.case.name, "min", "median", "max")?;
    for runs in &result.runs {
        let Summary { min, median, max } = Summary::of(&runs.micros);
        writeln!(f, "  {:<16}{min:>10.3}{median:>10.3}{max:>10.3}", runs.server)?;
    }
    for ratio in ratios(&result.runs) {
        let Ratio { of, to, of_medians, median_of_pairs } = ratio;
        writeln!(f, "  {of} / {to}: {of_medians:.3} (median of pairs {median_of_pairs:.3})")?;
    }
    Ok(())
}

fn case_json(result: &CaseResult) -> Value {
    let servers: Vec<_> = result
        .runs
        .iter()
        .map(|runs| {
            let Summary { min, median, max } = Summary::of(&runs.micros);
            json!({"name": runs.server, "min": min, "median": median, "max": max, "runs": runs.micros})
        })
        .collect();
    let ratios: Vec<_> = ratios(&result.runs)
        .map(|ratio| {
            let Ratio { of, to, of_medians, median_of_pairs } = ratio;
            json!({"of": of, "to": to, "of_medians": of_medians, "median_of_pairs": median_of_pairs})
        })
        .collect();
    json!({"name": result.case.name, "servers": servers, "ratios": ratios})
}

fn ratios(runs: &[ServerRuns]) -> impl Iterator<Item = Ratio<'_>> {
    let (first, others) = runs.split_at(1);
    first.iter().flat_map(move |first| {
        others.iter().map(move |other| {
            let pairs = first.micros.iter().zip(&other.micros).map(|(a, b)| a / b).collect();
            Ratio {
                of: first.server,
                to: other.server,
                of_medians: median(first.micros.clone()) / median(other.micros.clone()),
                median_of_pairs: median(pairs),
            }
        })
    })
}

impl Summary {
    fn of(values: &[f64]) -> Self {
        Self {
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            median: median(values.to_vec()),
            max: values.iter().copied().fold(0.0, f64::max),
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}
