use aiows::message;

struct Chat;

#[message("chat")]
impl Chat {}

fn main() {}
