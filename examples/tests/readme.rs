//! The README, the front page of the crate and the list of examples match the repository.

#![expect(clippy::unwrap_used, reason = "a test that reads the repository")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn readme() -> String {
    read("README.md")
}

/// The code blocks of a Markdown text that begin with this fence, in order.
fn blocks(text: &str, fence: &str) -> Vec<String> {
    let start = format!("\n```{fence}\n");
    let blocks = text.split(&start).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// The front page of the crate: the documentation at the top of its `lib.rs`.
fn front_page() -> String {
    let source = read("aiows/src/lib.rs");
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    lines.flat_map(|line| [line.strip_prefix(' ').unwrap_or(line), "\n"]).collect()
}

/// A program without the lines that rustdoc hides.
fn visible(program: &str) -> String {
    let lines = program.lines().filter(|line| *line != "#" && !line.starts_with("# "));
    lines.flat_map(|line| [line, "\n"]).collect()
}

fn workspace_value(key: &str) -> String {
    let manifest = read("Cargo.toml");
    let mut lines = manifest.lines();
    let value = lines.find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap();
    value.trim_matches('"').to_owned()
}

/// The names of the features of the crate.
fn features() -> Vec<String> {
    let manifest = read("aiows/Cargo.toml");
    let (_, rest) = manifest.split_once("[features]\n").unwrap();
    let lines = rest.lines().take_while(|line| !line.is_empty());
    let names = lines.filter(|line| !line.starts_with('#')).map(|line| line.split(' ').next());
    names.map(|name| name.unwrap().to_owned()).filter(|name| name != "default").collect()
}

#[test]
fn the_quick_start_is_the_example_byte_for_byte() {
    let example = read("examples/quickstart/main.rs");
    assert_eq!(blocks(&readme(), "rust,no_run")[0], example);
}

#[test]
fn the_example_of_the_front_page_is_the_quick_start() {
    let example = read("examples/quickstart/main.rs");
    assert_eq!(visible(&blocks(&front_page(), "no_run")[0]), example);
}

#[test]
fn the_commands_are_printed_as_lines_of_their_own() {
    let readme = readme();
    for command in ["cargo run --example quickstart", "cargo test --workspace"] {
        assert!(readme.lines().any(|line| line == command), "{command}");
    }
}

#[test]
fn the_recordings_in_the_readme_are_those_in_docs() {
    let texts = blocks(&readme(), "text");
    assert_eq!(texts.len(), 2);
    assert!(read("docs/quickstart.txt").contains(&texts[0]), "{}", texts[0]);
    assert!(read("docs/compile_error.txt").contains(&texts[1]), "{}", texts[1]);
}

#[test]
fn the_pictures_of_the_readme_exist() {
    let readme = readme();
    let pictures: Vec<_> = [" src=\"", " srcset=\""]
        .iter()
        .flat_map(|attribute| readme.split(attribute).skip(1))
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert_eq!(pictures.len(), 2, "{pictures:?}");
    for picture in pictures {
        assert!(root().join(picture).exists(), "{picture}");
    }
}

#[test]
fn the_readme_names_the_version_and_the_minimum_version_of_rust() {
    let (version, rust) = (workspace_value("version"), workspace_value("rust-version"));
    let rust = format!("Rust {rust} or newer");
    let readme = readme();
    let line = readme.lines().find(|line| line.starts_with("Version ")).unwrap();
    assert!(line.starts_with(&format!("Version {version},")), "{line}");
    assert!(line.contains(&rust), "{line}");
    assert!(front_page().contains(&rust));
}

#[test]
fn every_feature_is_listed() {
    let pages = [readme(), front_page()];
    let features = features();
    assert!(features.contains(&"macros".to_owned()), "{features:?}");
    for (feature, page) in
        features.iter().flat_map(|feature| pages.iter().map(move |page| (feature, page)))
    {
        assert!(page.contains(&format!("\n| `{feature}` |")), "{feature}");
    }
}

#[test]
fn every_chapter_of_the_guide_is_listed() {
    let readme = readme();
    for entry in fs::read_dir(root().join("aiows/src/docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_listed = readme.contains(&format!("](aiows/src/docs/{name})"));
        assert!(is_listed || !name.ends_with(".md"), "{name}");
    }
}

#[test]
fn every_example_is_listed() {
    let list = read("examples/README.md");
    let manifest = read("examples/Cargo.toml");
    let names: Vec<_> = manifest
        .lines()
        .skip_while(|line| *line != "[[example]]")
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .collect();
    assert!(names.contains(&"quickstart"), "{names:?}");
    for name in names {
        assert!(list.contains(&format!("[{name}]({name}/")), "{name} is not in examples/README.md");
    }
}

/// Tests are named as `file::test` in the table of threats.
#[test]
fn every_test_that_the_security_page_names_exists() {
    let page = read("SECURITY.md");
    let (_, table) = page.split_once("|---|---|---|\n").unwrap();
    let rows: Vec<_> = table.lines().take_while(|line| line.starts_with("| ")).collect();
    assert!(rows.len() > 20, "only {} rows", rows.len());
    for row in rows {
        let names: Vec<_> = row.split('`').filter_map(|code| code.split_once("::")).collect();
        let tests = names.iter().filter(|(file, _)| file.starts_with(char::is_lowercase));
        assert!(tests.clone().count() > 0, "no test in {row}");
        for (file, test) in tests {
            let source = read(&format!("aiows/tests/it/{file}.rs"));
            assert!(source.contains(&format!("fn {test}(")), "{file}::{test}");
        }
    }
}

/// Parts of code in a text, such as the names of files.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|span| !span.contains([' ', '\n']))
}

