//! Makes mechanical mistakes in valid handlers. Each must cause one error, inside the item with the
//! mistake.
#![expect(clippy::unwrap_used, reason = "helpers of a test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    ops::Range,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

mod known;
#[path = "../libraries/mod.rs"]
mod libraries;
mod rules;
mod rustc;
mod source;

use rustc::{Error, Rustc};
use source::Source;

/// The toolchain of the list of exceptions. Other releases report other numbers of errors;
/// `tests/ui.rs` explains how the test behaves on those.
const PINNED: &str = "1.95.0";

struct Mutant {
    /// The program, the rule, and a number if the rule applies several times.
    name: String,
    text: String,
    /// The item with the mistake, in the changed text.
    item: Range<usize>,
    /// Whether every run compiles it, which is true for half of the mutants.
    usual: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    One,
    Valid,
    /// The errors, unless there is one in the right item.
    Exception(String),
}

#[test]
fn one_mistake_is_one_error_in_its_item() {
    if !pinned() {
        return;
    }
    let start = Instant::now();
    let sources = Source::all();
    assert_eq!(sources.len(), 10);
    let mut mutants: Vec<_> = sources.iter().enumerate().flat_map(mutants).collect();
    let names: BTreeSet<_> = mutants.iter().map(|mutant| mutant.name.clone()).collect();
    assert_eq!(names.len(), mutants.len(), "two mutants have one name");
    if env::var_os("MUTANTS").is_none_or(|which| which != "all") {
        mutants.retain(|mutant| mutant.usual);
    }
    let rustc = Rustc::new();
    for source in &sources {
        let errors = rustc.errors(&source.name, &source.text);
        assert!(errors.is_empty(), "{}: {errors:?}", source.name);
    }
    let verdicts = in_parallel(&mutants, |mutant, at| {
        verdict(mutant, &rustc.errors(&format!("mutant_{at}"), &mutant.text))
    });
    let found: BTreeMap<_, _> = mutants.iter().map(|mutant| &*mutant.name).zip(verdicts).collect();
    let wrong = found.values().filter(|verdict| **verdict != Verdict::Valid).count();
    let one = found.values().filter(|verdict| **verdict == Verdict::One).count();
    #[expect(clippy::print_stdout, reason = "the numbers are the result of the test")]
    {
        let seconds = start.elapsed().as_secs_f32();
        println!("{wrong} mutants, {one} with one error in place, {seconds:.1} s");
    }
    compare(&found, &names);
    assert!(wrong >= 150, "{wrong} mutants that do not compile");
    assert!(one * 100 >= wrong * 95, "{one} of {wrong} mutants are one error in place");
}

/// Compares the results with the lists in `known.rs`, which must match exactly.
fn compare(found: &BTreeMap<&str, Verdict>, names: &BTreeSet<String>) {
    let mut problems = Vec::new();
    for (name, verdict) in found {
        let expected = match (listed(known::EXCEPTIONS, name), listed(known::VALID, name)) {
            (true, _) => "an exception",
            (_, true) => "valid",
            (false, false) => "one error",
        };
        let (is, errors) = match verdict {
            Verdict::One => ("one error", ""),
            Verdict::Valid => ("valid", ""),
            Verdict::Exception(errors) => ("an exception", &**errors),
        };
        if is != expected {
            problems.push(format!("{name}: {is}, listed as {expected}\n{errors}"));
        }
    }
    let listed = known::EXCEPTIONS.iter().chain(known::VALID).flat_map(|(_, names)| *names);
    let unknown = listed.filter(|name| !names.contains(**name));
    problems.extend(unknown.map(|name| format!("{name}: there is no such mutant")));
    assert!(problems.is_empty(), "change tests/mutants/known.rs:\n{}", problems.join("\n"));
}

fn listed(groups: &[known::Group], name: &str) -> bool {
    groups.iter().any(|(_, names)| names.contains(&name))
}

fn mutants((number, source): (usize, &Source)) -> Vec<Mutant> {
    let mut mutants = Vec::new();
    for (rule, (name, edits)) in rules::all().enumerate() {
        let edits = edits(source);
        let several = edits.len() > 1;
        for (at, edit) in edits.into_iter().enumerate() {
            let count = if several { format!(" {}", at + 1) } else { String::new() };
            let mut item = source.item(edit.at.start);
            item.end = item.end + edit.text.len() - edit.at.len();
            let mut text = source.text.clone();
            text.replace_range(edit.at, &edit.text);
            let name = format!("{}, {name}{count}", source.name);
            let usual = !(number + rule + at).is_multiple_of(2);
            mutants.push(Mutant { name, text, item, usual });
        }
    }
    mutants
}

fn verdict(mutant: &Mutant, errors: &[Error]) -> Verdict {
    let inside =
        |span: &Range<usize>| mutant.item.start <= span.start && span.end <= mutant.item.end;
    match errors {
        [] => Verdict::Valid,
        [error] if !error.spans.is_empty() && error.spans.iter().all(inside) => Verdict::One,
        errors => {
            let lines = errors.iter().map(|error| {
                let places = error.spans.iter().map(|span| &mutant.text[span.clone()]);
                format!("    {} {:?}", error.text, places.collect::<Vec<_>>())
            });
            Verdict::Exception(lines.collect::<Vec<_>>().join("\n"))
        }
    }
}

fn in_parallel<T: Sync, R: Send>(all: &[T], work: impl Fn(&T, usize) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < all.len());
        std::iter::from_fn(take).map(|at| (at, work(&all[at], at))).collect::<Vec<_>>()
    };
    let mut done: Vec<_> = thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, Into::into);
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn pinned() -> bool {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc starts");
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if version.contains(PINNED) {
        return true;
    }
    let text = format!("the exceptions belong to rustc {PINNED}, this is {version}");
    assert!(env::var_os("CI").is_none(), "{text}; README.md explains how to update them");
    #[expect(clippy::print_stderr, reason = "a skipped check must be visible")]
    {
        eprintln!("skipped: {text}");
    }
    false
}
