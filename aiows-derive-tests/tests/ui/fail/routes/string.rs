use aiows::routes;

fn main() {
    let _ = routes!["chat"];
}
