use aiows::{message, routes};

#[message("chat")]
async extern "C" fn say() {}

fn main() {
    let _ = routes![say];
}
