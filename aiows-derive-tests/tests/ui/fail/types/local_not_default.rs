use aiows::{Local, message, routes};

struct Log(u8);

#[message("chat")]
async fn say(mut log: Local<Log>) {
    log.0 += 1;
}

fn main() {
    let _ = routes![say];
}
