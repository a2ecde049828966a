use aiows::{State, message, routes};

struct Log;

#[message("chat")]
async fn say(_: State<Log>) {}

fn main() {
    let _ = routes![say];
}
