//! Many clients, or clients that misbehave, do not affect other clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aiows::extract::Call;
use aiows::routing::Route;
use aiows::{CloseCode, DisconnectReason, Message, Router};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::kit::{TestServer, over_both};
use crate::raw::{REQUEST, Raw, echo_server, ends, limits, masked};

/// The longest that a client may wait for its answer, no matter how others behave.
const WORST: Duration = Duration::from_millis(500);

async fn expect_echo_in_time(raw: &mut Raw, text: &str) {
    let started = Instant::now();
    raw.send_text(text).await;
    raw.expect_text(text).await;
    let elapsed = started.elapsed();
    assert!(elapsed < WORST, "{elapsed:?}");
}

/// The module `resources` tests the same over TCP, with the server in its own process.
#[tokio::test(start_paused = true)]
async fn five_hundred_half_open_handshakes_delay_no_other_client() {
    let server = TestServer::new(echo_server());
    let mut halves = Vec::new();
    for number in 0..500 {
        let mut raw = Raw::reach(&server).await;
        raw.write(&REQUEST.as_bytes()[..number % REQUEST.len()]).await;
        halves.push((number, raw));
    }
    let started = Instant::now();
    let mut bystander = Raw::join(&server).await;
    bystander.send_text("in time").await;
    bystander.expect_text("in time").await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    // The half-open handshakes can still be completed.
    for (number, mut raw) in halves {
        raw.write(&REQUEST.as_bytes()[number % REQUEST.len()..]).await;
        assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
        raw.send_text("late").await;
        raw.expect_text("late").await;
    }
}

/// Counts handlers that were dropped or have returned.
struct Freed(Arc<AtomicUsize>);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn fifty_hanging_handlers_delay_no_other_client_and_are_dropped_when_their_clients_leave() {
    const HUNG: usize = 50;
    let freed = Arc::new(AtomicUsize::new(0));
    let (ends, ended) = ends();
    let server = || {
        let freed = Arc::clone(&freed);
        let hang = Route::message("hang", move |call: Call| {
            let guard = Freed(Arc::clone(&freed));
            async move {
                call.websocket().send_text("hanging").await.unwrap();
                std::future::pending::<()>().await;
                drop(guard);
            }
        });
        let hasty = limits(|limits| limits.close_timeout = Duration::from_millis(100));
        ends.server().include_router(Router::new().route(hang)).limits(hasty)
    };
    over_both(server, async |server| {
        freed.store(0, Ordering::SeqCst);
        let mut bystander = Raw::join(&server).await;
        let mut hung = Vec::new();
        for _ in 0..HUNG {
            let mut raw = Raw::join(&server).await;
            raw.send_text(r#"{"type":"hang"}"#).await;
            raw.expect_text("hanging").await;
            hung.push(raw);
        }
        expect_echo_in_time(&mut bystander, "in time").await;
        assert_eq!(freed.load(Ordering::SeqCst), 0);
        for (number, mut raw) in hung.into_iter().enumerate() {
            if number % 2 == 0 {
                raw.send_close(1000, "").await;
                raw.finish().await;
            }
        }
        let mut codes = [0, 0];
        for _ in 0..HUNG {
            match ended.next().await {
                DisconnectReason::Peer { code: Some(CloseCode::NORMAL), .. } => codes[0] += 1,
                DisconnectReason::Peer { code: None, .. } => codes[1] += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(codes, [HUNG / 2, HUNG / 2]);
        assert_eq!(freed.load(Ordering::SeqCst), HUNG);
        assert_eq!(server.handle().stats().active, 1);
        expect_echo_in_time(&mut bystander, "still in time").await;
        drop(bystander);
        ended.next().await;
    })
    .await;
}

async fn panics(_: Call) {
    tokio::task::yield_now().await;
    panic!("the secret is 42");
}

#[tokio::test]
async fn two_hundred_panics_affect_no_other_client_and_leave_their_connections_open() {
    let (ends, ended) = ends();
    let server =
        || ends.server().include_router(Router::new().route(Route::message("panic", panics)));
    over_both(server, async |server| {
        let mut bystander = Raw::join(&server).await;
        for _ in 0..20 {
            let mut raw = Raw::join(&server).await;
            for id in 0..10 {
                raw.send_text(&format!(r#"{{"type":"panic","id":{id}}}"#)).await;
                let error = raw.read_json().await;
                assert_eq!(
                    (&error["code"], &error["correlation_id"]),
                    (&"internal".into(), &id.into())
                );
                assert!(!error.to_string().contains("secret"), "{error}");
            }
            expect_echo_in_time(&mut bystander, "in time").await;
            expect_echo_in_time(&mut raw, "still here").await;
            raw.send_close(1000, "").await;
            raw.read_close(1000).await;
            raw.expect_end().await;
            let left =
                DisconnectReason::Peer { code: Some(CloseCode::NORMAL), reason: String::new() };
            assert_eq!(ended.next().await, left);
        }
        assert_eq!(server.handle().stats().active, 1);
        drop(bystander);
        ended.next().await;
    })
    .await;
}

#[derive(Message, Serialize)]
struct Flood {
    text: String,
}

async fn flood(call: Call) -> aiows::Result {
    loop {
        call.websocket().send(&Flood { text: "x".repeat(10_000) }).await?;
    }
}

#[tokio::test]
async fn a_client_is_answered_in_time_while_others_flood_dribble_or_never_read() {
    let server =
        || echo_server().include_router(Router::new().route(Route::message("flood", flood)));
    over_both(server, async |server| {
        let mut bystander = Raw::join(&server).await;
        let mut not_reading = Raw::join(&server).await;
        not_reading.send_text(r#"{"type":"flood"}"#).await;
        let mut flooding = Raw::join(&server).await;
        let flood = async {
            let frames = masked(0x81, &[b'x'; 1000]).repeat(200);
            loop {
                flooding.write_while_reading(&frames).await;
                for _ in 0..200 {
                    assert_eq!(flooding.read_frame().await.unwrap().payload.len(), 1000);
                }
            }
        };
        let mut dribbling = Raw::join(&server).await;
        let dribble = async {
            for byte in masked(0x81, &[b'x'; 100_000]) {
                dribbling.write(&[byte]).await;
                tokio::task::yield_now().await;
            }
            std::future::pending::<()>().await;
        };
        let bystand = async {
            for _ in 0..40 {
                expect_echo_in_time(&mut bystander, "in time").await;
                sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            () = bystand => {}
            () = dribble => unreachable!("it never ends"),
            _ = flood => unreachable!("it never ends"),
        }
    })
    .await;
}
