use std::borrow::Cow;

use validator::{ValidationError, ValidationErrors, ValidationErrorsKind};

use super::Names;
use crate::error::{FieldError, HandlerError, MAX_FIELDS};

/// What is wrong with a message: the first fields, and how many more there are.
#[derive(Default)]
pub(super) struct Faults {
    fields: Vec<FieldError>,
    more: usize,
    /// No more is looked for.
    are_enough: bool,
}

impl Faults {
    /// Whether there is more wrong than is told.
    pub(super) fn are_enough(&self) -> bool {
        self.are_enough || self.more > 0
    }

    /// Adds one fault, after which no other is looked for.
    pub(super) fn end_with(&mut self, path: &str, error: &ValidationError) {
        self.add_field(path, error);
        self.are_enough = true;
    }

    fn add_field(&mut self, path: &str, error: &ValidationError) {
        match self.fields.len() < MAX_FIELDS {
            true => self.fields.push(field_error(path, error)),
            false => self.more += 1,
        }
    }

    /// Adds what validator found in the value at `parent`.
    pub(super) fn add(&mut self, errors: &ValidationErrors, names: Option<Names>, parent: &str) {
        if self.fields.len() >= MAX_FIELDS {
            self.more += count(errors);
            return;
        }
        // validator has them in no order.
        let mut entries: Vec<_> = errors
            .errors()
            .iter()
            .map(|(name, kind)| {
                (names.and_then(|names| (names.wire)(name)).unwrap_or(name), name, kind)
            })
            .collect();
        entries.sort_by_key(|(wire, name, _)| (*wire, *name));
        for (wire, name, kind) in entries {
            let nested = names.and_then(|names| (names.nested)(name));
            // A rule of the whole struct stands under this name.
            let wire = if name == "__all__" { "" } else { wire };
            self.add_kind(kind, nested, &join(parent, wire));
        }
    }

    fn add_kind(&mut self, kind: &ValidationErrorsKind, nested: Option<Names>, path: &str) {
        match kind {
            ValidationErrorsKind::Field(errors) => {
                errors.iter().for_each(|error| self.add_field(path, error));
            }
            ValidationErrorsKind::Struct(errors) => self.add(errors, nested, path),
            ValidationErrorsKind::List(items) => {
                let in_map = nested.is_some_and(|names| names.in_map);
                for (index, errors) in items {
                    if in_map || self.fields.len() >= MAX_FIELDS {
                        self.add(errors, nested, path);
                    } else {
                        self.add(errors, nested, &format!("{path}[{index}]"));
                    }
                }
            }
        }
    }
}

impl From<Faults> for HandlerError {
    fn from(faults: Faults) -> Self {
        let Faults { mut fields, more, .. } = faults;
        fields.sort_by(|a, b| (&a.path, &a.code).cmp(&(&b.path, &b.code)));
        Self::invalid(fields).with_more_fields(more)
    }
}

/// Puts a field's name behind the path of the value it is in.
pub(super) fn join(parent: &str, wire: &str) -> String {
    match (parent, wire) {
        // A flattened field has no name of its own.
        (parent, "") => parent.to_owned(),
        ("", wire) => wire.to_owned(),
        (parent, wire) => format!("{parent}.{wire}"),
    }
}

fn count(errors: &ValidationErrors) -> usize {
    let kinds = errors.errors().values();
    kinds
        .map(|kind| match kind {
            ValidationErrorsKind::Field(errors) => errors.len(),
            ValidationErrorsKind::Struct(errors) => count(errors),
            ValidationErrorsKind::List(items) => items.values().map(|errors| count(errors)).sum(),
        })
        .sum()
}

fn field_error(path: &str, error: &ValidationError) -> FieldError {
    let text = error.message.clone().unwrap_or_else(|| Cow::Borrowed(text(&error.code)));
    let params = error
        .params
        .iter()
        // `value` is what was rejected; `other` is the field that `must_match` compared it with.
        .filter(|(name, _)| !matches!(name.as_ref(), "value" | "other"))
        .map(|(name, value)| (name.clone().into_owned(), value.clone()))
        .collect();
    FieldError { path: path.to_owned(), code: error.code.clone(), message: text, params }
}

fn text(code: &str) -> &'static str {
    match code {
        "contains" => "lacks a required part",
        "credit_card" => "is not a credit card number",
        "does_not_contain" => "has a forbidden part",
        "email" => "is not an e-mail address",
        "ip" | "ipv4" | "ipv6" => "is not an IP address",
        "length" => "has a length out of bounds",
        "must_match" => "does not match the field it must match",
        "non_control_character" => "has control characters",
        "range" => "is out of bounds",
        "regex" => "does not have the required form",
        "required" => "is required",
        "url" => "is not a URL",
        _ => "is not valid",
    }
}
