use std::any::{TypeId, type_name};

use http::Extensions;
use serde::de::DeserializeOwned;

use super::params::{fits_query, other_count};
use crate::codec::Misfit;
use crate::error::HandlerError;
use crate::handshake::RequestInfo;
use crate::message::{Incoming, misfit_of};

/// What a handler's arguments ask for, collected when the server is built.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    items: Vec<Need>,
    checks: Vec<Check>,
    keeps: Vec<Keep>,
    payloads: Vec<Payload>,
    /// Types that no query fits, by name.
    unfit: Vec<&'static str>,
    paths: Vec<PathType>,
}

/// A type that is taken of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathType {
    pub(crate) name: &'static str,
    /// Returns the number of parameters it takes, if no path with this many fits it.
    pub(crate) other_count: fn(usize) -> Option<usize>,
}

/// Tells why a message does not get what it reads, if these keys belong to the head.
#[derive(Clone, Copy, Debug)]
struct Payload {
    name: &'static str,
    misfit: fn(&[&str]) -> Option<Misfit>,
    unchecked: fn() -> Vec<&'static str>,
}

/// Copies what an argument takes from the extensions of a request to those that are kept.
pub(crate) type Keep = fn(&Extensions, &mut Extensions);

/// Tells whether an argument can be taken from a request.
pub(crate) type Check = fn(&RequestInfo) -> Result<(), HandlerError>;

/// Where a connection keeps a value, as its extractor is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kept {
    Context,
    Local,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Need {
    /// Any frame, also one that is not JSON.
    AnyFrame,
    /// Any frame of UTF-8, also one that is not JSON.
    AnyText,
    /// Something of the end of a connection; `name` is the argument's type.
    End {
        name: &'static str,
    },
    /// Something of the head, which only a message has; `name` is the argument's type.
    Head {
        name: &'static str,
    },
    Headers,
    /// A value that the connection keeps by its type.
    Kept {
        by: Kept,
        name: &'static str,
        key: TypeId,
    },
    /// A message, as anything but its payload; `name` is the argument's type.
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
    /// Asks for a state of type `T`, of the router or of the server.
    pub fn state<T: 'static>(&mut self) {
        self.push(Need::State { name: type_name::<T>(), key: TypeId::of::<T>() });
    }

    /// Says that the argument exists in message handlers only.
    pub fn message<T>(&mut self) {
        self.push(Need::Message { name: type_name::<T>() });
    }

    /// Says that the argument is taken of the head of a message.
    pub(crate) fn head<T>(&mut self) {
        self.message::<T>();
        self.push(Need::Head { name: type_name::<T>() });
    }

    pub(crate) fn payload<T: Incoming>(&mut self) {
        let declared = T::DECLARED.then_some(T::TYPE);
        self.push(Need::Payload { name: type_name::<T>(), declared });
        let (name, unchecked) = (type_name::<T>(), T::unchecked);
        self.payloads.push(Payload { name, misfit: misfit_of::<T>, unchecked });
    }

    pub(crate) fn path<T: DeserializeOwned>(&mut self) {
        self.push(Need::Path);
        self.paths.push(PathType { name: type_name::<T>(), other_count: other_count::<T> });
    }

    pub(crate) fn query<T: DeserializeOwned>(&mut self) {
        self.push(Need::Query);
        if !fits_query::<T>() {
            self.unfit.push(type_name::<T>());
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

    /// Has a request checked before a connect handler runs.
    pub(crate) fn check(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// Has something of a request's extensions kept.
    pub(crate) fn keep(&mut self, keep: Keep) {
        self.keeps.push(keep);
    }

    pub(crate) fn keeps(&self) -> impl Iterator<Item = Keep> {
        self.keeps.iter().copied()
    }

    pub(crate) fn checks(&self) -> impl Iterator<Item = Check> {
        self.checks.iter().copied()
    }

    /// The messages that cannot be received as they are, by name.
    pub(crate) fn misfits<'a>(
        &'a self,
        head: &'a [&str],
    ) -> impl Iterator<Item = (&'static str, Misfit)> + 'a {
        self.payloads.iter().filter_map(|payload| Some((payload.name, (payload.misfit)(head)?)))
    }

    pub(crate) fn paths(&self) -> &[PathType] {
        &self.paths
    }

    /// The types of `Query` that no query fits, by name.
    pub(crate) fn unfit(&self) -> &[&'static str] {
        &self.unfit
    }

    /// The fields with rules that are not checked, behind the names of their messages.
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
        self.unfit.extend_from_slice(&other.unfit);
        self.paths.extend_from_slice(&other.paths);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Need> {
        self.items.iter()
    }

    pub(crate) fn has(&self, need: &Need) -> bool {
        self.items.contains(need)
    }
}
