//! The messages between the page and the server.

use aiows::Message;
use serde::{Deserialize, Serialize};
use validator::Validate;

// Messages from the page.

#[derive(Message, Deserialize, Serialize, Validate)]
pub struct Name {
    #[validate(length(min = 1, max = 30))]
    pub name: String,
}

#[derive(Message, Deserialize, Serialize)]
pub struct Join {
    pub room: String,
}

#[derive(Message, Deserialize, Serialize)]
pub struct Leave {
    pub room: String,
}

#[derive(Message, Deserialize, Serialize, Validate)]
pub struct Say {
    pub room: String,
    #[validate(length(min = 1, max = 500))]
    pub text: String,
}

// Messages from the server.

/// A member of a room. Two members have the same name if a user opens two tabs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Member {
    pub id: String,
    pub name: String,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
pub struct Welcome {
    pub you: Member,
}

/// The members of a room, sent to a client that joins it. `Joined` and `Left` report later changes.
#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
pub struct Members {
    pub room: String,
    pub members: Vec<Member>,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
pub struct Joined {
    pub room: String,
    pub member: Member,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
pub struct Left {
    pub room: String,
    pub member: Member,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
pub struct Said {
    pub room: String,
    pub from: Member,
    pub text: String,
}
