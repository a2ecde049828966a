//! Compiles a program against the libraries this test was built with.

use std::{
    collections::BTreeMap,
    env, fs,
    io::Write as _,
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

const LIBRARIES: [&str; 5] = ["aiows", "serde", "serde_json", "tokio", "validator"];

pub(crate) struct Rustc {
    libraries: BTreeMap<String, PathBuf>,
    out: PathBuf,
}

/// What stops a build.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) text: String,
    /// In bytes; none for an error without a place, or in another file.
    pub(crate) spans: Vec<Range<usize>>,
}

impl Rustc {
    /// Asks cargo where the libraries are: it has built them for this test already.
    pub(crate) fn new() -> Self {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let out = scratch.join("mutants");
        fs::create_dir_all(&out).unwrap();
        let cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["test", "--no-run", "--test", "mutants", "--message-format=json"])
            .args(["--package", env!("CARGO_PKG_NAME"), "--target-dir"])
            .arg(scratch.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo starts");
        assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
        let output = String::from_utf8(cargo.stdout).unwrap();
        let libraries: BTreeMap<_, _> = output.lines().filter_map(library).collect();
        assert_eq!(libraries.len(), LIBRARIES.len(), "{libraries:?}");
        Self { libraries, out }
    }

    pub(crate) fn errors(&self, name: &str, program: &str) -> Vec<Error> {
        let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["-", "--edition=2024", "--crate-type=lib", "--emit=metadata"]);
        rustc.args(["--error-format=json", "--cap-lints=allow", "--crate-name", name]);
        rustc.arg("--out-dir").arg(&self.out);
        for (name, path) in &self.libraries {
            let deps = path.parent().unwrap().display();
            rustc.arg(format!("-Ldependency={deps}"));
            rustc.arg("--extern").arg(format!("{name}={}", path.display()));
        }
        rustc.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = rustc.spawn().expect("rustc starts");
        child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let texts = String::from_utf8(output.stderr).unwrap();
        let errors: Vec<_> = texts.lines().filter_map(error).collect();
        assert_eq!(errors.is_empty(), output.status.success(), "{name}: {texts}");
        errors
    }
}

fn library(line: &str) -> Option<(String, PathBuf)> {
    let artifact: Value = serde_json::from_str(line).ok()?;
    let name = artifact["target"]["name"].as_str()?;
    let files = artifact["filenames"].as_array()?;
    let file = files.iter().filter_map(Value::as_str).find(|file| file.ends_with(".rlib"))?;
    LIBRARIES.contains(&name).then(|| (name.to_owned(), file.into()))
}

fn error(line: &str) -> Option<Error> {
    let diagnostic: Value = serde_json::from_str(line).ok()?;
    let text = diagnostic["message"].as_str()?;
    if diagnostic["level"] != "error" || text.starts_with("aborting due to") {
        return None;
    }
    let spans = diagnostic["spans"].as_array()?.iter();
    let primary = spans.filter(|span| span["is_primary"] == true && span["file_name"] == "<anon>");
    let byte = |span: &Value, key| usize::try_from(span[key].as_u64().unwrap()).unwrap();
    Some(Error {
        text: text.to_owned(),
        spans: primary.map(|span| byte(span, "byte_start")..byte(span, "byte_end")).collect(),
    })
}
