use aiows::WireNames;

#[derive(WireNames)]
enum Chat {
    Say,
}

fn main() {}
