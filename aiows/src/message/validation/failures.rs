//! Explains the errors of validator: the failed fields of a message, collected up to the number
//! that one error lists.

use std::borrow::Cow;
use std::collections::BTreeMap;

use validator::{ValidationError, ValidationErrors, ValidationErrorsKind};

use super::Names;
use crate::error::{FieldError, FieldPath, HandlerError, MAX_FIELDS, mistake};

/// The name that validator gives to a list that is not a field: the value is an item of another
/// list.
const NO_FIELD: &str = "_tmp_validator";
/// The name that validator gives to the whole struct.
const WHOLE: &str = "__all__";

/// One step from a value to a value inside of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Segment {
    /// A field. The name of a flattened field is empty.
    Field(Cow<'static, str>),
    /// An item of a list.
    Index(usize),
    /// An entry of a map or a set, counted in the order in which validator visits it.
    Entry(usize),
}

/// The failed fields of a message: the first ones, and the number of the others.
#[derive(Default)]
pub(super) struct Failures {
    /// Each with its path, which becomes a text only in `into_error`.
    fields: Vec<(Vec<Segment>, FieldError)>,
    /// How many fields failed in addition to `fields`.
    more: usize,
    /// Set by `end_with`: the search stops although more fields may have failed.
    is_full: bool,
    /// The path from the message to the value whose errors are added.
    pub(super) path: Vec<Segment>,
}

impl Failures {
    pub(super) fn new(errors: &ValidationErrors, names: Option<Names>) -> Self {
        let mut failures = Self::default();
        failures.add(errors, names);
        failures
    }

    /// Returns whether more fields failed than an error lists, or the search ended early.
    pub(super) fn is_full(&self) -> bool {
        self.is_full || self.more > 0
    }

    /// Adds one failed field and ends the search.
    pub(super) fn end_with(&mut self, wire: &'static str, error: &ValidationError) {
        self.path.push(Segment::Field(Cow::Borrowed(wire)));
        self.add_rule(error, |_| true);
        self.path.pop();
        self.is_full = true;
    }

    /// Adds the errors that validator returned for the value at `path`.
    pub(super) fn add(&mut self, errors: &ValidationErrors, names: Option<Names>) {
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
            let depth = self.path.len();
            let nested = match name {
                NO_FIELD => names,
                WHOLE => None,
                name => {
                    self.path.push(Segment::Field(wire));
                    names.and_then(|names| (names.nested)(name))
                }
            };
            match kind {
                ValidationErrorsKind::Field(errors) => self.add_rules(errors, name, names),
                ValidationErrorsKind::Struct(errors) => self.add(errors, nested),
                ValidationErrorsKind::List(items) => self.add_items(items, nested),
            }
            self.path.truncate(depth);
        }
    }

    fn add_items(&mut self, items: &BTreeMap<usize, Box<ValidationErrors>>, names: Option<Names>) {
        let step = match names.is_none_or(Names::have_positions) {
            true => Segment::Index,
            false => Segment::Entry,
        };
        for (&index, errors) in items {
            self.path.push(step(index));
            self.add(errors, names.map(Names::of_items));
            self.path.pop();
        }
    }

    /// Adds the failed rules of a field, or of the whole struct.
    fn add_rules(&mut self, errors: &[ValidationError], field: &str, names: Option<Names>) {
        let matched = names.and_then(|names| names.matched);
        for error in errors {
            // `value` is the rejected value, and `other` the value that `must_match` compared it
            // with. validator adds neither to the error of a whole struct.
            self.add_rule(error, |param| match param {
                "value" | "other" if field == WHOLE => true,
                "value" => false,
                "other" => matched.is_some_and(|code_of| code_of(field) != Some(&*error.code)),
                _ => true,
            });
        }
    }

    fn add_rule(&mut self, error: &ValidationError, is_shown: impl Fn(&str) -> bool) {
        if self.fields.len() == MAX_FIELDS {
            self.more += 1;
            return;
        }
        let text = error.message.clone();
        let text = text.unwrap_or_else(|| mistake::rule_text(&error.code).into());
        let mut field = FieldError::new("", error.code.clone(), text);
        let params = error.params.iter().filter(|(name, _)| is_shown(name));
        field.params = params.map(|(name, value)| (name.to_string(), value.clone())).collect();
        self.fields.push((self.path.clone(), field));
    }

    /// Makes the error. `key` returns the key of a map for the path to one of its entries.
    pub(super) fn into_error(self, key: impl Fn(&[Segment]) -> Option<String>) -> HandlerError {
        let named = self.fields.into_iter().map(|(path, mut field)| {
            field.path = text(&path, &key);
            field
        });
        let mut fields: Vec<_> = named.collect();
        fields.sort_by(|a, b| (&a.path, &a.code).cmp(&(&b.path, &b.code)));
        HandlerError::invalid(fields).with_more_fields(self.more)
    }
}

fn text(path: &[Segment], key: impl Fn(&[Segment]) -> Option<String>) -> String {
    let mut text = FieldPath::default();
    for (depth, segment) in path.iter().enumerate() {
        let name = match segment {
            Segment::Field(name) => name.clone(),
            Segment::Index(index) => {
                text.push_index(*index);
                continue;
            }
            // Without a key the entry has no position either, so its path is that of the map or the
            // set.
            Segment::Entry(_) => key(&path[..=depth]).unwrap_or_default().into(),
        };
        if !name.is_empty() {
            text.push_name(&name);
        }
    }
    text.into_text()
}
