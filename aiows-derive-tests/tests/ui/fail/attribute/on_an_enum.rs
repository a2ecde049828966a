use aiows::message;

#[message("chat")]
enum Chat {}

fn main() {}
