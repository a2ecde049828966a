use aiows::message;

#[message("chat")]
async fn say();

fn main() {}
