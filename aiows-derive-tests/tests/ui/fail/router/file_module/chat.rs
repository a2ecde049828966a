use aiows::message;

#[message("chat")]
pub async fn say() {}
