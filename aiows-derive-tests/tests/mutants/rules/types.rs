//! Mistakes in the return type of the handler and in the messages it uses.

use super::{super::source::Source, Edit, Rule, replace};

pub(super) const RULES: &[Rule] = &[
    ("return: `bool`", |s| returns(s, "-> bool", "true")),
    ("return: a string", |s| returns(s, "-> String", "String::new()")),
    ("return: a reference", |s| returns(s, "-> &'static str", "\"hello\"")),
    ("return: a pair", |s| returns(s, "-> (u8, u8)", "(1, 2)")),
    ("return: an iterator", |s| returns(s, "-> impl Iterator<Item = u8>", "[1].into_iter()")),
    ("return: a `Result` of `bool`", |s| returns(s, "-> aiows::Result<bool>", "Ok(true)")),
    ("return: an `Option` of `bool`", |s| returns(s, "-> Option<bool>", "Some(true)")),
    ("return: a `Result` with a wrong error", |s| returns(s, "-> Result<(), u8>", "Ok(())")),
    ("return: misspell it", |s| returns(s, "-> Rseult", "Ok(())")),
    ("return: a reference without a lifetime", |s| returns(s, "-> &str", "\"hello\"")),
    ("return: an arrow and no type", |s| returns(s, "->", "")),
    ("return: a type and no arrow", |s| returns(s, "String", "String::new()")),
    ("return: a body that is not of the type", |s| returns(s, "-> aiows::Result", "1")),
    ("derive: drop `Message`", |s| derived(s, "Message", "Debug")),
    ("derive: drop `Serialize`", |s| derived(s, "Serialize", "Debug")),
    ("derive: drop `Deserialize`", |s| derived(s, "Deserialize", "Debug")),
    ("derive: drop `Validate`", |s| derived(s, "Validate", "Debug")),
    ("derive: drop `Default`", |s| derived(s, "Default", "Debug")),
    ("derive: drop `Clone`", |s| derived(s, "Clone", "Debug")),
    ("struct: type parameter", |s| {
        payload(s, |name| format!("{name}<T = u8> {{\n    pub value: T,"))
    }),
    ("struct: lifetime", |s| payload(s, |name| format!("{name}<'a> {{\n    pub value: &'a str,"))),
    ("struct: drop the name", |s| declared(s, |_| String::new())),
    ("struct: unknown option", |s| above(s, "#[aiows(name = \"x\")]")),
    ("struct: empty type", |s| above(s, "#[aiows(type = \"\")]")),
    ("struct: a number as the type", |s| above(s, "#[aiows(type = 1)]")),
    ("struct: misspell the helper", |s| above(s, "#[aiwos(type = \"x\")]")),
    ("struct: options as a value", |s| above(s, "#[aiows = \"x\"]")),
    ("field: called `type`", |s| first_field(s, "r#type: u8,")),
    ("field: called `id`", |s| first_field(s, "id: u8,")),
    ("field: of an unknown type", |s| first_field(s, "more: Unknown,")),
    ("field: without a type", |s| first_field(s, "more,")),
    ("field: an unknown validation rule", |s| {
        first_field(s, "#[validate(lenght(min = 1))]\n    a: u8,")
    }),
];

/// Changes the return type together with the body, because a body of another type would be a second
/// mistake.
fn returns(source: &Source, ty: &str, value: &str) -> Vec<Edit> {
    replace(source.returns().start..source.handler().end, format!(" {ty} {{\n    {value}\n}}"))
}

/// Returns the structs that derive `Message`.
fn messages(source: &Source) -> impl Iterator<Item = usize> + '_ {
    let derives = source.text.match_indices("#[derive(Message");
    derives.map(|(at, _)| at).filter(|at| source.text[source.item(*at)].contains("struct"))
}

/// Replaces the first derive of this name.
fn derived(source: &Source, from: &str, to: &str) -> Vec<Edit> {
    let mut derives = source.text.match_indices("#[derive(").map(|(at, _)| at);
    derives
        .find_map(|at| {
            let line = &source.text[at..source.item(at).end];
            let start = at + line[..line.find(']')?].find(from)?;
            Some(replace(start..start + from.len(), to))
        })
        .unwrap_or_default()
}

fn declared(source: &Source, name: impl Fn(&str) -> String) -> Vec<Edit> {
    messages(source)
        .map(|at| {
            let start = at + source.text[at..].find("struct ").unwrap() + "struct ".len();
            let end = start + source.text[start..].find([' ', ';']).unwrap();
            Edit { text: name(&source.text[start..end]), at: start..end }
        })
        .collect()
}

fn above(source: &Source, attribute: &str) -> Vec<Edit> {
    messages(source)
        .filter(|at| !source.text[source.item(*at)].contains("#[aiows"))
        .map(|at| at + source.text[at..].find("pub struct").unwrap())
        .map(|at| Edit { at: at..at, text: format!("{attribute}\n") })
        .collect()
}

fn payload(source: &Source, head: impl Fn(&str) -> String) -> Vec<Edit> {
    let Some(name) = source.payload() else { return Vec::new() };
    let declaration = format!("{name} {{");
    let start = source.text.find(&format!("struct {declaration}")).unwrap() + "struct ".len();
    replace(start..start + declaration.len(), head(name))
}

fn first_field(source: &Source, field: &str) -> Vec<Edit> {
    payload(source, |name| format!("{name} {{\n    {field}"))
}
