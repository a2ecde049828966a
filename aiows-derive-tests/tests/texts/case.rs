//! A program that must not compile, and the text of its error.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A program of `ui/fail`.
pub(crate) struct Case {
    /// `kind/mistake`.
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Case {
    pub(crate) fn all() -> Vec<Self> {
        let fail = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui/fail");
        let mut cases: Vec<_> = entries(&fail)
            .iter()
            .flat_map(|kind| entries(kind))
            .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
            .map(|file| Self::of(&fail, &file))
            .collect();
        cases.sort_by(|one, other| one.name.cmp(&other.name));
        cases
    }

    fn of(fail: &Path, program: &Path) -> Self {
        let path = program.with_extension("stderr");
        let text = fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; README.md explains how to create it", path.display())
        });
        let name = program.strip_prefix(fail).unwrap().with_extension("");
        let name = name.components().map(|part| part.as_os_str().to_string_lossy());
        Self { name: name.collect::<Vec<_>>().join("/"), text }
    }

    pub(crate) fn kind(&self) -> &str {
        self.name.split('/').next().unwrap()
    }

    pub(crate) fn count(&self, level: &str) -> usize {
        self.text.lines().filter(|line| line.starts_with(level)).count()
    }

    /// Returns the text after `error:`.
    pub(crate) fn error(&self) -> &str {
        self.text.lines().next().and_then(|line| Some(line.split_once(": ")?.1)).unwrap()
    }

    /// Returns the line with the mistake, its underlined part, and the label of that part.
    pub(crate) fn primary(&self) -> (&str, &str, &str) {
        let lines: Vec<_> = self.text.lines().collect();
        let at = lines.iter().position(|line| line.contains('^')).expect("a place is underlined");
        let marks = after_bar(lines[at]);
        let start = marks.find('^').unwrap();
        let length = marks[start..].chars().take_while(|mark| "^-".contains(*mark)).count();
        let label = marks[start + length..].trim();
        // If the mistake spans several lines, rustc marks its first line and underlines its end.
        match lines[..at]
            .iter()
            .map(|line| after_bar(line))
            .find_map(|line| line.strip_prefix("/ "))
        {
            Some(first) => (first, first, label),
            None => {
                let line = after_bar(lines[at - 1]);
                let underlined = line.get(start..start + length).unwrap_or(line);
                (line.trim_start_matches("| "), underlined, label)
            }
        }
    }
}

/// Returns the code in a line such as `3 | #[message]`.
fn after_bar(line: &str) -> &str {
    line.split_once("| ").map_or("", |(_, code)| code)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    entries.map(|entry| entry.expect("readable").path()).collect()
}