/// The text of a file or of a folder that ARCHITECTURE.md names, from the root or from `aiows/src`.
fn source(name: &str) -> Option<String> {
    let path = ["", "aiows/src", "aiows-macros/src", "aiows-derive-tests"]
        .map(|folder| root().join(folder).join(name))
        .into_iter()
        .find(|path| path.exists())?;
    if path.is_file() {
        return Some(fs::read_to_string(path).unwrap());
    }
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    Some(
        entries
            .filter(|path| path.is_file())
            .map(|path| fs::read_to_string(path).unwrap())
            .collect(),
    )
}

#[test]
fn every_file_that_the_architecture_names_exists() {
    let page = read("ARCHITECTURE.md");
    let text = page.split("\n```").step_by(2).collect::<String>();
    // Capitals stand for the name of a new file.
    let names = code_spans(&text).filter(|name| {
        name.contains('/') && !name.contains("//") && !name.contains(char::is_uppercase)
    });
    let missing: Vec<_> = names.filter(|name| source(name).is_none()).collect();
    assert_eq!(missing, [""; 0]);
}

/// Rows of three cells name a step, its files and their functions.
#[test]
fn the_functions_that_the_architecture_names_are_in_their_files() {
    let page = read("ARCHITECTURE.md");
    let rows = page.lines().filter(|line| line.starts_with("| ")).filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").collect();
        <[&str; 3]>::try_from(cells).ok().filter(|[_, files, _]| files.contains(".rs`"))
    });
    let mut missing = Vec::new();
    for [step, files, functions] in rows {
        let text =
            code_spans(files).map(|file| source(file).unwrap_or_default()).collect::<String>();
        let is_name = |name: &&str| name.chars().all(|char| char.is_alphanumeric() || char == '_');
        let names = code_spans(functions).filter(is_name);
        missing.extend(names.filter(|name| !text.contains(name)).map(|name| (step, name)));
    }
    assert_eq!(missing, [("", ""); 0]);
}

#[test]
fn the_floors_of_the_architecture_are_those_of_the_crate() {
    let page = read("ARCHITECTURE.md");
    let floors = &blocks(&page, "text")[0];
    let source = read("aiows/src/lib.rs");
    let lines = source.lines().map(|line| line.trim_start_matches("pub "));
    let modules = lines.filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let is_floor = |name: &&str| !["testing", "guide", "__private"].contains(name);
    let modules: Vec<_> = modules.filter(is_floor).collect();
    assert!(modules.len() > 15, "{modules:?}");
    // The diagram begins with the highest floor.
    let places: Vec<_> = modules
        .iter()
        .rev()
        .map(|name| floors.split_once(&format!("  {name}")).map(|(before, _)| before.len()))
        .collect();
    assert!(places.is_sorted() && !places.contains(&None), "{modules:?} {places:?}");
}

/// The words of all Rust files of a folder.
fn words(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            words(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(path).unwrap();
            found.extend(text.split(|char| !is_word(char)).map(str::to_owned));
        }
    }
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

#[test]
fn the_items_that_the_architecture_names_exist() {
    let mut known = BTreeSet::new();
    for folder in ["aiows/src", "aiows/tests", "aiows-macros/src"] {
        words(&root().join(folder), &mut known);
    }
    let page = read("ARCHITECTURE.md");
    let text = page.split("\n```").step_by(2).collect::<String>();
    let items = code_spans(&text).filter(|span| {
        !span.contains(['/', '-', '=', '$'])
            && ![".rs", ".md"].iter().any(|end| span.ends_with(end))
    });
    let names = items.flat_map(|item| item.split(|char| !is_word(char)));
    let missing: BTreeSet<_> = names.filter(|name| !known.contains(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
