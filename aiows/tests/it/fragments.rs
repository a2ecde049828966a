//! The server splits large messages into fragments and sends control frames between them.

use std::time::Duration;

use aiows::routing::Route;
use aiows::testing::TestServer;
use aiows::{Hub, Result, Router, Server, WebSocket, connect, fallback, routes};

use crate::raw::{Raw, limits, over_both};

const FRAGMENT: usize = 64 * 1024;
const TEXT: u8 = 0x81;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const CLOSE: u8 = 0x88;

#[connect]
async fn enter(ws: WebSocket) -> Result {
    ws.join("room").await?;
    Ok(())
}

/// Sends the requested number of bytes to the room or only to the client.
#[fallback]
async fn send(ws: WebSocket, hub: Hub, text: aiows::Text) -> Result {
    match text.0.split_once(' ') {
        Some(("all", size)) => {
            hub.room("room").send_text(&payload(size.parse().unwrap())).await?;
        }
        _ => ws.send_text(&payload(text.0.parse().unwrap())).await?,
    }
    Ok(())
}

fn payload(size: usize) -> String {
    (0..size).map(|at| char::from(b'a' + (at / 100 % 26) as u8)).collect()
}

fn server() -> Server {
    Server::from(Router::new().routes(routes![enter, send]))
}

/// Reads one message frame by frame. Returns the first byte and the length of each frame, and the
/// payload.
async fn read_fragments(raw: &mut Raw) -> (Vec<(u8, usize)>, Vec<u8>) {
    let (mut frames, mut payload) = (Vec::new(), Vec::new());
    loop {
        let frame = raw.read_fragment().await.unwrap();
        frames.push((frame.first, frame.payload.len()));
        payload.extend(frame.payload);
        if frame.first & 0x80 != 0 {
            return (frames, payload);
        }
    }
}

#[tokio::test]
async fn a_large_message_has_the_same_fragments_for_a_room_and_a_single_client() {
    over_both(server, async |server| {
        let mut raws = [Raw::join(&server).await, Raw::join(&server).await];
        for (size, expected) in [
            (FRAGMENT, vec![(TEXT, FRAGMENT)]),
            (FRAGMENT + 1, vec![(0x01, 1), (0x80, FRAGMENT)]),
            (2 * FRAGMENT, vec![(0x01, FRAGMENT), (0x80, FRAGMENT)]),
            (200_000, vec![(0x01, 3392), (0x00, FRAGMENT), (0x00, FRAGMENT), (0x80, FRAGMENT)]),
        ] {
            raws[0].send_text(&format!("all {size}")).await;
            for raw in &mut raws {
                let (frames, bytes) = read_fragments(raw).await;
                assert_eq!(frames, expected);
                assert!(bytes == payload(size).as_bytes(), "{size}");
            }
            raws[0].send_text(&size.to_string()).await;
            let (frames, bytes) = read_fragments(&mut raws[0]).await;
            assert_eq!(frames, expected);
            assert!(bytes == payload(size).as_bytes(), "{size}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_pong_passes_a_large_message_that_is_being_written() {
    const SIZE: usize = 16 << 20;
    let roomy = || server().limits(limits(|limits| limits.outbound_size = SIZE));
    over_both(roomy, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(&SIZE.to_string()).await;
        raw.await_frame().await;
        raw.send(PING, b"still there?").await;
        let (mut before, mut bytes) = (0, Vec::new());
        loop {
            let frame = raw.read_fragment().await.unwrap();
            if frame.first == PONG {
                break;
            }
            assert_eq!(frame.first & 0x80, 0, "the whole message came first");
            before += frame.payload.len();
            bytes.extend(frame.payload);
        }
        assert!(before < SIZE, "{before}");
        let (_, rest) = read_fragments(&mut raw).await;
        bytes.extend(rest);
        assert!(bytes == payload(SIZE).as_bytes());
        raw.send_text("5").await;
        raw.expect_text("aaaaa").await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_stops_reading_a_large_message_gets_the_close_frame_after_a_whole_fragment() {
    let hasty = limits(|limits| limits.write_timeout = Duration::from_secs(1));
    let server = TestServer::new(server().limits(hasty));
    let mut raw = Raw::join(&server).await;
    raw.send_text(&(1 << 20).to_string()).await;
    raw.await_frame().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let mut fragments = 0;
    let close = loop {
        let frame = raw.read_fragment().await.unwrap();
        if frame.first == CLOSE {
            break frame;
        }
        fragments += 1;
    };
    assert!(fragments < 10, "{fragments} of 16 fragments");
    assert_eq!(close.payload[..2], 1008_u16.to_be_bytes());
    raw.send_close(1008, "").await;
    raw.expect_end().await;
}

#[tokio::test]
async fn a_close_frame_follows_a_large_message_that_is_whole() {
    let close = Route::message("close", async |call: aiows::extract::Call| {
        let ws = call.websocket();
        ws.send_text(&payload(1 << 20)).await.unwrap();
        ws.close(4000, "enough");
    });
    let server = || Server::from(Router::new().route(close.clone()));
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"close"}"#).await;
        raw.send(PING, b"now").await;
        let mut bytes = Vec::new();
        loop {
            let frame = raw.read_fragment().await.unwrap();
            match frame.first {
                PONG => continue,
                CLOSE => break,
                _ => bytes.extend(frame.payload),
            }
        }
        assert!(bytes == payload(1 << 20).as_bytes(), "{}", bytes.len());
    })
    .await;
}

#[tokio::test]
async fn a_handle_without_a_connection_receives_large_messages_whole() {
    let (ws, mut sent) = aiows::testing::socket();
    ws.send_text(&payload(200_000)).await.unwrap();
    ws.send_binary(payload(70_000).as_bytes()).await.unwrap();
    assert_eq!(sent.texts(), [payload(200_000)]);
    assert_eq!(sent.binaries(), [payload(70_000).into_bytes()]);
}
