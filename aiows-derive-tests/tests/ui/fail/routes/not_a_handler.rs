use aiows::routes;

struct Room {}

fn main() {
    let _ = routes![Room];
}
