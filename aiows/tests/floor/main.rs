//! Handlers built without attributes and derives give the same answers on the wire and the same
//! mistakes at the build. These tests also run without the feature `macros`.

#![expect(clippy::unwrap_used, reason = "a test")]

#[cfg(feature = "macros")]
mod attributes;
mod conversation;
mod mistakes;
mod routes;

use aiows::error::FieldError;
use aiows::extract::{Call, Extraction, FromCall, Needs};
use aiows::routing::{IntoOutcome, Outcome};
use aiows::{Context, HandlerError, Message, Result, State};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// The disconnect handlers send their reasons here.
type Log = mpsc::Sender<String>;

#[derive(Debug, Deserialize, Serialize)]
struct Chat {
    text: String,
}

impl Message for Chat {
    const TYPE: &'static str = "chat";
    const DECLARED: bool = true;

    fn validate(&self) -> Result {
        match self.text.len() {
            1..=10 => Ok(()),
            _ => Err(HandlerError::invalid([FieldError::new("text", "length", "is too long")])),
        }
    }
}

#[derive(Serialize)]
struct Seen {
    by: String,
}

impl Message for Seen {
    const TYPE: &'static str = "seen";
}

fn seen(by: impl Into<String>) -> Seen {
    Seen { by: by.into() }
}

/// One of several messages.
enum Answer {
    Chat(Chat),
    Seen(Seen),
}

impl IntoOutcome for Answer {
    fn into_outcome(self, call: &Call) -> Result<Outcome> {
        match self {
            Self::Chat(chat) => chat.into_outcome(call),
            Self::Seen(seen) => seen.into_outcome(call),
        }
    }
}

#[derive(Clone, Default)]
struct Visitor {
    name: String,
}

/// An asynchronous extractor that declares the needs of another extractor.
struct Greeting(String);

impl FromCall for Greeting {
    fn from_call(call: &Call) -> Extraction<Self> {
        let call = call.clone();
        Extraction::pending(async move {
            let State(word) = call.extract::<State<&'static str>>().await?;
            let Context(Visitor { name }) = call.extract().await?;
            Ok(Self(format!("{word} {name}")))
        })
    }

    fn needs(needs: &mut Needs) {
        State::<&'static str>::needs(needs);
    }
}

#[derive(Deserialize)]
struct Ticket {
    ticket: u8,
}
