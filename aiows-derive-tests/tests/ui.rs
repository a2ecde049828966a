//! What the macros accept, and word for word what they say to the most likely mistakes.

use std::{env, process::Command};

/// The toolchain that wrote the `.stderr` files.
const PINNED: &str = "1.95.0";

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

fn rustc_version() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("rustc starts");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
