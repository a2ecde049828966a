//! A chat with oneself, in a browser: the page and its socket come from one port.
//!
//! `cargo run --example echo_chat`, then open <http://127.0.0.1:8000>. Another address may be given
//! behind `--`. The socket may be opened by this page only, because it comes from the same origin.

use aiows::{Message, Result, Router, Server, connect, message, routes};
use axum::response::Html;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use validator::Validate;

#[derive(Debug, PartialEq, Message, Deserialize, Serialize, Validate)]
struct Chat {
    #[validate(length(min = 1, max = 500))]
    text: String,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Echo {
    text: String,
}

#[connect]
async fn greet() -> Echo {
    Echo { text: "say something".into() }
}

#[message("chat")]
async fn echo(chat: Chat) -> Echo {
    Echo { text: chat.text }
}

async fn page() -> Html<&'static str> {
    Html(include_str!("page.html"))
}

fn server() -> Server {
    Server::new()
        .route("/ws", Router::new().routes(routes![greet, echo]))
        .http(axum::Router::new().route("/", get(page)))
}

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    server().run(address).await
}

#[cfg(test)]
mod tests {
    use aiows::testing::TestServer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn the_page_is_served_beside_its_socket() {
        let server = TestServer::new(server());
        let mut http = server.stream().await;
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        http.write_all(request).await.unwrap();
        let mut answer = String::new();
        http.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with(include_str!("page.html")), "{answer}");

        let mut client = server.connect_to("/ws").await;
        assert_eq!(client.recv::<Echo>().await, Echo { text: "say something".into() });
        client.send(&Chat { text: "hi".into() }).await;
        assert_eq!(client.recv::<Echo>().await, Echo { text: "hi".into() });
    }

    #[tokio::test]
    async fn a_page_of_another_origin_may_not_connect() {
        let server = TestServer::new(server());
        let refused = server.try_connect("/ws", &[("origin", "https://evil.example")]).await;
        assert_eq!(refused.err().map(|refused| refused.status), Some(403));
    }
}
