//! Every chapter of the guide is included in the crate, and its programs are compiled.

#![expect(clippy::unwrap_used, reason = "a test that reads the repository")]

use std::fs;
use std::path::{Path, PathBuf};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn chapters() -> impl Iterator<Item = PathBuf> {
    let files = fs::read_dir(source().join("docs")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "md"))
}

/// `//! 1. [Getting started](getting_started): ..`
fn listed_chapter(line: &str) -> Option<&str> {
    let (_, link) = line.strip_prefix("//! ")?.split_once(". [")?;
    Some(link.split_once("](")?.1.split_once(')')?.0)
}

/// `chapter!(getting_started, ..`
fn included_chapter(line: &str) -> Option<&str> {
    Some(line.strip_prefix("chapter!(")?.split_once(',')?.0)
}

#[test]
fn every_chapter_is_listed_and_included_in_one_order() {
    let guide = fs::read_to_string(source().join("guide.rs")).unwrap();
    let listed: Vec<_> = guide.lines().filter_map(listed_chapter).collect();
    let mut names: Vec<_> = guide.lines().filter_map(included_chapter).collect();
    assert_eq!(listed, names);
    for name in &names {
        assert!(guide.contains(&format!("\nchapter!({name}, \"docs/{name}.md\"")), "{name}");
    }
    names.sort_unstable();
    let mut files: Vec<_> = chapters().map(|path| path.with_extension("")).collect();
    files.sort();
    assert_eq!(
        files,
        names.iter().map(|name| source().join("docs").join(name)).collect::<Vec<_>>()
    );
}

#[test]
fn every_program_of_the_guide_is_compiled() {
    for path in chapters() {
        let text = fs::read_to_string(&path).unwrap();
        let fences = text.lines().filter_map(|line| line.strip_prefix("```"));
        for fence in fences.step_by(2) {
            let known = ["rust", "rust,no_run"].contains(&fence);
            assert!(known, "{}: a block of `{fence}`", path.display());
        }
    }
}

/// `no_run` is only for programs that run a server and never return.
#[test]
fn only_programs_that_run_a_server_are_marked_no_run() {
    for path in chapters() {
        let text = fs::read_to_string(&path).unwrap();
        for block in text.split("```rust,no_run\n").skip(1) {
            let block = block.split("```").next().unwrap();
            assert!(block.contains(".run(\""), "{}: {block}", path.display());
        }
    }
}
