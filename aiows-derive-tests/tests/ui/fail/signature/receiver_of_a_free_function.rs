use aiows::message;

#[message("chat")]
async fn say(&self) {}

fn main() {}
