use aiows::Message;

#[derive(Message)]
struct Chat {
    r#type: String,
}

fn main() {}
