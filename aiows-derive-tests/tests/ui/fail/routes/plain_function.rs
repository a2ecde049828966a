use aiows::routes;

async fn say() {}

fn main() {
    let _ = routes![say];
}
