use std::any::{TypeId, type_name};

use crate::error::HandlerError;
use crate::message::Message;
use crate::transport::RequestInfo;

/// What a handler's arguments ask for, collected when the server is built.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    items: Vec<Need>,
    checks: Vec<Check>,
}

/// Tells whether an argument can be taken from a request.
pub(crate) type Check = fn(&RequestInfo) -> Result<(), HandlerError>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Need {
    /// Any frame, also one that is not JSON.
    AnyFrame,
    /// Any frame of UTF-8, also one that is not JSON.
    AnyText,
    DisconnectReason,
    Headers,
    Local {
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

    pub(crate) fn payload<T: Message>(&mut self) {
        let declared = T::DECLARED.then_some(T::TYPE);
        self.push(Need::Payload { name: type_name::<T>(), declared });
    }

    pub(crate) fn local<T: 'static>(&mut self) {
        self.push(Need::Local { name: type_name::<T>(), key: TypeId::of::<T>() });
    }

    pub(crate) fn push(&mut self, need: Need) {
        self.items.push(need);
    }

    /// Has a request checked before a connect handler runs.
    pub(crate) fn check(&mut self, check: Check) {
        self.checks.push(check);
    }

    pub(crate) fn checks(&self) -> impl Iterator<Item = Check> {
        self.checks.iter().copied()
    }

    pub(crate) fn append(&mut self, other: &Self) {
        self.items.extend_from_slice(&other.items);
        self.checks.extend_from_slice(&other.checks);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Need> {
        self.items.iter()
    }

    pub(crate) fn has(&self, need: &Need) -> bool {
        self.items.contains(need)
    }
}
