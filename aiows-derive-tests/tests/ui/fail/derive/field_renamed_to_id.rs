use aiows::Message;
use serde::Deserialize;

#[derive(Message, Deserialize)]
struct Chat {
    #[serde(rename = "id")]
    _user: u32,
}

fn main() {}
