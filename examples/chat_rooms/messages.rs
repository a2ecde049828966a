//! What the page and the server say to each other.

use aiows::Message;
use serde::{Deserialize, Serialize};
use validator::Validate;

// From the page.

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

// From the server.

/// Somebody in a room. Two members may have one name: a user with two tabs.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Member {
    pub id: String,
    pub name: String,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
pub struct Welcome {
    pub you: Member,
}

/// Who is in a room, told to who joins it; from then on `Joined` and `Left` tell what changes.
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
