//! A graceful shutdown, which answers accepted requests and closes every connection with 1001.
//!
//! Run `cargo run --example graceful_shutdown`, connect to `ws://127.0.0.1:8000`, and send
//! `{"type": "work", "id": 1, "seconds": 5}`. Press Ctrl-C before the answer. The server still sends
//! the answer and then closes the connection with 1001. If you press Ctrl-C again, the server stops
//! without waiting. The message `{"type": "stop"}` does the same as the first Ctrl-C.

use std::process::ExitCode;
use std::time::Duration;

use aiows::{
    DisconnectReason, Message, Router, Server, ServerHandle, WebSocket, disconnect, message, routes,
};
use serde::{Deserialize, Serialize};

#[derive(Message, Deserialize, Serialize)]
struct Work {
    seconds: u64,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Done {
    others: usize,
}

#[message("work")]
async fn work(server: ServerHandle, work: Work) -> Done {
    tokio::time::sleep(Duration::from_secs(work.seconds)).await;
    Done { others: server.stats().active - 1 }
}

/// The connection of this client closes last, so the answer arrives before the server stops.
#[message("stop")]
async fn stop(server: ServerHandle) -> Done {
    server.shutdown(Duration::from_secs(10)).await;
    Done { others: server.stats().active - 1 }
}

#[disconnect]
async fn leave(ws: WebSocket, reason: DisconnectReason) {
    println!("{} left: {reason}", ws.id());
}

fn server() -> Server {
    let router = Router::new().routes(routes![work, stop, leave]);
    Server::new().include_router(router).shutdown_timeout(Duration::from_secs(20))
}

#[tokio::main]
async fn main() -> ExitCode {
    match server().run("127.0.0.1:8000").await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_forced() => {
            eprintln!("at least one connection was cut off");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use aiows::testing::TestServer;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_sent_before_the_shutdown_is_answered() {
        let server = TestServer::new(server());
        let mut client = server.connect().await;
        client.send(&Work { seconds: 3 }).await;
        // The server receives the request before the shutdown starts.
        client.expect_silence(Duration::from_secs(1)).await;
        let stopped = tokio::spawn(server.shutdown(Duration::from_secs(10)));
        assert_eq!(client.recv::<Done>().await, Done { others: 0 });
        assert_eq!(client.expect_closed(1001).await, "Server shutdown");
        stopped.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_exceeds_the_shutdown_timeout_is_cut_off() {
        let server = TestServer::new(server());
        let mut client = server.connect().await;
        client.send(&Work { seconds: 60 }).await;
        client.expect_silence(Duration::from_secs(1)).await;
        let error = server.shutdown(Duration::from_secs(10)).await.unwrap_err();
        assert!(error.is_forced());
    }

    #[tokio::test]
    async fn a_client_can_stop_the_server_and_is_closed_last() {
        let server = TestServer::bind(server()).await;
        let mut other = server.connect().await;
        let mut client = server.connect().await;
        client.send_text(r#"{"type":"stop"}"#).await;
        assert_eq!(other.expect_closed(1001).await, "Server shutdown");
        assert_eq!(client.recv::<Done>().await, Done { others: 0 });
        assert_eq!(client.expect_closed(1001).await, "Server shutdown");
        server.shutdown(Duration::from_secs(5)).await.unwrap();
    }
}
