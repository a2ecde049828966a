//! The report, as tables and as JSON.

use std::fmt;

use serde_json::{Value, json};

use crate::options::Options;
use crate::pin::Pinning;
use crate::run::{CaseResult, Figure, ServerRuns};

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

/// The ratio of the first server's figure to that of another server.
struct Ratio<'a> {
    of: &'a str,
    to: &'a str,
    of_medians: f64,
    /// The median of the ratios of neighboring runs.
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
            "messages": self.options.messages,
            "warmup": self.options.warmup,
            "connections": self.options.connections,
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
        for CaseResult { case, figures } in self.results {
            figures.iter().try_for_each(|figure| write_figure(f, case.name, figure))?;
        }
        Ok(())
    }
}

fn write_figure(f: &mut fmt::Formatter<'_>, name: &str, figure: &Figure) -> fmt::Result {
    writeln!(f, "\n{name}: {}", figure.unit)?;
    writeln!(f, "{:<18}{:>10}{:>10}{:>10}", "", "min", "median", "max")?;
    for ServerRuns { server, values } in &figure.servers {
        let Summary { min, median, max } = Summary::of(values);
        writeln!(f, "  {server:<16}{min:>10.3}{median:>10.3}{max:>10.3}")?;
    }
    for ratio in ratios(&figure.servers) {
        let Ratio { of, to, of_medians, median_of_pairs } = ratio;
        writeln!(f, "  {of} / {to}: {of_medians:.3} (median of pairs {median_of_pairs:.3})")?;
    }
    Ok(())
}

fn case_json(result: &CaseResult) -> Value {
    let figures: Vec<_> = result.figures.iter().map(figure_json).collect();
    json!({"name": result.case.name, "figures": figures})
}

fn figure_json(figure: &Figure) -> Value {
    let server = |ServerRuns { server, values }: &ServerRuns| {
        let Summary { min, median, max } = Summary::of(values);
        json!({"name": server, "min": min, "median": median, "max": max, "runs": values})
    };
    let ratio = |Ratio { of, to, of_medians, median_of_pairs }: Ratio<'_>| json!({"of": of, "to": to, "of_medians": of_medians, "median_of_pairs": median_of_pairs});
    let servers: Vec<_> = figure.servers.iter().map(server).collect();
    let ratios: Vec<_> = ratios(&figure.servers).map(ratio).collect();
    json!({"unit": figure.unit, "servers": servers, "ratios": ratios})
}

fn ratios(runs: &[ServerRuns]) -> impl Iterator<Item = Ratio<'_>> {
    let (first, others) = runs.split_at(1);
    first.iter().flat_map(move |first| {
        others.iter().map(move |other| {
            let pairs = first.values.iter().zip(&other.values).map(|(a, b)| a / b).collect();
            Ratio {
                of: first.server,
                to: other.server,
                of_medians: median(first.values.clone()) / median(other.values.clone()),
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
