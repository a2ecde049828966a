//! While a handler is pending, the server reads as many messages and bytes from its client as
//! `Limits` documents.

use std::time::Duration;

use aiows::{Limits, Message, Router, Server, WebSocket, message, routes};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};

use aiows::testing::TestServer;

use crate::raw::{Raw, limits, masked};

const TEXT: u8 = 0x81;

const KIB: usize = 1024;

/// The bytes that the server reads but does not decode.
const READ_AHEAD: usize = 64 * KIB;

/// The bytes that the stream of the test kit holds.
const STREAM: usize = 64 * KIB;

/// The bytes that the decoder receives at once.
const DECODER: usize = KIB;

#[message("hold")]
async fn hold() {
    std::future::pending::<()>().await;
}

#[derive(Message, Deserialize, Serialize)]
struct Confirm {}

#[derive(Message, Deserialize, Serialize)]
struct Confirmed {}

#[message("confirm")]
async fn confirm(ws: WebSocket) {
    let _ = ws.request::<Confirmed>(&Confirm {}, Duration::from_secs(3600)).await;
    std::future::pending::<()>().await;
}

fn server(change: impl FnOnce(&mut Limits)) -> Server {
    Server::from(Router::new().routes(routes![hold, confirm])).limits(limits(change))
}

/// Returns a masked text frame of exactly this many bytes.
fn frame(size: usize) -> Vec<u8> {
    let header = match size {
        ..132 => 6,
        132..65_544 => 8,
        _ => 14,
    };
    let text = format!(r#"{{"type":"hold","x":"{}"}}"#, "x".repeat(size - header - 22));
    let frame = masked(TEXT, text.as_bytes());
    assert_eq!(frame.len(), size);
    frame
}

/// Sends frames of one size until the server reads no more, and returns the number of bytes taken.
async fn bytes_taken(server: Server, first: &str, size: usize) -> usize {
    let server = TestServer::new(server);
    let mut raw = Raw::join(&server).await;
    raw.send_text(first).await;
    // The handler is pending before more is sent.
    sleep(Duration::from_millis(1)).await;
    let bytes = frame(size).repeat(4 * KIB * KIB / size);
    let mut taken = 0;
    while let Ok(more) = timeout(Duration::from_millis(10), raw.write_some(&bytes[taken..])).await {
        taken += more;
    }
    taken
}

const HOLD: &str = r#"{"type":"hold"}"#;

#[tokio::test(start_paused = true)]
async fn the_server_queues_as_many_messages_as_documented_and_reads_64_kib_more() {
    for size in [40, 131, 140, 1000, 5000] {
        let taken = bytes_taken(server(|_| {}), HOLD, size).await;
        let most = 32 * size + READ_AHEAD + STREAM;
        // The decoder may hold a part of the next message.
        assert!((most..=most + DECODER + size).contains(&taken), "{size}: {taken} and not {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_queues_as_many_messages_as_configured() {
    for messages in [1, 2, 100] {
        let limited = server(|limits| limits.inbound_messages = messages);
        let taken = bytes_taken(limited, HOLD, 1000).await;
        let most = messages * 1000 + READ_AHEAD + STREAM;
        assert!((most..=most + DECODER + 1000).contains(&taken), "{messages}: {taken}, not {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_server_queues_as_many_bytes_as_documented_and_the_last_message_may_exceed_them() {
    for size in [20_000, 50_000, 200_000, 1_000_000] {
        let taken = bytes_taken(server(|_| {}), HOLD, size).await;
        let most = 256 * KIB + READ_AHEAD + STREAM;
        assert!((most..=most + DECODER + size).contains(&taken), "{size}: {taken} and not {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_bytes_count_while_a_handler_waits_for_an_answer() {
    let confirm = r#"{"type":"confirm"}"#;
    // If more bytes arrive, the request fails and the usual limits apply again.
    for (size, head) in [(40, 6), (100, 6), (1000, 8), (20_000, 8)] {
        let taken = bytes_taken(server(|_| {}), confirm, size).await;
        let waiting = (256 * KIB).div_ceil(size - head) * size;
        let most = waiting + READ_AHEAD + STREAM;
        assert!((most..=most + DECODER + size).contains(&taken), "{size}: {taken} and not {most}");
    }
}
