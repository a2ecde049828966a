use aiows::{Message, message, routes};
use serde::Deserialize;
use std::marker::PhantomData;

#[derive(Message, Deserialize)]
struct Chat {
    _count: PhantomData<*const u8>,
}

#[message("chat")]
async fn say(_: Chat) {}

fn main() {
    let _ = routes![say];
}
