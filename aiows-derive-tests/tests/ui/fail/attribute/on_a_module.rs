use aiows::message;

#[message("chat")]
mod chat {}

fn main() {}
