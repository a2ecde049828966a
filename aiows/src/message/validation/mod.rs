//! `#[validate]` rules: what is wrong with a message, under the names of the wire, and no more of it
//! than an answer tells.

mod containers;
mod faults;
mod inner;
mod names;
mod path;
mod probe;
mod walk;

use validator::{Validate, ValidateLength, ValidationErrors};

use self::faults::Faults;
pub use self::inner::{
    ViaInnerHeld, ViaInnerHeldRules, ViaInnerMessage, ViaInnerNamed, ViaInnerRules, ViaNoInner,
    ViaNotRuled, ViaRuled, ViaRuledHeld, ViaRuledNames,
};
pub use self::names::Names;
pub use self::probe::{
    ViaItems, ViaKeys, ViaList, ViaNames, ViaNoCheck, ViaNoKeys, ViaNoList, ViaNoWalk, ViaNothing,
    ViaUnordered, ViaValidated, ViaWalk,
};
pub use self::walk::{ListSize, Walk, WireNames};
use super::BoundedVec;
use crate::error::HandlerError;

/// A type whose `#[validate]` rules are checked.
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
    /// Everything that is wrong, as validator says it.
    fn check(&self) -> Result<(), ValidationErrors>;
}

#[diagnostic::do_not_recommend]
impl<T: Validate> Validated for T {
    fn check(&self) -> Result<(), ValidationErrors> {
        self.validate()
    }
}

/// Validates a message; every failing field is told under its wire name.
///
/// # Errors
///
/// `validation_failed`.
pub fn validated<T: Validated + WireNames>(value: &T) -> Result<(), HandlerError> {
    field_errors(value, value.check())
}

/// Tells what is wrong with a message, if anything is, under the names of the wire.
///
/// # Errors
///
/// `validation_failed`.
#[inline]
pub fn field_errors<T: WireNames>(
    value: &T,
    checked: Result<(), ValidationErrors>,
) -> Result<(), HandlerError> {
    checked.map_err(|errors| {
        failed(&errors, Some(T::names())).into_error(|path, at| Walk::find_key(value, path, at))
    })
}

/// Validates a message with nested values.
///
/// validator collects everything that is wrong, at about a kilobyte for each value in a list, before
/// anybody can look at it. So the values of a message that has many are validated a few at a time, until
/// there is more wrong than an answer tells; only a message that passes is validated as a whole.
///
/// # Errors
///
/// `validation_failed`.
pub fn validated_in_parts<T: Validated + WireNames>(value: &T) -> Result<(), HandlerError> {
    match Walk::search(value) {
        Some(faults) => Err(faults.into_error(|path, at| Walk::find_key(value, path, at))),
        None => validated(value),
    }
}

impl HandlerError {
    /// Makes the error `validation_failed` of what validator found, for messages that implement
    /// [`Message`](trait@crate::Message) by hand.
    ///
    /// Fields have the names they have in Rust; the derives know those of the wire. As in
    /// [`invalid`](Self::invalid), the first 32 are listed and the others counted.
    #[must_use]
    pub fn from_validation(errors: &ValidationErrors) -> Self {
        failed(errors, None).into_error(|_, _| None)
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

fn failed(errors: &ValidationErrors, names: Option<Names>) -> Faults {
    let mut faults = Faults::default();
    faults.add(errors, names, &mut Vec::new());
    faults
}
