//! What every text in `ui/fail` must be like.
#![expect(clippy::unwrap_used, reason = "helpers of a test")]

mod case;
mod table;

use case::Case;

/// Where there is no smaller place for the mistake than an attribute.
const ATTRIBUTES: [(&str, &str); 6] = [
    ("attribute/missing_type", "what is missing has no place"),
    ("attribute/empty_parentheses", "what is missing has no place"),
    ("attribute/two_attributes", "the second attribute is the mistake"),
    ("derive/options_without_parentheses", "what is missing has no place"),
    ("routes/attribute_on_entry", "the attribute is the mistake"),
    ("set/options_on_a_variant", "the attribute is the mistake"),
];

/// rustc speaks first here, and what to write is said by the second error only.
const TWO_ERRORS: &str = "router/file_module";

/// rustc names the trait that is not implemented, whatever it is called.
const HIDDEN_TRAITS: [&str; 4] = ["Handler", "Receive<", "Take<", "Validated"];

#[test]
fn one_mistake_is_one_error() {
    let cases = Case::all();
    assert!(!cases.is_empty());
    for case in cases {
        let expected = if case.name == TWO_ERRORS { 2 } else { 1 };
        assert_eq!(case.count("error"), expected, "errors in the text of {}", case.name);
        assert_eq!(case.count("warning"), 0, "warnings in the text of {}", case.name);
    }
}

#[test]
fn the_mistake_is_underlined_and_not_the_whole_attribute() {
    for case in Case::all() {
        let (_, underlined, _) = case.primary();
        let listed = ATTRIBUTES.iter().any(|(name, _)| *name == case.name);
        let attribute = underlined.starts_with("#[");
        assert_eq!(attribute, listed, "{} underlines `{underlined}`", case.name);
        assert!(!underlined.contains("routes!"), "{} underlines `{underlined}`", case.name);
    }
}

#[test]
fn public_names_are_used() {
    for case in Case::all() {
        for line in case.text.lines() {
            let paths = line.split("aiows::").skip(1).filter_map(|path| path.split_once("::"));
            for (module, name) in paths.filter(|(module, _)| is_word(module)) {
                let hidden = module == "__private"
                    && (line.contains("required by a bound in ")
                        || line.contains(" evaluation of `")
                        || is_hidden_trait(line, name));
                assert!(hidden, "{} names a private module: {line}", case.name);
            }
        }
    }
}

fn is_hidden_trait(line: &str, name: &str) -> bool {
    let known = HIDDEN_TRAITS.iter().any(|known| name.starts_with(known));
    line.contains(": the trait `aiows::__private::") && (known || name.starts_with("Payload`"))
}

fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_lowercase() || c == '_')
}
