//! Every page of the guide is included in the crate, and its programs are compiled.

use std::fs;
use std::path::Path;

#[test]
fn every_page_is_included_in_the_guide() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let guide = fs::read_to_string(root.join("guide.rs")).unwrap();
    let pages: Vec<_> = fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(pages.len(), guide.matches("include_str!").count(), "{pages:?}");
    for page in pages {
        let name = page.strip_suffix(".md").unwrap();
        let included = format!("#[doc = include_str!(\"docs/{page}\")]\npub mod {name} {{}}\n");
        assert!(guide.contains(&included), "{page} is not included by guide.rs");
    }
}

#[test]
fn every_program_of_the_guide_is_compiled() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs");
    for entry in fs::read_dir(docs).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let fences = text.lines().filter_map(|line| line.strip_prefix("```"));
        for fence in fences.step_by(2) {
            let known = ["rust", "rust,no_run"].contains(&fence);
            assert!(known, "{}: a block of `{fence}`", path.display());
        }
    }
}

/// `no_run` is only for programs that run a server and never return.
#[test]
fn only_programs_that_run_a_server_are_marked_no_run() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/docs");
    for entry in fs::read_dir(docs).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for block in text.split("```rust,no_run\n").skip(1) {
            let block = block.split("```").next().unwrap();
            assert!(block.contains(".run(\""), "{}: {block}", path.display());
        }
    }
}
