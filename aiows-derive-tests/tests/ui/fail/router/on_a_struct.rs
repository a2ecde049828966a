use aiows::router;

#[router]
struct Chat;

fn main() {}
