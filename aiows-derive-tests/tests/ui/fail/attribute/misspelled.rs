#[aiows::mesage("chat")]
async fn say() {}

fn main() {}
