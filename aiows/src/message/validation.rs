use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use validator::{Validate, ValidationError, ValidationErrors, ValidationErrorsKind};

use crate::error::{FieldError, HandlerError};

/// How the fields of a type are called on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    wire: fn(&str) -> Option<&'static str>,
    nested: fn(&str) -> Option<Self>,
    /// The values stand in a map. validator counts its entries and does not tell their keys, so the
    /// path ends at the map.
    in_map: bool,
}

impl Names {
    /// Combines the names of a type's own fields with the names of what its fields hold.
    #[must_use]
    pub const fn new(
        wire: fn(&str) -> Option<&'static str>,
        nested: fn(&str) -> Option<Self>,
    ) -> Self {
        Self { wire, nested, in_map: false }
    }
}

/// A type whose fields are called on the wire as serde's attributes say.
///
/// `#[derive(Message)]` implements it for messages, `#[derive(WireNames)]` for the types nested in
/// them, so that a failed validation names `homeAddress.zipCode` and not `home_address.zip_code`.
///
/// ```
/// use aiows::WireNames;
/// use serde::Deserialize;
/// use validator::Validate;
///
/// #[derive(WireNames, Deserialize, Validate)]
/// #[serde(rename_all = "camelCase")]
/// struct Address {
///     #[validate(length(min = 4))]
///     zip_code: String,
/// }
/// # let _ = <Address as WireNames>::names();
/// ```
#[diagnostic::on_unimplemented(
    message = "the wire names of `{Self}` are not known",
    note = "annotate `{Self}` with `#[derive(aiows::WireNames)]`"
)]
pub trait WireNames {
    /// Returns the names of the type's fields.
    fn names() -> Names;
}

macro_rules! same_names_as_item {
    ($([$($generics:tt)*] $container:ty,)*) => {
        $(impl<$($generics)*> WireNames for $container {
            fn names() -> Names {
                T::names()
            }
        })*
    };
}

same_names_as_item! {
    [T: WireNames + ?Sized] Arc<T>,
    [T: WireNames + ?Sized] Box<T>,
    [T: WireNames + ?Sized] Rc<T>,
    [T: WireNames] Option<T>,
    [T: WireNames] Vec<T>,
    [T: WireNames] [T],
    [T: WireNames, const N: usize] [T; N],
    [T: WireNames, S] HashSet<T, S>,
    [T: WireNames] BTreeSet<T>,
}

impl<K, T: WireNames, S> WireNames for HashMap<K, T, S> {
    fn names() -> Names {
        Names { in_map: true, ..T::names() }
    }
}

impl<K, T: WireNames> WireNames for BTreeMap<K, T> {
    fn names() -> Names {
        Names { in_map: true, ..T::names() }
    }
}

/// A type whose `#[validate]` rules are checked.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has `#[validate]` but does not implement `Validate`",
    label = "is never validated",
    note = "annotate `{Self}` with `#[derive(validator::Validate)]`"
)]
pub trait Validated {
    /// Checks the rules.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, as validator says it.
    fn check(&self) -> Result<(), ValidationErrors>;
}

#[diagnostic::do_not_recommend]
impl<T: Validate> Validated for T {
    fn check(&self) -> Result<(), ValidationErrors> {
        self.validate()
    }
}

/// Finds out whether the type of a field has wire names, without naming the type.
pub struct Probe<T: ?Sized>(PhantomData<fn() -> Box<T>>);

impl<T: ?Sized> Probe<T> {
    /// Takes the type from the access to a field.
    #[must_use]
    pub fn of<S>(_: fn(&S) -> &T) -> Self {
        Self(PhantomData)
    }
}

impl<T: ?Sized> fmt::Debug for Probe<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe")
    }
}

/// Found first, for types with wire names.
pub trait ViaNames {
    /// Returns the names.
    fn names(&self) -> Option<Names>;
}

impl<T: WireNames + ?Sized> ViaNames for Probe<T> {
    fn names(&self) -> Option<Names> {
        Some(T::names())
    }
}

/// Found one reference further, for all other types.
pub trait ViaNothing {
    /// Returns that there are none.
    fn names(&self) -> Option<Names>;
}

impl<T: ?Sized> ViaNothing for &Probe<T> {
    fn names(&self) -> Option<Names> {
        None
    }
}

/// Validates a message; every failing field is told under its wire name.
///
/// # Errors
///
/// `validation_failed`.
pub fn validated<T: Validated>(value: &T, names: Names) -> Result<(), HandlerError> {
    value.check().map_err(|errors| failed(&errors, Some(names)))
}

impl HandlerError {
    /// Makes the error `validation_failed` of what validator found, for messages that implement
    /// [`Message`](trait@crate::Message) by hand.
    ///
    /// Fields have the names they have in Rust; the derives know those of the wire.
    #[must_use]
    pub fn from_validation(errors: &ValidationErrors) -> Self {
        failed(errors, None)
    }
}

fn failed(errors: &ValidationErrors, names: Option<Names>) -> HandlerError {
    let mut fields = Vec::new();
    collect(errors, names, "", &mut fields);
    fields.sort_by(|a: &FieldError, b| (&a.path, &a.code).cmp(&(&b.path, &b.code)));
    HandlerError::invalid(fields)
}

fn collect(
    errors: &ValidationErrors,
    names: Option<Names>,
    parent: &str,
    fields: &mut Vec<FieldError>,
) {
    for (name, kind) in errors.errors() {
        let wire = names.and_then(|names| (names.wire)(name)).unwrap_or(name);
        // A rule of the whole struct stands under this name.
        let wire = if name == "__all__" { "" } else { wire };
        let path = match (parent, wire) {
            // A flattened field has no name of its own.
            (parent, "") => parent.to_owned(),
            ("", wire) => wire.to_owned(),
            (parent, wire) => format!("{parent}.{wire}"),
        };
        let nested = names.and_then(|names| (names.nested)(name));
        match kind {
            ValidationErrorsKind::Field(errors) => {
                fields.extend(errors.iter().map(|error| field_error(&path, error)));
            }
            ValidationErrorsKind::Struct(errors) => collect(errors, nested, &path, fields),
            ValidationErrorsKind::List(items) => {
                for (index, errors) in items {
                    let in_map = nested.is_some_and(|names| names.in_map);
                    let item = if in_map { path.clone() } else { format!("{path}[{index}]") };
                    collect(errors, nested, &item, fields);
                }
            }
        }
    }
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
