use aiows::{message, routes};
use std::rc::Rc;

#[message("chat")]
async fn say() {
    let count = Rc::new(1);
    std::future::ready(()).await;
    drop(count);
}

fn main() {
    let _ = routes![say];
}
