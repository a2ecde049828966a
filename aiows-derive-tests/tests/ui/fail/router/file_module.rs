use aiows::router;

#[router]
#[path = "file_module/chat.rs"]
mod chat;

fn main() {
    let _ = chat::router();
}
