//! A valid program, and the ranges of its parts.

use std::{fs, ops::Range, path::Path};

/// A program with blank lines between its items. Its first handler is the one to mutate.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mutants/valid");
        let files = fs::read_dir(folder).expect("tests/mutants/valid is a folder");
        let mut sources: Vec<_> = files.map(|file| Self::read(&file.unwrap().path())).collect();
        sources.sort_by(|one, other| one.name.cmp(&other.name));
        sources
    }

    fn read(path: &Path) -> Self {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        Self { name, text: fs::read_to_string(path).unwrap() }
    }

    /// Returns the item around a byte, that is, the text between two blank lines. In the function
    /// that lists the handlers, the item is only the list.
    pub(crate) fn item(&self, at: usize) -> Range<usize> {
        let start = self.text[..at].rfind("\n\n").map_or(0, |found| found + 2);
        let end = self.text[at..].find("\n\n").map_or(self.text.len(), |found| at + found);
        match self.text[start..end].find("routes![") {
            Some(list) if at >= start + list => start + list..self.after(start + list, "]"),
            _ => start..end,
        }
    }

    fn after(&self, from: usize, text: &str) -> usize {
        from + self.text[from..].find(text).unwrap_or_else(|| panic!("`{text}` is missing"))
            + text.len()
    }

    fn within(&self, range: Range<usize>, text: &str) -> Option<Range<usize>> {
        let start = range.start + self.text[range].find(text)?;
        Some(start..start + text.len())
    }

    /// Returns the handler, from its attribute to its last brace.
    pub(crate) fn handler(&self) -> Range<usize> {
        self.item(self.text.find("async fn").unwrap())
    }

    pub(crate) fn in_handler(&self, text: &str) -> Option<Range<usize>> {
        self.within(self.handler(), text)
    }

    /// Returns the attribute without `#[` and `]`.
    pub(crate) fn attribute(&self) -> Range<usize> {
        let start = self.handler().start + "#[".len();
        start..self.after(start, "]") - 1
    }

    /// Returns the message type with its quotes.
    pub(crate) fn literal(&self) -> Option<Range<usize>> {
        let attribute = self.attribute();
        let start = attribute.start + self.text[attribute.clone()].find('"')?;
        Some(start..attribute.end - 1)
    }

    pub(crate) fn kind(&self) -> &str {
        let attribute = &self.text[self.attribute()];
        attribute.split('(').next().unwrap()
    }

    /// Returns the name of the function.
    pub(crate) fn function(&self) -> Range<usize> {
        let start = self.after(self.handler().start, "async fn ");
        start..self.after(start, "(") - 1
    }

    /// Returns the text between the closing parenthesis of the parameters and the body.
    pub(crate) fn returns(&self) -> Range<usize> {
        let close = self.parameters().end + 1;
        close..self.after(close, " {") - 2
    }

    pub(crate) fn body(&self) -> usize {
        self.returns().end + " {".len()
    }

    pub(crate) fn parameters(&self) -> Range<usize> {
        let start = self.function().end + 1;
        let mut depth = 1;
        let close = self.text[start..].find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        start..start + close.unwrap()
    }

    /// Returns every parameter: its whole range, and the range of its type.
    pub(crate) fn arguments(&self) -> Vec<(Range<usize>, Range<usize>)> {
        let (mut depth, mut found) = (0, Vec::new());
        let all = self.parameters();
        let mut start = all.start;
        for (at, c) in self.text[all.clone()].char_indices().chain([(all.len(), ',')]) {
            let at = all.start + at;
            depth += i32::from("({".contains(c)) - i32::from(")}".contains(c));
            if c == ',' && depth == 0 && at > start {
                let ty = start + self.text[start..at].rfind(": ").unwrap() + 2;
                found.push((start..at, ty..at));
                start = at + ", ".len();
            }
        }
        found
    }

    /// Returns the type of the last argument if it is a message.
    pub(crate) fn payload(&self) -> Option<&str> {
        let (_, ty) = self.arguments().pop()?;
        let name = &self.text[ty];
        let item = self.item(self.text.find(&format!("pub struct {name} {{"))?);
        self.text[item].contains("Message").then_some(name)
    }

    pub(crate) fn list(&self) -> Range<usize> {
        let start = self.after(self.text.find("-> Routes").unwrap(), "routes![");
        start..self.after(start, "]") - 1
    }
}
