//! The requirements of extractors, which the build checks.

use std::any::{TypeId, type_name};

use http::Extensions;
use serde::de::DeserializeOwned;

use super::params::{fits_query, other_count};
use crate::codec::Mismatch;
use crate::error::HandlerError;
use crate::handshake::RequestInfo;
use crate::message::{Incoming, mismatch_of};

/// The requirements of a handler's arguments, collected when the server is built.
///
/// An extractor adds its own in [`FromCall::needs`](super::FromCall::needs).
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Every requirement that is described by a value.
    items: Vec<Need>,
    /// Checks of the upgrade request that run before the connection is accepted.
    checks: Vec<Check>,
    /// Copies of request extensions that the connection must keep.
    keeps: Vec<Keep>,
    /// Message types that handlers receive.
    payloads: Vec<Payload>,
    /// The names of `Query` types that no query string can fill.
    impossible_queries: Vec<&'static str>,
    /// The types of `Path` extractors.
    paths: Vec<PathType>,
}

/// A type that is read from the parameters of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathType {
    pub(crate) name: &'static str,
    /// Returns the number of parameters that the type takes, if no path with this many parameters
    /// fits it.
    pub(crate) other_count: fn(usize) -> Option<usize>,
}

/// A message type that a handler receives, with functions that find mistakes in it.
#[derive(Clone, Copy, Debug)]
struct Payload {
    name: &'static str,
    /// Returns why the type cannot read its messages if these keys belong to the head.
    mismatch: fn(&[&str]) -> Option<Mismatch>,
    /// Returns the fields with unchecked rules.
    unchecked: fn() -> Vec<&'static str>,
}

/// Copies one type from the extensions of a request to those that the connection keeps.
pub(crate) type Keep = fn(&Extensions, &mut Extensions);

/// Checks whether an argument can be extracted from a request.
pub(crate) type Check = fn(&RequestInfo) -> Result<(), HandlerError>;

/// Where a connection stores a value of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kept {
    Context,
    Local,
}

/// One requirement. `name` is always the type of the argument, for error messages.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Need {
    /// Any frame, including one that is not JSON.
    AnyFrame,
    /// Any frame of UTF-8, including one that is not JSON.
    AnyText,
    /// The end of a connection: only disconnect handlers can take the argument.
    End {
        name: &'static str,
    },
    /// The head of a message: a frame that is not a message has none.
    Head {
        name: &'static str,
    },
    Headers,
    /// A value that the connection stores by its type.
    Kept {
        by: Kept,
        name: &'static str,
        key: TypeId,
    },
    /// A message, in another form than its payload.
    Message {
        name: &'static str,
    },
    Path,
    Payload {
        name: &'static str,
        declared: Option<&'static str>,
    },
    Query,
    State {
        name: &'static str,
        key: TypeId,
    },
}

impl Needs {
    /// Requires a state of type `T`, of the router or of the server.
    pub fn state<T: 'static>(&mut self) {
        self.push(Need::State { name: type_name::<T>(), key: TypeId::of::<T>() });
    }

    /// Requires a message: the argument exists in message handlers only.
    pub fn message<T>(&mut self) {
        self.push(Need::Message { name: type_name::<T>() });
    }

    /// Requires the head of a message.
    pub(crate) fn head<T>(&mut self) {
        self.message::<T>();
        self.push(Need::Head { name: type_name::<T>() });
    }

    pub(crate) fn payload<T: Incoming>(&mut self) {
        let declared = T::DECLARED.then_some(T::TYPE);
        self.push(Need::Payload { name: type_name::<T>(), declared });
        let (name, unchecked) = (type_name::<T>(), T::unchecked);
        self.payloads.push(Payload { name, mismatch: mismatch_of::<T>, unchecked });
    }

    pub(crate) fn path<T: DeserializeOwned>(&mut self) {
        self.push(Need::Path);
        self.paths.push(PathType { name: type_name::<T>(), other_count: other_count::<T> });
    }

    pub(crate) fn query<T: DeserializeOwned>(&mut self) {
        self.push(Need::Query);
        if !fits_query::<T>() {
            self.impossible_queries.push(type_name::<T>());
        }
    }

    pub(crate) fn local<T: 'static>(&mut self) {
        self.kept::<T>(Kept::Local);
    }

    pub(crate) fn context<T: 'static>(&mut self) {
        self.kept::<T>(Kept::Context);
    }

    fn kept<T: 'static>(&mut self, by: Kept) {
        self.push(Need::Kept { by, name: type_name::<T>(), key: TypeId::of::<T>() });
    }

    pub(crate) fn push(&mut self, need: Need) {
        self.items.push(need);
    }

    /// Adds a check of the request that runs before a connect handler.
    pub(crate) fn check(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// Adds a copy of request extensions that the connection keeps.
    pub(crate) fn keep(&mut self, keep: Keep) {
        self.keeps.push(keep);
    }

    pub(crate) fn keeps(&self) -> impl Iterator<Item = Keep> {
        self.keeps.iter().copied()
    }

    pub(crate) fn checks(&self) -> impl Iterator<Item = Check> {
        self.checks.iter().copied()
    }

    /// Returns the names of the message types that cannot read their messages, each with the
    /// reason.
    pub(crate) fn mismatches<'a>(
        &'a self,
        head: &'a [&str],
    ) -> impl Iterator<Item = (&'static str, Mismatch)> + 'a {
        self.payloads.iter().filter_map(|payload| Some((payload.name, (payload.mismatch)(head)?)))
    }

    pub(crate) fn paths(&self) -> &[PathType] {
        &self.paths
    }

    /// Returns the names of the `Query` types that no query string can fill.
    pub(crate) fn impossible_queries(&self) -> &[&'static str] {
        &self.impossible_queries
    }

    /// Returns the fields that have unchecked rules, each with the name of its message.
    pub(crate) fn unchecked(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.payloads.iter().flat_map(|payload| {
            (payload.unchecked)().into_iter().map(|field| (payload.name, field))
        })
    }

    pub(crate) fn append(&mut self, other: &Self) {
        self.items.extend_from_slice(&other.items);
        self.checks.extend_from_slice(&other.checks);
        self.keeps.extend_from_slice(&other.keeps);
        self.payloads.extend_from_slice(&other.payloads);
        self.impossible_queries.extend_from_slice(&other.impossible_queries);
        self.paths.extend_from_slice(&other.paths);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Need> {
        self.items.iter()
    }

    pub(crate) fn has(&self, need: &Need) -> bool {
        self.items.contains(need)
    }
}
