//! HTTP beside sockets: what is posted to `/push` reaches every client.
//!
//! `cargo run --example http_push`, connect clients to `ws://127.0.0.1:8000/ws`, then
//! `curl -H 'Content-Type: application/json' -d '{"text": "hi"}' http://127.0.0.1:8000/push`.
//! Whoever reaches the port may push: a real service asks for more.

use aiows::{Message, Result, Router, Server, ServerHandle, Stats, connect, routes};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Notice {
    text: String,
}

#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Pushed {
    reached: usize,
}

#[connect]
async fn greet() -> Notice {
    Notice { text: "you are on the list".into() }
}

async fn push(
    State(server): State<ServerHandle>,
    Json(notice): Json<Notice>,
) -> Result<Json<Pushed>, StatusCode> {
    // A client that does not read misses the notice; nobody else waits for it.
    let delivery = server.hub().all().send(&notice).await;
    let delivery = delivery.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(Json(Pushed { reached: delivery.accepted }))
}

async fn stats(State(server): State<ServerHandle>) -> Json<Stats> {
    Json(server.stats())
}

fn server() -> Server {
    let server = Server::new().route("/ws", Router::new().routes(routes![greet]));
    let http = axum::Router::new()
        .route("/push", post(push))
        .route("/stats", get(stats))
        .with_state(server.handle());
    server.http(http)
}

#[tokio::main]
async fn main() -> Result<()> {
    server().run("127.0.0.1:8000").await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aiows::testing::{TestClient, TestServer};
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;

    /// Sends a request over a connection of its own: status and body of the answer.
    async fn ask(server: &TestServer, start: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let request = format!(
            "{start} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = timeout(Duration::from_secs(5), stream.read_to_string(&mut answer)).await;
        read.expect("an answer").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    async fn join_list(server: &TestServer) -> TestClient {
        let mut client = server.connect_to("/ws").await;
        client.recv::<Notice>().await;
        client
    }

    #[tokio::test]
    async fn what_is_posted_reaches_every_client() {
        let server = TestServer::bind(server()).await;
        let mut clients = [join_list(&server).await, join_list(&server).await];
        let answer = ask(&server, "POST /push", r#"{"text":"hi"}"#).await;
        assert_eq!(answer, (200, r#"{"reached":2}"#.to_owned()));
        for client in &mut clients {
            assert_eq!(client.recv::<Notice>().await, Notice { text: "hi".into() });
        }
    }

    #[tokio::test]
    async fn who_has_left_is_not_reached() {
        let server = TestServer::bind(server()).await;
        let mut stays = join_list(&server).await;
        join_list(&server).await.close(1000, "bye").await;
        // The client sees the end of the connection before the server is done with it.
        while server.handle().stats().active > 1 {
            tokio::task::yield_now().await;
        }
        let answer = ask(&server, "POST /push", r#"{"text":"hi"}"#).await;
        assert_eq!(answer, (200, r#"{"reached":1}"#.to_owned()));
        assert_eq!(stays.recv::<Notice>().await, Notice { text: "hi".into() });
    }

    #[tokio::test]
    async fn what_is_no_notice_is_refused_and_reaches_nobody() {
        let server = TestServer::bind(server()).await;
        let mut client = join_list(&server).await;
        assert_eq!(ask(&server, "POST /push", r#"{"txt":"hi"}"#).await.0, 422);
        assert_eq!(ask(&server, "POST /push", "hi").await.0, 400);
        client.expect_silence(Duration::from_millis(50)).await;
    }

    #[tokio::test]
    async fn a_page_can_ask_the_server_for_its_counts() {
        let server = TestServer::bind(server()).await;
        let _client = join_list(&server).await;
        let (status, body) = ask(&server, "GET /stats", "").await;
        assert_eq!(status, 200);
        let stats: Value = serde_json::from_str(&body).unwrap();
        let counts =
            [&stats["active"], &stats["total"], &stats["rejected"], &stats["outbound"]["dropped"]];
        assert_eq!(counts, [1, 1, 0, 0]);
    }
}
