//! Checks the properties that all texts in `ui/fail` share.
#![expect(clippy::unwrap_used, reason = "helpers of a test")]

mod case;
mod table;

use case::Case;

/// The cases in which the error underlines a whole attribute, each with the reason.
const ATTRIBUTES: [(&str, &str); 6] = [
    ("attribute/missing_type", "the missing type has no place of its own"),
    ("attribute/empty_parentheses", "the missing type has no place of its own"),
    ("attribute/two_attributes", "the second attribute is the mistake"),
    ("derive/options_without_parentheses", "the missing parentheses have no place of their own"),
    ("routes/attribute_on_entry", "the attribute is the mistake"),
    ("set/options_on_a_variant", "the attribute is the mistake"),
];

/// The case in which rustc reports an error before the macro runs. Only the error of the macro
/// explains what to write instead.
const TWO_ERRORS: &str = "router/file_module";

/// The hidden traits that occur in texts, because rustc names the trait that is not implemented.
const HIDDEN_TRAITS: [&str; 4] = ["Handler", "Receive<", "Take<", "Validated"];

/// The modules from which users import items.
const PUBLIC_MODULES: [&str; 8] =
    ["error", "extract", "hub", "messages", "middleware", "routing", "server", "websocket"];

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
fn texts_use_public_names() {
    for case in Case::all() {
        for line in case.text.lines() {
            let paths = line.split("aiows::").skip(1).filter_map(|path| path.split_once("::"));
            let is_private = |module: &str| is_word(module) && !PUBLIC_MODULES.contains(&module);
            for (module, name) in paths.filter(|(module, _)| is_private(module)) {
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
