use aiows::message;

#[message("chat")]
pub use std::fmt;

fn main() {}
