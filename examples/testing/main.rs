//! Three ways to test handlers: call them, pass them a test socket, or run a server in memory.
//!
//! Run the tests below with `cargo test --example testing`, and the server with
//! `cargo run --example testing`.

use aiows::{Context, Error, Message, Result, Router, Server, WebSocket, connect, message, routes};
use serde::{Deserialize, Serialize};

#[derive(Clone)]
struct Joined(String);

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Join {
    name: String,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Notice {
    text: String,
}

#[connect]
async fn greet(ws: WebSocket) -> Result {
    ws.send(&Notice { text: "who are you?".into() }).await?;
    Ok(())
}

#[message("join")]
async fn join(ws: WebSocket, join: Join) -> Notice {
    let text = format!("welcome, {}", join.name);
    ws.context().insert(Joined(join.name));
    Notice { text }
}

#[message("whoami")]
async fn whoami(joined: Option<Context<Joined>>) -> Notice {
    match joined {
        Some(Context(Joined(name))) => Notice { text: name },
        None => Notice { text: "nobody".into() },
    }
}

fn router() -> Router {
    Router::new().routes(routes![greet, join, whoami])
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    Server::new().include_router(router()).run("127.0.0.1:8000").await
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aiows::testing::{TestServer, socket};

    use super::*;

    fn notice(text: &str) -> Notice {
        Notice { text: text.to_owned() }
    }

    // A handler is an ordinary function that you can call.
    #[tokio::test]
    async fn a_client_that_has_not_joined_has_no_name() {
        assert_eq!(whoami(None).await, notice("nobody"));
    }

    // A socket without a connection collects the messages that the handler sends.
    #[tokio::test]
    async fn a_new_client_receives_a_request_for_its_name() {
        let (ws, mut sent) = socket();
        greet(ws).await.unwrap();
        assert_eq!(sent.take::<Notice>(), Some(notice("who are you?")));
        assert_eq!(sent.closed(), None);
    }

    // A server in memory runs the whole stack except the network.
    #[tokio::test]
    async fn a_client_that_has_joined_has_a_name() {
        let server = TestServer::new(router());
        let mut client = server.connect().await;
        assert_eq!(client.recv::<Notice>().await, notice("who are you?"));
        client.send(&Join { name: "ann".into() }).await;
        assert_eq!(client.recv::<Notice>().await, notice("welcome, ann"));
        client.send_text(r#"{"type":"whoami"}"#).await;
        assert_eq!(client.recv::<Notice>().await, notice("ann"));
    }

    // With paused time, an hour of silence passes at once.
    #[tokio::test(start_paused = true)]
    async fn a_quiet_client_stays_connected() {
        let server = TestServer::new(router());
        let mut client = server.connect().await;
        client.recv::<Notice>().await;
        client.expect_silence(Duration::from_secs(3600)).await;
        client.send_text(r#"{"type":"whoami"}"#).await;
        assert_eq!(client.recv::<Notice>().await, notice("nobody"));
        client.close(1000, "bye").await;
    }

    // `TestServer::bind` runs the same test over a TCP socket.
    #[tokio::test]
    async fn a_shutdown_closes_the_connection_with_1001() {
        let server = TestServer::bind(router()).await;
        let mut client = server.connect().await;
        client.recv::<Notice>().await;
        let stopped = tokio::spawn(server.shutdown(Duration::from_secs(5)));
        assert_eq!(client.expect_closed(1001).await, "Server shutdown");
        stopped.await.unwrap().unwrap();
    }
}
