use aiows::Message;

#[derive(Message)]
enum Answer<T> {
    Said(T),
}

fn main() {
    let _ = Answer::Said(());
}
