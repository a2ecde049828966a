use aiows::router;

#[router]
pub fn chat() {}

fn main() {}
