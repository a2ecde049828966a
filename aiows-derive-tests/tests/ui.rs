//! What the macros accept, and word for word what they say to the most likely mistakes.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The toolchain that wrote the `.stderr` files.
const PINNED: &str = "1.95.0";

/// rustc speaks first here, and what to write is said by the second error only.
const TWO_ERRORS: &str = "router/file_module.rs";

#[test]
fn accepted() {
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}

/// The texts are exact, and other releases of rustc word their half of them differently. So they
/// are compared on the pinned release only: elsewhere this test checks nothing and says so, which
/// keeps `cargo test --workspace` green for everybody. Where the variable `CI` is set it fails
/// instead, or a new toolchain would switch the suite off unnoticed.
#[test]
fn refused() {
    let version = rustc_version();
    if version.contains(PINNED) {
        trybuild::TestCases::new().compile_fail("tests/ui/fail/*/*.rs");
        return;
    }
    let text = format!("the texts in tests/ui/fail belong to rustc {PINNED}, this is {version}");
    assert!(env::var_os("CI").is_none(), "{text}; README.md says how to move on");
    #[expect(clippy::print_stderr, reason = "a skipped check must be visible")]
    {
        eprintln!("skipped: {text}");
    }
}

#[test]
fn one_mistake_is_one_error() {
    let cases = cases();
    assert!(!cases.is_empty());
    for case in cases {
        let texts = case.with_extension("stderr");
        let texts = fs::read_to_string(&texts).unwrap_or_else(|error| {
            panic!("{}: {error}; README.md says how to make it", texts.display())
        });
        let errors = texts.lines().filter(|line| line.starts_with("error"));
        let expected = if case.ends_with(TWO_ERRORS) { 2 } else { 1 };
        assert_eq!(errors.count(), expected, "errors in the text of {}", case.display());
        let warnings = texts.lines().filter(|line| line.starts_with("warning"));
        assert_eq!(warnings.count(), 0, "warnings in the text of {}", case.display());
    }
}

fn rustc_version() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc starts");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn cases() -> Vec<PathBuf> {
    let fail = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui/fail");
    let kinds = fs::read_dir(fail).expect("tests/ui/fail is a folder");
    kinds
        .flat_map(|kind| fs::read_dir(kind.expect("readable").path()).expect("a folder per kind"))
        .map(|case| case.expect("readable").path())
        .filter(|case| case.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
