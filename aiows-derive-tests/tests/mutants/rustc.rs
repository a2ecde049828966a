//! Compiles a mutant and collects its errors.

use std::{
    fs,
    io::Write as _,
    ops::Range,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;

use super::libraries::Libraries;

pub(crate) struct Rustc {
    libraries: Libraries,
    out: PathBuf,
}

/// An error that stops the build.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) text: String,
    /// Its primary spans, in bytes; empty for an error without a place, or in another file.
    pub(crate) spans: Vec<Range<usize>>,
}

impl Rustc {
    pub(crate) fn new() -> Self {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutants");
        fs::create_dir_all(&out).unwrap();
        Self { libraries: Libraries::new(), out }
    }

    pub(crate) fn errors(&self, name: &str, program: &str) -> Vec<Error> {
        let mut rustc = self.libraries.rustc();
        rustc.args(["-", "--crate-type=lib", "--emit=metadata"]);
        rustc.args(["--error-format=json", "--cap-lints=allow", "--crate-name", name]);
        rustc.arg("--out-dir").arg(&self.out);
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
