#![deny(dead_code)]

use aiows::message;

#[message("chat")]
async fn say() {}

fn main() {}
