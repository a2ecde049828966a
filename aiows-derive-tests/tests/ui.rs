//! The programs that the macros accept, and the exact errors for the most likely mistakes.
#![expect(clippy::unwrap_used, reason = "helpers of a test")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
};

mod libraries;

use libraries::Libraries;

/// The toolchain that wrote the `.stderr` files.
const PINNED: &str = "1.95.0";

/// Compiles and runs every program in `ui/pass`. They use the libraries of this test, whereas
/// trybuild would build all of them a second time.
#[test]
fn accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui/pass");
    let programs: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!programs.is_empty());
    let libraries = Libraries::new();
    let problems: Vec<_> = thread::scope(|scope| {
        let libraries = &libraries;
        let runs = programs.iter().map(|program| scope.spawn(move || problem(libraries, program)));
        let runs: Vec<_> = runs.collect();
        runs.into_iter().filter_map(|run| run.join().unwrap()).collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Returns why a program does not compile or does not run.
fn problem(libraries: &Libraries, program: &Path) -> Option<String> {
    let failed = |output: &Output| {
        let text = String::from_utf8_lossy(&output.stderr);
        (!output.status.success()).then(|| format!("{}: {text}", program.display()))
    };
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pass");
    fs::create_dir_all(&out).unwrap();
    let executable: PathBuf = out.join(program.file_stem().unwrap());
    let mut rustc = libraries.rustc();
    let compiled = rustc.arg(program).arg("-o").arg(&executable).output().expect("rustc starts");
    failed(&compiled).or_else(|| failed(&Command::new(&executable).output().unwrap()))
}

/// The texts are exact, and other releases of rustc word their own errors differently. So this test
/// compares the texts on the pinned release only. On another release it prints that it is skipped,
/// which keeps `cargo test --workspace` green for everyone. If the variable `CI` is set, it fails
/// instead, so that a new toolchain cannot switch the suite off unnoticed.
#[test]
fn rejected() {
    let version = rustc_version();
    if version.contains(PINNED) {
        trybuild::TestCases::new().compile_fail("tests/ui/fail/*/*.rs");
        return;
    }
    let text = format!("the texts in tests/ui/fail belong to rustc {PINNED}, this is {version}");
    assert!(env::var_os("CI").is_none(), "{text}; README.md explains how to update them");
    #[expect(clippy::print_stderr, reason = "a skipped check must be visible")]
    {
        eprintln!("skipped: {text}");
    }
}

fn rustc_version() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc starts");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
