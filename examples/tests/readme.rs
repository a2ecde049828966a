//! The README agrees with the files of the repository.

#![expect(clippy::unwrap_used, reason = "a test that reads the repository")]

use std::fs;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The Rust blocks of the README, in order.
fn rust_blocks() -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let blocks = readme.split("\n```rust").skip(1);
    blocks
        .map(|rest| {
            let (_, block) = rest.split_once('\n').unwrap();
            block.split("```").next().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn the_quick_start_equals_the_example_byte_for_byte() {
    let example = fs::read_to_string(root().join("examples/quickstart/main.rs")).unwrap();
    assert_eq!(rust_blocks()[0], example);
}

#[test]
fn the_readme_prints_each_command_on_its_own_line() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for command in ["cargo run --example quickstart", "cargo test --workspace"] {
        assert!(readme.lines().any(|line| line == command), "{command}");
    }
}

#[test]
fn every_example_is_listed_in_the_examples_readme() {
    let list = fs::read_to_string(root().join("examples/README.md")).unwrap();
    let manifest = fs::read_to_string(root().join("examples/Cargo.toml")).unwrap();
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
