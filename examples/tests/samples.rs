//! The programs of the README, of the guide and of the pages in `docs` are formatted by rustfmt, and
//! those of the README are short. Those in `docs` are compiled.

#![expect(clippy::unwrap_used, reason = "a test that reads the repository")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, thread};

/// The maximum number of lines of the quick start.
const QUICK_START: usize = 45;

/// The maximum number of lines of every other program of the README.
const SAMPLE: usize = 40;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A program as its reader sees it, without the lines that rustdoc hides.
struct Block {
    line: usize,
    lines: Vec<String>,
}

fn blocks(page: &Path) -> Vec<Block> {
    let text = fs::read_to_string(page).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let mut is_open = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("```rust") {
            is_open = true;
            blocks.push(Block { line: index + 1, lines: Vec::new() });
        } else if line == "```" {
            is_open = false;
        } else if is_open && line != "#" && !line.starts_with("# ") {
            blocks.last_mut().unwrap().lines.push(line.to_owned());
        }
    }
    blocks
}

fn readme() -> PathBuf {
    root().join("README.md")
}

fn pages(folder: &str) -> Vec<PathBuf> {
    let pages = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    pages.filter(|page| page.extension().is_some_and(|extension| extension == "md")).collect()
}

#[test]
fn every_program_in_docs_is_compiled() {
    let library = fs::read_to_string(root().join("examples/src/lib.rs")).unwrap();
    let pages = pages("docs");
    assert!(!pages.is_empty());
    for page in pages {
        let name = page.file_name().unwrap().to_str().unwrap();
        let include = format!("#[doc = include_str!(\"../../docs/{name}\")]");
        assert!(library.contains(&include), "examples/src/lib.rs does not include {name}");
        let text = fs::read_to_string(&page).unwrap();
        for fence in text.lines().filter_map(|line| line.strip_prefix("```")).step_by(2) {
            assert!(["rust", "rust,no_run"].contains(&fence), "{name}: a block of `{fence}`");
        }
    }
}

#[test]
fn every_program_of_the_readme_is_short() {
    let blocks = blocks(&readme());
    assert!(blocks.len() > 1);
    for (index, Block { line, lines }) in blocks.iter().enumerate() {
        let most = if index == 0 { QUICK_START } else { SAMPLE };
        assert!(lines.len() <= most, "README.md:{line}: {} lines, at most {most}", lines.len());
    }
}

#[test]
fn every_program_is_formatted() {
    if !has_rustfmt() {
        return;
    }
    let pages = pages("aiows/src/docs").into_iter().chain(pages("docs")).chain([readme()]);
    let programs = pages.map(|page| (blocks(&page), page));
    let differences =
        programs.filter(|(blocks, _)| !blocks.is_empty()).filter_map(|(blocks, page)| {
            let difference = check(&blocks).err()?;
            Some(format!("{}\n{difference}", page.display()))
        });
    let differences = differences.collect::<Vec<_>>().join("\n");
    assert!(
        differences.is_empty(),
        "each block is a function named after its line:\n{differences}"
    );
}

/// The minimal profile of rustup has no rustfmt. If it is missing, the test prints a note and is
/// skipped, or fails if the variable `CI` is set.
fn has_rustfmt() -> bool {
    let version = Command::new("rustfmt").arg("--version").output();
    if version.is_ok_and(|version| version.status.success()) {
        return true;
    }
    assert!(env::var_os("CI").is_none(), "rustfmt is not installed");
    eprintln!("skipped: rustfmt is not installed");
    false
}

/// Formats every block as the body of a function, because statements are only valid there. The body
/// is indented by four columns, so lines may be four columns longer.
fn check(blocks: &[Block]) -> Result<(), String> {
    let functions: Vec<_> = blocks.iter().map(as_function).collect();
    let source = functions.join("\n");
    let mut rustfmt = Command::new("rustfmt")
        .args(["--check", "--color=never", "--config=max_width=104"])
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = rustfmt.stdin.take().unwrap();
    let writing = thread::spawn(move || stdin.write_all(source.as_bytes()));
    let output = rustfmt.wait_with_output().unwrap();
    writing.join().unwrap().unwrap();
    // With input from standard input, rustfmt prints differences but exits successfully.
    match output.status.success() && output.stdout.is_empty() {
        true => Ok(()),
        false => Err(String::from_utf8([output.stdout, output.stderr].concat()).unwrap()),
    }
}

fn as_function(Block { line, lines }: &Block) -> String {
    let indented = lines.iter().map(|line| match line.is_empty() {
        true => "\n".to_owned(),
        false => format!("    {line}\n"),
    });
    format!("async fn line_{line}() {{\n{}}}\n", indented.collect::<String>())
}
