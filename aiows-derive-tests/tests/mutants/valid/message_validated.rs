use aiows::routing::Routes;
use aiows::{Context, Message, message, routes};
use serde::Deserialize;
use validator::Validate;

#[derive(Clone)]
pub struct Session;

#[derive(Message, Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    #[validate(length(min = 1))]
    nick_name: String,
}

#[message("profile")]
async fn update(Context(_session): Context<Session>, profile: Profile) {
    std::future::ready(()).await;
    assert!(profile.nick_name.is_ascii());
}

#[message("other")]
async fn other() {}

pub fn list() -> Routes {
    routes![update, other]
}
