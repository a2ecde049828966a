use aiows::Message;
use serde::Deserialize;

#[derive(Message, Deserialize)]
#[serde(rename_all = "snake_case")]
struct Chat {
    #[serde(rename = "correlation_id")]
    _answer_to: u32,
}

fn main() {}
