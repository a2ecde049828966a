//! Inspects the types of a message's fields: which traits they implement, and which keys they read.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use super::Message;
use crate::codec::{Mismatch, mismatch};

/// Finds out which traits the type of a field implements, without naming the type.
///
/// A method call on a probe resolves to the first trait with bounds that the type meets.
pub struct Probe<T: ?Sized>(PhantomData<fn() -> Box<T>>);

impl<T: ?Sized> Probe<T> {
    /// Takes the type from a function that borrows the field.
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

/// Looks for keys of the head among the keys that a message reads.
#[derive(Debug)]
pub struct ReadKeys<'a> {
    head: &'a [&'a str],
    mismatch: Option<Mismatch>,
}

impl ReadKeys<'_> {
    /// Adds a field of the message.
    pub fn field(&mut self, key: &str) {
        if self.mismatch.is_none() && self.head.contains(&key) {
            self.mismatch = Some(Mismatch::Field(key.to_owned()));
        }
    }
}

/// Found first, for types that can be received.
pub trait ViaReads {
    /// Adds the keys that the type reads.
    fn read(&self, keys: &mut ReadKeys<'_>);
}

impl<T: DeserializeOwned> ViaReads for Probe<T> {
    fn read(&self, keys: &mut ReadKeys<'_>) {
        if keys.mismatch.is_none() {
            keys.mismatch = mismatch::<T>(keys.head);
        }
    }
}

/// Found one reference further, for all other types.
pub trait ViaNoReads {
    /// Adds no keys.
    fn read(&self, keys: &mut ReadKeys<'_>);
}

impl<T: ?Sized> ViaNoReads for &Probe<T> {
    fn read(&self, _: &mut ReadKeys<'_>) {}
}

/// Returns why a message cannot read all of its fields, as far as its type shows it.
pub(crate) fn mismatch_of<T: Message + DeserializeOwned>(head: &[&str]) -> Option<Mismatch> {
    mismatch::<T>(head).or_else(|| {
        let mut keys = ReadKeys { head, mismatch: None };
        T::flattened(&mut keys);
        keys.mismatch
    })
}
