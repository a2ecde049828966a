use aiows::{fallback, routes};

#[fallback]
async fn say() {}

#[fallback]
async fn talk() {}

fn main() {
    let _ = routes![say, talk];
}
