//! The libraries this test was built with, for programs that it compiles itself.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

const NAMES: [&str; 5] = ["aiows", "serde", "serde_json", "tokio", "validator"];

pub(crate) struct Libraries {
    paths: BTreeMap<String, PathBuf>,
}

impl Libraries {
    /// Finds the libraries through cargo, which has built them for this test already.
    ///
    /// The whole workspace is selected because cargo chooses the features of a library by the
    /// selected packages. With this package alone, `cargo test --workspace` would build `aiows` and
    /// its dependencies once more.
    pub(crate) fn new() -> Self {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["test", "--no-run", "--workspace", "--test", "mutants"])
            .args(["--message-format=json", "--target-dir"])
            .arg(scratch.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo starts");
        assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
        let output = String::from_utf8(cargo.stdout).unwrap();
        let paths: BTreeMap<_, _> = output.lines().filter_map(library).collect();
        assert_eq!(paths.len(), NAMES.len(), "{paths:?}");
        Self { paths }
    }

    /// Returns a `rustc` that compiles programs of the edition 2024 against the libraries.
    pub(crate) fn rustc(&self) -> Command {
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.arg("--edition=2024");
        for (name, path) in &self.paths {
            rustc.arg(format!("-Ldependency={}", path.parent().unwrap().display()));
            rustc.arg("--extern").arg(format!("{name}={}", path.display()));
        }
        rustc
    }
}

fn library(line: &str) -> Option<(String, PathBuf)> {
    let artifact: Value = serde_json::from_str(line).ok()?;
    let name = artifact["target"]["name"].as_str()?;
    let files = artifact["filenames"].as_array()?;
    let file = files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".rlib"))?;
    NAMES.contains(&name).then(|| (name.to_owned(), file.into()))
}
