//! The rules of the value in a newtype message. On the wire, the fields of the value are the fields
//! of the message.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use validator::Validate;

use super::containers::{Key, Keyed as _};
use super::failures::{Failures, Segment};
use super::{Validated, Walk, WireNames, validated_in_parts};
use crate::error::HandlerError;
use crate::message::{Message, Probe};

// A method call on a `&&&&&Probe` is resolved on `&&&&Probe` first, then on `&&&&&Probe`, then with
// one reference less each time.

macro_rules! via {
    ($($doc:literal $name:ident $probe:ty, [$($bound:tt)*] |$value:ident| $check:expr;)*) => {$(
        #[doc = $doc]
        pub trait $name<T: ?Sized> {
            /// Checks the rules.
            ///
            /// # Errors
            ///
            /// Returns `validation_failed`.
            fn check_inner(&self, value: &T) -> Result<(), HandlerError>;
        }

        impl<T: $($bound)*> $name<T> for $probe {
            fn check_inner(&self, $value: &T) -> Result<(), HandlerError> {
                $check
            }
        }
    )*};
}

via! {
    "Found first, for messages." ViaInnerMessage &&&&Probe<T>, [Message]
        |value| value.validate();
    "Found next, for types with rules and wire names." ViaInnerNamed &&&&&Probe<T>,
        [Validated + WireNames] |value| validated_in_parts(value);
    "Found next, for such types in a box or the like." ViaInnerHeld &&&Probe<T>, [Held]
        |value| value.check_held();
    "Found next, for types with rules." ViaInnerRules &&Probe<T>, [Validated]
        |value| plain(value);
    "Found next, for such types in a box or the like." ViaInnerHeldRules &Probe<T>, [HeldPlain]
        |value| value.check_held();
    "Found last, for all other types." ViaNoInner Probe<T>, [?Sized]
        |_value| Ok(());
}

fn plain<T: Validated>(value: &T) -> Result<(), HandlerError> {
    value.check().map_err(|errors| HandlerError::from_validation(&errors))
}

/// Found first, for fields of types with wire names.
pub trait ViaRuledNames {
    /// Returns whether the type has rules.
    fn is_ruled(&self) -> bool;
}

impl<T: WireNames> ViaRuledNames for &&Probe<T> {
    fn is_ruled(&self) -> bool {
        T::has_rules()
    }
}

/// Found next, for other types with rules, and for maps of them.
pub trait ViaRuled {
    /// Returns `true`: the type has rules.
    fn is_ruled(&self) -> bool;
}

impl<T> ViaRuled for &&&Probe<T>
where
    for<'a> &'a T: Validate,
{
    fn is_ruled(&self) -> bool {
        true
    }
}

/// Found next, for such types in a box or another container of one value.
pub trait ViaRuledHeld {
    /// Returns `true`: the type has rules.
    fn is_ruled(&self) -> bool;
}

impl<T: HeldPlain> ViaRuledHeld for &Probe<T> {
    fn is_ruled(&self) -> bool {
        true
    }
}

/// Found last, for all other types.
pub trait ViaNotRuled {
    /// Returns `false`: the type has no rules.
    fn is_ruled(&self) -> bool;
}

impl<T: ?Sized> ViaNotRuled for Probe<T> {
    fn is_ruled(&self) -> bool {
        false
    }
}

/// A container of one value that has rules and wire names.
trait Held {
    fn check_held(&self) -> Result<(), HandlerError>;
}

/// A container of one value that has rules.
trait HeldPlain {
    fn check_held(&self) -> Result<(), HandlerError>;
}

macro_rules! held {
    ($($container:ty)*) => {$(
        impl<T: Validated + WireNames> Held for $container {
            fn check_held(&self) -> Result<(), HandlerError> {
                validated_in_parts(&**self)
            }
        }

        impl<T: Validated> HeldPlain for $container {
            fn check_held(&self) -> Result<(), HandlerError> {
                plain(&**self)
            }
        }
    )*};
}

held! { Arc<T> Box<T> Rc<T> }

impl<T: Validated + WireNames> Held for Option<T> {
    fn check_held(&self) -> Result<(), HandlerError> {
        self.as_ref().map_or(Ok(()), validated_in_parts)
    }
}

impl<T: Validated> HeldPlain for Option<T> {
    fn check_held(&self) -> Result<(), HandlerError> {
        self.as_ref().map_or(Ok(()), plain)
    }
}

macro_rules! held_maps {
    ($([$($hasher:ident)?] $container:ty,)*) => {$(
        impl<K: Key, T: Validate + WireNames $(, $hasher)?> Held for $container {
            fn check_held(&self) -> Result<(), HandlerError> {
                let key = |path: &[Segment]| match path {
                    [Segment::Entry(index)] => self.nth_key(*index),
                    path => Walk::find_key(self, path),
                };
                if let Some(failures) = Walk::search(self) {
                    return Err(failures.into_error(key));
                }
                Validate::validate(&self)
                    .map_err(|errors| Failures::new(&errors, Some(Self::names())).into_error(key))
            }
        }

        impl<K, T: Validate $(, $hasher)?> HeldPlain for $container {
            fn check_held(&self) -> Result<(), HandlerError> {
                plain(&self)
            }
        }
    )*};
}

held_maps! {
    [S] HashMap<K, T, S>,
    [] BTreeMap<K, T>,
}
