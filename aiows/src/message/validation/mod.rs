//! The `#[validate]` rules of messages: failed fields are reported under their wire names, and only
//! as many as an error lists.
//!
//! `#[derive(Message)]` expands to calls of [`validated`] and [`validated_in_parts`]. [`WireNames`]
//! has the names of a type's fields, [`Walk`] visits the values of a message, and `failures`
//! collects the failed fields.

mod containers; // containers of the standard library
mod failures; // explains the errors of validator
mod names; // the wire names of a type's fields
mod newtype; // the rules of the value in a newtype message
mod probe; // what the type of a field implements
mod walk; // visits the values of a message

use validator::{Validate, ValidateLength, ValidationErrors};

use self::failures::Failures;
pub use self::names::Names;
pub use self::newtype::{
    ViaInnerHeld, ViaInnerHeldRules, ViaInnerMessage, ViaInnerNamed, ViaInnerRules, ViaNoInner,
    ViaNotRuled, ViaRuled, ViaRuledHeld, ViaRuledNames,
};
pub use self::probe::{
    ViaItems, ViaKeys, ViaList, ViaNames, ViaNoCheck, ViaNoKeys, ViaNoList, ViaNoWalk, ViaNothing,
    ViaUnordered, ViaValidated, ViaWalk,
};
pub use self::walk::{ListSize, Walk, WireNames};
use super::BoundedVec;
use crate::error::HandlerError;

/// A type with `#[validate]` rules, which are checked.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has `#[validate]` but does not implement `Validate`",
    label = "its rules are never checked",
    note = "annotate `{Self}` with `#[derive(validator::Validate)]`"
)]
pub trait Validated {
    /// Checks the rules.
    ///
    /// # Errors
    ///
    /// Returns all failed rules, in validator's form.
    fn check(&self) -> Result<(), ValidationErrors>;
}

#[diagnostic::do_not_recommend]
impl<T: Validate> Validated for T {
    fn check(&self) -> Result<(), ValidationErrors> {
        self.validate()
    }
}

/// Validates a message. The error lists the failed fields under their wire names.
///
/// # Errors
///
/// Returns `validation_failed`.
pub fn validated<T: Validated + WireNames>(value: &T) -> Result<(), HandlerError> {
    field_errors(value, value.check())
}

/// Converts the result of validator: an error lists the failed fields under their wire names.
///
/// # Errors
///
/// Returns `validation_failed`.
#[inline]
pub fn field_errors<T: WireNames>(
    value: &T,
    checked: Result<(), ValidationErrors>,
) -> Result<(), HandlerError> {
    checked.map_err(|errors| {
        Failures::new(&errors, Some(T::names())).into_error(|path| Walk::find_key(value, path))
    })
}

/// Validates a message that has nested values.
///
/// validator collects every failed rule before it returns, at about a kilobyte for each value in a
/// list. So if a message has many values, they are validated a few at a time, until more fields
/// have failed than an error lists. Only a message that passes is then validated as a whole.
///
/// # Errors
///
/// Returns `validation_failed`.
pub fn validated_in_parts<T: Validated + WireNames>(value: &T) -> Result<(), HandlerError> {
    match Walk::search(value) {
        Some(failures) => Err(failures.into_error(|path| Walk::find_key(value, path))),
        None => validated(value),
    }
}

impl HandlerError {
    /// Makes the error `validation_failed` from the errors of validator, for messages that
    /// implement [`Message`](trait@crate::Message) by hand.
    ///
    /// The fields have their names in Rust, because only the derives know the names on the wire.
    /// Like in [`invalid`](Self::invalid), the first 32 fields are listed and the others are
    /// counted.
    #[must_use]
    pub fn from_validation(errors: &ValidationErrors) -> Self {
        Failures::new(errors, None).into_error(|_| None)
    }
}

impl<T: Validate, const N: usize> Validate for BoundedVec<T, N> {
    fn validate(&self) -> Result<(), ValidationErrors> {
        (**self).validate()
    }
}

impl<T, const N: usize> ValidateLength<u64> for BoundedVec<T, N> {
    fn length(&self) -> Option<u64> {
        (**self).length()
    }
}
