use aiows::message;

#[message("chat")]
struct Chat;

fn main() {}
