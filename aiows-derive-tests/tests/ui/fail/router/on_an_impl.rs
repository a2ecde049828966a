use aiows::router;

struct Chat;

#[router]
impl Chat {}

fn main() {}
