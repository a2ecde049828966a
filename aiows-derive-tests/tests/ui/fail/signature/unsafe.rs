use aiows::{message, routes};

#[message("chat")]
async unsafe fn say() {}

fn main() {
    let _ = routes![say];
}
