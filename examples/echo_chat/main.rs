//! An echo server with a page: one port serves the page and its WebSocket connection.
//!
//! Run `cargo run --example echo_chat` and open <http://127.0.0.1:8000>. To listen on another
//! address, append it after `--`. The page has the same origin as the server, so it can connect. The
//! server refuses pages of other origins.

use aiows::{Error, Message, Router, Server, connect, message, routes};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse};
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

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css")], include_str!("../pages/style.css"))
}

fn server() -> Server {
    Server::new()
        .route("/ws", Router::new().routes(routes![greet, echo]))
        .http(axum::Router::new().route("/", get(page)).route("/style.css", get(style)))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    server().run(address).await
}

#[cfg(test)]
mod tests {
    use aiows::testing::TestServer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Returns the head and the body of the response.
    async fn get(server: &TestServer, path: &str) -> (String, String) {
        let mut http = server.stream().await;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        http.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        http.read_to_string(&mut response).await.unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }

    #[tokio::test]
    async fn one_port_serves_the_page_and_its_connection() {
        let server = TestServer::new(server());
        let files = [
            ("/", "text/html", include_str!("page.html")),
            ("/style.css", "text/css", include_str!("../pages/style.css")),
        ];
        for (path, content_type, content) in files {
            let (head, body) = get(&server, path).await;
            assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
            assert!(head.contains(&format!("content-type: {content_type}")), "{head}");
            assert_eq!(body, content);
        }

        let mut client = server.connect_to("/ws").await;
        assert_eq!(client.recv::<Echo>().await, Echo { text: "say something".into() });
        client.send(&Chat { text: "hi".into() }).await;
        assert_eq!(client.recv::<Echo>().await, Echo { text: "hi".into() });
    }

    #[tokio::test]
    async fn a_page_of_another_origin_cannot_connect() {
        let server = TestServer::new(server());
        let refused = server.try_connect("/ws", &[("origin", "https://evil.example")]).await;
        assert_eq!(refused.err().map(|refused| refused.status), Some(403));
    }
}
