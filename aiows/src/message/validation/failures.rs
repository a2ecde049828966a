//! The failed fields of a message, collected up to the number that one error lists.

use std::borrow::Cow;
use std::collections::BTreeMap;

use validator::{ValidationError, ValidationErrors, ValidationErrorsKind};

use super::Names;
use super::path::{self, Segment};
use crate::error::{FieldError, HandlerError, MAX_FIELDS};

/// The name that validator gives to a list that is not a field: the value is an item of another
/// list.
const NO_FIELD: &str = "_tmp_validator";
/// The name that validator gives to the whole struct.
const WHOLE: &str = "__all__";

/// The failed fields of a message: the first ones, and the number of the others.
#[derive(Default)]
pub(super) struct Failures {
    /// Each with its path, which becomes a text only in `into_error`.
    fields: Vec<(Vec<Segment>, FieldError)>,
    /// How many fields failed in addition to `fields`.
    more: usize,
    /// Set by `end_with`: the search stops although more fields may have failed.
    is_full: bool,
}

impl Failures {
    /// Returns whether more fields failed than an error lists, or the search ended early.
    pub(super) fn is_full(&self) -> bool {
        self.is_full || self.more > 0
    }

    /// Adds one failed field and ends the search.
    pub(super) fn end_with(&mut self, path: &[Segment], error: &ValidationError) {
        self.add_field(path, field_error(error, ShownParams::WithoutOther));
        self.is_full = true;
    }

    fn add_field(&mut self, path: &[Segment], error: FieldError) {
        match self.fields.len() < MAX_FIELDS {
            true => self.fields.push((path.to_vec(), error)),
            false => self.more += 1,
        }
    }

    /// Adds the errors that validator returned for the value at `path`.
    pub(super) fn add(
        &mut self,
        errors: &ValidationErrors,
        names: Option<Names>,
        path: &mut Vec<Segment>,
    ) {
        if self.fields.len() >= MAX_FIELDS {
            self.more += count(errors);
            return;
        }
        // validator returns them in no particular order.
        let mut entries: Vec<_> = errors
            .errors()
            .iter()
            .map(|(name, kind)| {
                let wire = names.and_then(|names| (names.wire)(name)).map(Cow::Borrowed);
                (wire.unwrap_or_else(|| name.clone()), &**name, kind)
            })
            .collect();
        entries.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        for (wire, name, kind) in entries {
            match name {
                NO_FIELD => self.add_kind(kind, ShownParams::WithoutOther, names, path),
                WHOLE => self.add_kind(kind, ShownParams::All, None, path),
                name => {
                    let nested = names.and_then(|names| (names.nested)(name));
                    path.push(Segment::Field(wire));
                    self.add_kind(kind, ShownParams::of(names, name), nested, path);
                    path.pop();
                }
            }
        }
    }

    fn add_kind(
        &mut self,
        kind: &ValidationErrorsKind,
        shown: ShownParams,
        nested: Option<Names>,
        path: &mut Vec<Segment>,
    ) {
        match kind {
            ValidationErrorsKind::Field(errors) => {
                errors.iter().for_each(|error| self.add_field(path, field_error(error, shown)));
            }
            ValidationErrorsKind::Struct(errors) => self.add(errors, nested, path),
            ValidationErrorsKind::List(items) => {
                let have_positions = nested.is_none_or(Names::have_positions);
                let inner = nested.map(Names::of_items);
                for (&index, errors) in items {
                    path.push(match have_positions {
                        true => Segment::Index(index),
                        false => Segment::Entry(index),
                    });
                    self.add(errors, inner, path);
                    path.pop();
                }
            }
        }
    }

    /// Makes the error. `key` returns the key of a map entry, for the path to the value and the
    /// length of the path to the map.
    pub(super) fn into_error(
        self,
        key: impl Fn(&[Segment], usize) -> Option<String>,
    ) -> HandlerError {
        let named = self.fields.into_iter().map(|(path, mut field)| {
            field.path = path::text(&path, |depth| key(&path, depth));
            field.cut()
        });
        let mut fields: Vec<_> = named.collect();
        fields.sort_by(|a, b| (&a.path, &a.code).cmp(&(&b.path, &b.code)));
        HandlerError::invalid(fields).with_more_fields(self.more)
    }
}

/// Which parameters of a validator error are sent. `value` is the rejected value; `other` is the
/// value that `must_match` compared it with.
#[derive(Clone, Copy)]
enum ShownParams {
    /// All parameters: validator adds none to the error of a whole struct.
    All,
    /// All but `value`, and but `other` if the error has this code, which is that of `must_match`.
    Without(Option<&'static str>),
    /// All but `value` and `other`.
    WithoutOther,
}

impl ShownParams {
    fn of(names: Option<Names>, field: &str) -> Self {
        match names.and_then(|names| names.matched) {
            Some(matched) => Self::Without(matched(field)),
            None => Self::WithoutOther,
        }
    }

    fn has(self, param: &str, code: &str) -> bool {
        match (self, param) {
            (Self::All, _) => true,
            (Self::WithoutOther, param) => !matches!(param, "value" | "other"),
            (Self::Without(_), "value") => false,
            (Self::Without(matched), "other") => matched != Some(code),
            (Self::Without(_), _) => true,
        }
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

fn field_error(error: &ValidationError, shown: ShownParams) -> FieldError {
    let text = error.message.clone().unwrap_or_else(|| Cow::Borrowed(text(&error.code)));
    let params: BTreeMap<_, _> = error
        .params
        .iter()
        .filter(|(name, _)| shown.has(name, &error.code))
        .map(|(name, value)| (name.clone().into_owned(), value.clone()))
        .collect();
    FieldError { path: String::new(), code: error.code.clone(), message: text, params }
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
