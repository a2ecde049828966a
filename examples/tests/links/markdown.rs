//! As much of Markdown as its links take.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub struct Page {
    /// The anchors of the headings, in order.
    pub headings: Vec<String>,
    pub links: Vec<Link>,
}

#[derive(Debug, PartialEq)]
pub struct Link {
    pub line: usize,
    pub text: String,
    /// The label of a link that names a definition.
    pub label: Option<String>,
    /// `None` if the label has no definition.
    pub target: Option<String>,
}

impl Page {
    pub fn read(path: &Path) -> Self {
        Self::new(&fs::read_to_string(path).unwrap())
    }

    fn new(text: &str) -> Self {
        let prose = without_code(text);
        let headings = prose.lines().filter(|line| line.starts_with('#')).map(anchor).collect();
        let mut definitions = BTreeMap::new();
        for (label, target) in prose.lines().filter_map(definition) {
            definitions.entry(label).or_insert(target);
        }
        Self { headings, links: links(&prose, &definitions) }
    }
}

/// Stands for a bracket in code, where it begins no link.
const BRACKET: char = '\u{1}';

/// Empties the lines of code blocks, and hides the brackets of code within lines.
fn without_code(text: &str) -> String {
    let mut prose = String::new();
    let mut is_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_block = !is_block;
        } else if !is_block {
            let parts = line.split('`').enumerate().map(|(index, part)| match index % 2 {
                0 => part.to_owned(),
                _ => part.replace(['[', ']', '(', ')'], &BRACKET.to_string()),
            });
            prose.push_str(&parts.collect::<Vec<_>>().join("`"));
        }
        prose.push('\n');
    }
    prose
}

/// `[label]: target`.
pub fn definition(line: &str) -> Option<(String, String)> {
    let (label, target) = line.strip_prefix('[')?.split_once("]: ")?;
    Some((label.to_owned(), target.trim().to_owned()))
}

/// Splits the definitions at the end off, and returns those of other sites.
pub fn without_definitions(text: &str) -> (String, BTreeMap<String, String>) {
    let mut lines: Vec<_> = text.lines().collect();
    let mut kept = BTreeMap::new();
    while let Some(line) = lines.pop_if(|line| line.is_empty() || definition(line).is_some()) {
        kept.extend(definition(line).filter(|(_, target)| target.starts_with("https://")));
    }
    (lines.join("\n") + "\n", kept)
}

/// The anchor that the view of the repository and rustdoc give to a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|char| char.is_alphanumeric() || " -_".contains(*char));
    kept.map(|char| if char == ' ' { '-' } else { char }).collect()
}

fn links(prose: &str, definitions: &BTreeMap<String, String>) -> Vec<Link> {
    let mut links = Vec::new();
    let mut end = 0;
    for (start, _) in prose.match_indices('[') {
        if start < end {
            continue;
        }
        let rest = &prose[start + 1..];
        let is_definition =
            prose[..start].ends_with('\n') && definition(rest_line(prose, start)).is_some();
        let Some((text, behind)) = rest.split_once(']') else { continue };
        if is_definition || text.contains('[') || text.contains("\n\n") {
            continue;
        }
        let line = prose[..start].matches('\n').count() + 1;
        let text = text.replace('\n', " ");
        let link = |label: Option<&str>, target: Option<String>| Link {
            line,
            text: text.clone(),
            label: label.map(str::to_owned),
            target,
        };
        if let Some(target) = between(behind, '(', ')') {
            links.push(link(None, Some(target.to_owned())));
        } else if let Some(label) = between(behind, '[', ']') {
            end = start + text.len() + label.len();
            let label = label.replace('\n', " ");
            links.push(link(Some(&label), definitions.get(&label).cloned()));
        } else if definitions.contains_key(&text) || text.starts_with('`') {
            links.push(link(Some(&text), definitions.get(&text).cloned()));
        }
    }
    links
}

fn rest_line(prose: &str, start: usize) -> &str {
    prose[start..].lines().next().unwrap()
}

fn between(text: &str, open: char, close: char) -> Option<&str> {
    Some(text.strip_prefix(open)?.split_once(close)?.0)
}

#[test]
fn links_are_found_outside_of_code() {
    let page = Page::new(
        "# What `build` reports\n\n[a](b.md#c), [two\nwords][rooms], [`Hub`] and `routes![x]`, [no].\n\
         \n```rust\n[x](y)\n```\n\n[rooms]: rooms.md\n",
    );
    assert_eq!(page.headings, ["what-build-reports"]);
    let link = |line, text: &str, label: Option<&str>, target: Option<&str>| Link {
        line,
        text: text.into(),
        label: label.map(str::to_owned),
        target: target.map(str::to_owned),
    };
    let expected = [
        link(3, "a", None, Some("b.md#c")),
        link(3, "two words", Some("rooms"), Some("rooms.md")),
        link(4, "`Hub`", Some("`Hub`"), None),
    ];
    assert_eq!(page.links, expected);
}
