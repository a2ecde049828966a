//! HTTP routes on the port of the WebSocket server. A notice posted to `/push` reaches every
//! client.
//!
//! Run `cargo run --example http_push`, connect clients to `ws://127.0.0.1:8000/ws` and run
//! `curl -H 'Content-Type: application/json' -d '{"text": "hi"}' http://127.0.0.1:8000/push`.
//! The route accepts every request that reaches the port. A real service would authenticate it.

use aiows::server::Stats;
use aiows::{Error, Message, Result, Router, Server, ServerHandle, connect, routes};
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
    // If a client does not read, it misses the notice and does not delay the others.
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
async fn main() -> Result<(), Error> {
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

    /// Sends a request over a new connection and returns the status and the body of the response.
    async fn request(server: &TestServer, start: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let head = format!(
            "{start} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
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
    async fn a_posted_notice_reaches_every_client() {
        let server = TestServer::bind(server()).await;
        let mut clients = [join_list(&server).await, join_list(&server).await];
        let answer = request(&server, "POST /push", r#"{"text":"hi"}"#).await;
        assert_eq!(answer, (200, r#"{"reached":2}"#.to_owned()));
        for client in &mut clients {
            assert_eq!(client.recv::<Notice>().await, Notice { text: "hi".into() });
        }
    }

    #[tokio::test]
    async fn a_client_that_has_left_is_not_counted() {
        let server = TestServer::bind(server()).await;
        let mut stays = join_list(&server).await;
        join_list(&server).await.close(1000, "bye").await;
        // The client's side ends before the server has removed the connection.
        while server.handle().stats().active > 1 {
            tokio::task::yield_now().await;
        }
        let answer = request(&server, "POST /push", r#"{"text":"hi"}"#).await;
        assert_eq!(answer, (200, r#"{"reached":1}"#.to_owned()));
        assert_eq!(stays.recv::<Notice>().await, Notice { text: "hi".into() });
    }

    #[tokio::test]
    async fn an_invalid_notice_is_refused_and_reaches_no_client() {
        let server = TestServer::bind(server()).await;
        let mut client = join_list(&server).await;
        assert_eq!(request(&server, "POST /push", r#"{"txt":"hi"}"#).await.0, 422);
        assert_eq!(request(&server, "POST /push", "hi").await.0, 400);
        client.expect_silence(Duration::from_millis(50)).await;
    }

    #[tokio::test]
    async fn an_http_route_returns_the_counts_of_the_server() {
        let server = TestServer::bind(server()).await;
        let _client = join_list(&server).await;
        let (status, body) = request(&server, "GET /stats", "").await;
        assert_eq!(status, 200);
        let stats: Value = serde_json::from_str(&body).unwrap();
        let counts =
            [&stats["active"], &stats["total"], &stats["rejected"], &stats["outbound"]["dropped"]];
        assert_eq!(counts, [1, 1, 0, 0]);
    }
}
