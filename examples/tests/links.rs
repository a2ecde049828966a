//! Every link of the Markdown files leads somewhere: in the repository, and in the hosted documentation.
//!
//! A chapter of the guide links to another one as `[text][rooms#a-heading]`, and to an item as
//! `` [`Hub`] ``. Such a label is defined twice: at the end of the chapter as a path, for the view of
//! the repository, and in `docs/links.txt` as a link of rustdoc. `guide.rs` puts the latter in front of
//! each chapter, and the first definition of a label is the one that Markdown uses.
//!
//! `BLESS=1 cargo test -p aiows-examples --test links` writes the definitions. Only the path of an item
//! that `links.txt` does not have yet is written by hand.

#![expect(clippy::unwrap_used, reason = "a test that reads the repository")]

#[path = "links/markdown.rs"]
mod markdown;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::{env, fs};

use self::markdown::{Link, Page};

/// Addresses that will exist with the first release only.
const UNPUBLISHED: [&str; 4] =
    ["docs.rs/aiows", "docs.rs/crate/aiows", "crates.io/crates/aiows", "github.com/aiows"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn docs() -> PathBuf {
    root().join("aiows/src/docs")
}

/// The files of a folder whose names end like this, without those that are built or downloaded.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_symlink() || ["target", ".git", "node_modules"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if name.ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn chapters() -> BTreeMap<String, Page> {
    let pages = files(&docs(), ".md").into_iter();
    pages
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), Page::read(&path)))
        .collect()
}

fn assert_none(mistakes: &[String]) {
    assert!(mistakes.is_empty(), "{} mistakes:\n{}", mistakes.len(), mistakes.join("\n"));
}

#[test]
fn every_link_leads_somewhere_in_the_repository() {
    let mut mistakes = Vec::new();
    for path in files(root(), ".md") {
        let page = Page::read(&path);
        for link in &page.links {
            if let Err(why) = follow(&path, &page, link) {
                let file = path.strip_prefix(root()).unwrap().display();
                mistakes.push(format!("{file}:{}: [{}]: {why}", link.line, link.text));
            }
        }
    }
    assert_none(&mistakes);
}

fn follow(path: &Path, page: &Page, link: &Link) -> Result<(), String> {
    let Some(target) = &link.target else { return Err("has no definition".into()) };
    if target.starts_with("http://") || target.starts_with("https://") {
        return match UNPUBLISHED.iter().find(|address| target.contains(*address)) {
            Some(address) => Err(format!("{address} does not exist yet")),
            None => Ok(()),
        };
    }
    if target.contains("::") {
        return Err(format!("{target} is no file"));
    }
    let (file, anchor) = match target.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (target.as_str(), None),
    };
    let there = match file {
        "" => path.to_owned(),
        _ => normal(&path.parent().unwrap().join(file)),
    };
    if !there.exists() || !there.starts_with(root()) {
        return Err(format!("{file} does not exist"));
    }
    match anchor {
        None => Ok(()),
        Some(anchor) if there == path => has_heading(page, anchor),
        Some(anchor) if file.ends_with(".md") => has_heading(&Page::read(&there), anchor),
        Some(_) => Err(format!("{file} has no headings")),
    }
}

fn has_heading(page: &Page, anchor: &str) -> Result<(), String> {
    match page.headings.iter().filter(|heading| *heading == anchor).count() {
        1 => Ok(()),
        0 => Err(format!("there is no heading #{anchor}")),
        _ => Err(format!("there are several headings #{anchor}")),
    }
}

fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(normal.pop()),
            other => normal.push(other),
        }
    }
    normal
}

/// A path within the repository leads nowhere on the page of a chapter.
#[test]
fn chapters_link_by_label() {
    let mut mistakes = Vec::new();
    for (chapter, page) in chapters() {
        for Link { line, text, label, target } in page.links {
            let target = target.unwrap_or_default();
            let is_elsewhere = target.starts_with('#') || target.starts_with("https://");
            if label.is_none() && !is_elsewhere {
                mistakes.push(format!("{chapter}.md:{line}: [{text}]({target}) has no label"));
            }
        }
    }
    assert_none(&mistakes);
}

/// The labels of all chapters, and for each its two definitions.
#[derive(Default)]
struct Definitions {
    /// For the hosted documentation.
    hosted: BTreeMap<String, String>,
    /// By chapter, for the view of the repository.
    stored: BTreeMap<String, BTreeMap<String, String>>,
    mistakes: Vec<String>,
}

impl Definitions {
    fn of(chapters: &BTreeMap<String, Page>) -> Self {
        let items = hosted_items();
        let mut definitions = Self::default();
        for (chapter, page) in chapters {
            let labels: BTreeSet<_> =
                page.links.iter().filter_map(|link| link.label.as_ref()).collect();
            for label in labels {
                let found = match label.contains('`') {
                    true => item(label, &items),
                    false => heading(label, chapters),
                };
                match found {
                    Ok((hosted, stored)) => definitions.add(chapter, label, hosted, stored),
                    Err(why) => {
                        definitions.mistakes.push(format!("{chapter}.md: [{label}]: {why}"))
                    }
                }
            }
        }
        definitions
    }

    fn add(&mut self, chapter: &str, label: &str, hosted: String, stored: String) {
        self.hosted.insert(label.to_owned(), hosted);
        self.stored.entry(chapter.to_owned()).or_default().insert(label.to_owned(), stored);
    }
}

fn links_txt() -> PathBuf {
    docs().join("links.txt")
}

fn hosted_items() -> BTreeMap<String, String> {
    let text = fs::read_to_string(links_txt()).unwrap();
    let definitions = text.lines().filter_map(markdown::definition);
    definitions.filter(|(label, _)| label.contains('`')).collect()
}

/// A chapter, or one of its headings.
fn heading(label: &str, chapters: &BTreeMap<String, Page>) -> Result<(String, String), String> {
    let (name, anchor) = match label.split_once('#') {
        Some((name, anchor)) => (name, Some(anchor)),
        None => (label, None),
    };
    let page = chapters.get(name).ok_or("there is no such chapter")?;
    if let Some(anchor) = anchor {
        has_heading(page, anchor)?;
    }
    let anchor = anchor.map(|anchor| format!("#{anchor}")).unwrap_or_default();
    Ok((format!("crate::guide::{name}{anchor}"), format!("{name}.md{anchor}")))
}

/// An item of the crate: its page, and the file that declares its type.
fn item(label: &str, items: &BTreeMap<String, String>) -> Result<(String, String), String> {
    let hosted = items.get(label).ok_or("add the path of the item to links.txt")?;
    let name = label.trim_matches('`').split("::").next().unwrap();
    let source = root().join("aiows/src");
    let declares = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap();
        let mut words = text.lines().filter_map(|line| line.trim_start().strip_prefix("pub "));
        words.any(|line| {
            let mut words = line.split(|char: char| !char.is_alphanumeric() && char != '_');
            let is_type =
                ["struct", "enum", "trait", "type", "fn"].contains(&words.next().unwrap());
            is_type && words.next() == Some(name)
        })
    };
    let found: Vec<_> = files(&source, ".rs").into_iter().filter(declares).collect();
    let [file] = &found[..] else {
        return Err(format!("{} files of the crate declare it", found.len()));
    };
    let file = file.strip_prefix(&source).unwrap().display().to_string();
    Ok((hosted.clone(), format!("../{file}")))
}

fn print(definitions: &BTreeMap<String, String>) -> String {
    definitions.iter().map(|(label, target)| format!("[{label}]: {target}\n")).collect()
}

#[test]
fn labels_of_chapters_are_defined_for_both_views() {
    let chapters = chapters();
    let definitions = Definitions::of(&chapters);
    assert_none(&definitions.mistakes);
    let mut expected = vec![(links_txt(), print(&definitions.hosted))];
    for name in chapters.keys() {
        let path = docs().join(format!("{name}.md"));
        let text = fs::read_to_string(&path).unwrap();
        let (body, kept) = markdown::without_definitions(&text);
        let mut stored = definitions.stored.get(name).cloned().unwrap_or_default();
        stored.extend(kept);
        let space = if stored.is_empty() { "" } else { "\n" };
        expected.push((path, format!("{body}{space}{}", print(&stored))));
    }
    for (path, expected) in expected {
        if env::var_os("BLESS").is_some() {
            fs::write(path, expected).unwrap();
        } else {
            let file = path.strip_prefix(root()).unwrap().display();
            let is_same = fs::read_to_string(&path).unwrap() == expected;
            assert!(is_same, "{file}: the definitions of links differ, run this test with BLESS=1");
        }
    }
}

/// rustdoc checks that a page exists; it does not check headings.
#[test]
fn the_comments_of_the_crate_name_headings_that_exist() {
    let chapters = chapters();
    let mut mistakes = Vec::new();
    for path in files(&root().join("aiows/src"), ".rs") {
        let text = fs::read_to_string(&path).unwrap();
        for rest in text.split("crate::guide::").skip(1) {
            let label = rest.split([')', ']', '\n', ' ', '>']).next().unwrap();
            if let Err(why) = heading(label, &chapters) {
                mistakes.push(format!("{}: {label}: {why}", path.display()));
            }
        }
    }
    assert_none(&mistakes);
}
