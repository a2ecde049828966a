//! Bounds and deadlines, exactly at their value and one beyond.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};

use aiows::{
    Call, CloseCode, DisconnectReason, Limits, Message, Route, Router, SendError, Server, WebSocket,
};

use super::kit::{TestServer, over_both};
use crate::raw::{Ended, Raw, Wire, echo_server, ends, limits, masked};

const TEXT: u8 = 0x81;
const CONTINUATION: u8 = 0x00;
const LAST: u8 = 0x80;
const FIRST_TEXT: u8 = 0x01;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

const SIZE: CloseCode = CloseCode::TOO_LARGE;

fn echo_with(change: impl FnOnce(&mut Limits)) -> Server {
    echo_server().limits(limits(change))
}

async fn expect_too_large(server: &TestServer, frames: &[u8], reason: &str) {
    let mut raw = Raw::join(server).await;
    raw.write(frames).await;
    assert_eq!(raw.read_close(SIZE.as_u16()).await, reason);
    raw.expect_end().await;
}

/// The header of a masked text frame that announces a length, without its payload.
fn announced(length: u64) -> Vec<u8> {
    [&[TEXT, 0xff], &length.to_be_bytes()[..], &[1, 2, 3, 4]].concat()
}

#[tokio::test]
async fn a_message_of_exactly_the_limit_is_accepted_in_one_frame_or_many() {
    over_both(
        || echo_with(|limits| limits.message_size = 1000),
        async |server| {
            let mut raw = Raw::join(&server).await;
            let text = "x".repeat(1000);
            raw.send_text(&text).await;
            raw.expect_text(&text).await;
            raw.send(FIRST_TEXT, &[b'x'; 999]).await;
            raw.send(CONTINUATION, b"").await;
            raw.send(LAST, b"x").await;
            raw.expect_text(&text).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_message_of_one_byte_more_is_answered_with_1009() {
    over_both(
        || echo_with(|limits| limits.message_size = 1000),
        async |server| {
            for frames in [
                masked(TEXT, &[b'x'; 1001]),
                masked(0x82, &[b'x'; 1001]),
                announced(1001),
                [masked(FIRST_TEXT, &[b'x'; 999]), masked(LAST, b"xx")].concat(),
                [masked(FIRST_TEXT, &[b'x'; 1000]), masked(CONTINUATION, b"x")].concat(),
            ] {
                expect_too_large(&server, &frames, "Message larger than 1000 bytes").await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn an_absurd_announced_length_is_answered_with_1009_at_once() {
    over_both(echo_server, async |server| {
        for length in [1 << 20 | 1, 1 << 31, 1 << 62, (1 << 63) - 1] {
            expect_too_large(&server, &announced(length), "Message larger than 1048576 bytes")
                .await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_goes_on_sending_too_much_is_told_1009() {
    over_both(
        || echo_with(|limits| limits.message_size = 1000),
        async |server| {
            let mut raw = Raw::join(&server).await;
            raw.write_while_reading(&masked(TEXT, &[b'x'; 1_000_000])).await;
            assert_eq!(raw.read_close(1009).await, "Message larger than 1000 bytes");
            raw.expect_end().await;
        },
    )
    .await;
}

#[tokio::test]
async fn messages_before_one_that_is_too_large_are_answered_first() {
    over_both(
        || echo_with(|limits| limits.message_size = 1000),
        async |server| {
            let mut raw = Raw::join(&server).await;
            let small = masked(TEXT, b"small").repeat(100);
            raw.write(&[small, announced(1001)].concat()).await;
            for _ in 0..100 {
                raw.expect_text("small").await;
            }
            assert_eq!(raw.read_close(1009).await, "Message larger than 1000 bytes");
        },
    )
    .await;
}

#[tokio::test]
async fn messages_above_64_kib_may_follow_each_other() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::join(&server).await;
        let large = "x".repeat(1 << 20);
        for _ in 0..3 {
            raw.write_while_reading(&masked(TEXT, large.as_bytes())).await;
            raw.expect_text(&large).await;
            raw.send_text("small").await;
            raw.expect_text("small").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_may_have_as_many_fragments_as_the_limit_says() {
    over_both(
        || echo_with(|limits| limits.fragments = 4),
        async |server| {
            let mut raw = Raw::join(&server).await;
            for _ in 0..3 {
                raw.send(FIRST_TEXT, b"a").await;
                raw.send(CONTINUATION, b"").await;
                raw.send(PING, b"").await;
                raw.send(CONTINUATION, b"b").await;
                raw.send(LAST, b"c").await;
                assert_eq!(raw.read_frame().await.unwrap().first, PONG);
                raw.expect_text("abc").await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn one_fragment_too_many_is_answered_with_1009_also_if_all_are_empty() {
    let reason = "Message in more than 4 fragments";
    over_both(
        || echo_with(|limits| limits.fragments = 4),
        async |server| {
            for payload in [&b""[..], b"x"] {
                let first = masked(FIRST_TEXT, payload);
                let more = masked(CONTINUATION, payload);
                let last = masked(LAST, payload);
                let whole = [first.clone(), more.repeat(3), last].concat();
                expect_too_large(&server, &whole, reason).await;
                let endless = [first, more.repeat(1000)].concat();
                expect_too_large(&server, &endless, reason).await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn nesting_beyond_the_limit_is_invalid_json_and_the_connection_lives() {
    let server = || {
        let router = Router::new().route(Route::message("x", |_| async {}));
        Server::from(router).limits(limits(|limits| limits.nesting = 10))
    };
    over_both(server, async |server| {
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
            format!(r#"{{"type":"x","id":1,"list":{open}{close}}}"#)
        };
        let mut raw = Raw::join(&server).await;
        let refused = json!({
            "type": "error",
            "code": "invalid_json",
            "message": "the message is nested too deeply",
        });
        raw.send_text(&nested(11)).await;
        assert_eq!(raw.read_json().await, refused);
        raw.write_while_reading(&masked(TEXT, nested(100_000).as_bytes())).await;
        assert_eq!(raw.read_json().await, refused);
        raw.send_text(&nested(10)).await;
        assert_eq!(raw.read_json().await, json!({"type": "ack", "correlation_id": 1}));
    })
    .await;
}

/// Waits with its first message until it is released, and answers each with its text.
fn gated(gate: &Arc<Notify>) -> Router {
    let gate = Arc::clone(gate);
    Router::new().route(Route::message("count", move |call: Call| {
        let gate = Arc::clone(&gate);
        async move {
            let value: Value = serde_json::from_str(call.text().unwrap()).unwrap();
            if value["n"] == 0 {
                gate.notified().await;
            }
            value
        }
    }))
}

fn padded(n: u32, size: usize) -> Value {
    json!({"type": "count", "n": n, "padding": "x".repeat(size)})
}

#[tokio::test]
async fn messages_that_wait_for_a_pending_handler_are_handled_in_order() {
    let gate = Arc::new(Notify::new());
    let server = || {
        let few = limits(|limits| limits.inbound_messages = 3);
        Server::from(gated(&gate)).limits(few)
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        let frames: Vec<u8> =
            (0..200).flat_map(|n| masked(TEXT, padded(n, 10).to_string().as_bytes())).collect();
        raw.write(&frames).await;
        gate.notify_one();
        for n in 0..200 {
            assert_eq!(raw.read_json().await, padded(n, 10));
        }
    })
    .await;
}

/// How much a server in memory takes off the stream while its handler is pending.
async fn taken_while_pending(limits: Limits) -> usize {
    let gate = Arc::new(Notify::new());
    let server = TestServer::new(Server::from(gated(&gate)).limits(limits));
    let mut raw = Raw::join(&server).await;
    let mut sent = 0;
    let frame = |n| masked(TEXT, padded(n, 2000).to_string().as_bytes());
    let mut unsent = Vec::new();
    for n in 0..1000 {
        unsent = frame(n);
        // With paused time it elapses as soon as nobody has anything to do.
        let room = timeout(Duration::from_secs(1), async {
            while !unsent.is_empty() {
                let written = raw.write_some(&unsent).await;
                unsent.drain(..written);
                sent += written;
            }
        });
        if room.await.is_err() {
            break;
        }
    }
    let count = sent.div_ceil(frame(0).len());
    gate.notify_one();
    raw.write(&unsent).await;
    for n in 0..u32::try_from(count).unwrap() {
        assert_eq!(raw.read_json().await, padded(n, 2000));
    }
    sent
}

const STREAM: usize = 64 * 1024;

#[tokio::test(start_paused = true)]
async fn a_full_inbound_buffer_stops_reading_until_there_is_room() {
    let few = limits(|limits| limits.inbound_messages = 4);
    let taken = taken_while_pending(few).await;
    // What the stream holds, and one read of that size.
    assert!((STREAM..3 * STREAM).contains(&taken), "{taken}");
}

#[tokio::test(start_paused = true)]
async fn a_full_inbound_buffer_is_also_counted_in_bytes() {
    let small = limits(|limits| {
        limits.inbound_messages = 1000;
        limits.inbound_size = 10_000;
    });
    let taken = taken_while_pending(small).await;
    assert!((STREAM..3 * STREAM).contains(&taken), "{taken}");
}

const SHORT: Duration = Duration::from_millis(100);

fn impatient() -> Limits {
    limits(|limits| {
        limits.ping_interval = SHORT;
        limits.ping_timeout = SHORT;
    })
}

#[tokio::test]
async fn a_silent_peer_is_pinged_and_then_dropped() {
    let (ends, ended) = ends();
    over_both(
        || ends.server().limits(impatient()),
        async |server| {
            let mut raw = Raw::join(&server).await;
            let started = Instant::now();
            let ping = raw.read_frame().await.unwrap();
            assert_eq!((ping.first, ping.payload), (PING, Vec::new()));
            raw.expect_end().await;
            let elapsed = started.elapsed();
            assert!(elapsed > SHORT * 3 / 2, "{elapsed:?}");
            assert!(elapsed < SHORT * 10, "{elapsed:?}");
            assert_eq!(ended.next().await, DisconnectReason::Timeout);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_dropped_after_the_interval_and_the_timeout_exactly() {
    let (ends, ended) = ends();
    let server = TestServer::new(ends.server().limits(impatient()));
    let started = Instant::now();
    let _raw = Raw::join(&server).await;
    assert_eq!(ended.next().await, DisconnectReason::Timeout);
    let late = started.elapsed() - SHORT * 2;
    assert!(late <= Duration::from_millis(5), "{late:?}");
}

#[tokio::test]
async fn a_peer_that_answers_pings_stays() {
    over_both(
        || echo_server().limits(impatient()),
        async |server| {
            let mut raw = Raw::join(&server).await;
            for _ in 0..4 {
                let ping = raw.read_frame().await.expect("a ping");
                assert_eq!((ping.first, &ping.payload[..]), (PING, &b""[..]));
                raw.send(PONG, &ping.payload).await;
            }
            raw.send_text("still here").await;
            raw.expect_text("still here").await;
        },
    )
    .await;
}

/// Each message waits as many milliseconds as it says, and answers with that.
async fn wait(call: Call) -> Value {
    let value: Value = serde_json::from_str(call.text().unwrap()).unwrap();
    sleep(Duration::from_millis(value["ms"].as_u64().unwrap())).await;
    value
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_pong_was_not_read_yet_is_not_taken_for_silent() {
    let busy = limits(|limits| {
        limits.ping_interval = Duration::from_millis(200);
        limits.ping_timeout = Duration::from_millis(50);
        limits.inbound_messages = 1;
    });
    let router = Router::new().route(Route::message("wait", wait));
    let server = TestServer::new(Server::from(router).limits(busy));
    let mut raw = Raw::join(&server).await;
    let waits = [300, 0, 10].map(|ms| json!({"type": "wait", "ms": ms}));
    let frames = waits.each_ref().map(|wait| masked(TEXT, wait.to_string().as_bytes()));
    raw.write(&frames.concat()).await;
    let mut answers = Vec::new();
    while answers.len() < 3 {
        let frame = raw.read_frame().await.expect("a peer that answered its pings stays");
        match frame.first {
            PING => raw.send(PONG, &frame.payload).await,
            _ => answers.push(serde_json::from_str::<Value>(frame.text()).unwrap()),
        }
    }
    assert_eq!(answers, waits);
}

#[derive(Message, Serialize)]
struct Blob {
    text: String,
}

/// A blob whose JSON is this long.
fn blob(size: usize) -> Blob {
    let text = "x".repeat(size - r#"{"type":"blob","text":""}"#.len());
    Blob { text }
}

/// How many messages of a size are accepted at once.
async fn accepted_at_once(server_limits: Limits, size: usize) -> usize {
    let (tell, mut told) = mpsc::channel(1);
    let router = Router::new().route(Route::message("fill", move |call: Call| {
        let tell = tell.clone();
        async move {
            let mut accepted = 0;
            let refused = loop {
                match call.websocket().try_send(&blob(size)) {
                    Ok(()) => accepted += 1,
                    Err(error) => break error,
                }
            };
            assert!(matches!(refused, SendError::Full), "{refused:?}");
            tell.send(accepted).await.unwrap();
        }
    }));
    let server = TestServer::new(Server::from(router).limits(server_limits));
    let mut raw = Raw::join(&server).await;
    raw.send_text(r#"{"type":"fill"}"#).await;
    let accepted = told.recv().await.unwrap();
    for _ in 0..accepted {
        assert_eq!(raw.read_frame().await.unwrap().payload.len(), size);
    }
    accepted
}

#[tokio::test(start_paused = true)]
async fn the_outbound_queue_takes_as_much_as_its_limits_say() {
    let few = limits(|limits| limits.outbound_messages = 10);
    assert_eq!(accepted_at_once(few, 100).await, 10);
    let small = limits(|limits| limits.outbound_size = 1000);
    assert_eq!(accepted_at_once(small.clone(), 250).await, 4);
    assert_eq!(accepted_at_once(small.clone(), 251).await, 3);
    // An empty queue takes one message of any size.
    assert_eq!(accepted_at_once(small, 100_000).await, 1);
}

/// Sends until an error, which it hands over, and then waits for ever if told so.
fn flooding(told: &mpsc::Sender<SendError>, size: usize) -> Router {
    let told = told.clone();
    Router::new().route(Route::message("flood", move |call: Call| {
        let told = told.clone();
        async move {
            let error = loop {
                if let Err(error) = call.websocket().send(&blob(size)).await {
                    break error;
                }
            };
            told.send(error).await.unwrap();
        }
    }))
}

#[tokio::test]
async fn a_peer_that_never_reads_is_dropped_as_a_slow_consumer() {
    let (ends, ended) = ends();
    let (tell, told) = mpsc::channel(1);
    let told = Mutex::new(told);
    let hasty = limits(|limits| limits.write_timeout = SHORT);
    over_both(
        || ends.watch(flooding(&tell, 60_000)).limits(hasty.clone()),
        async |server| {
            let mut raw = Raw::join(&server).await;
            raw.send_text(r#"{"type":"flood"}"#).await;
            let error = told.lock().await.recv().await.unwrap();
            assert!(matches!(error, SendError::Full | SendError::Closed), "{error:?}");
            let reason = ended.next().await;
            assert_eq!(reason, DisconnectReason::SlowConsumer);
            drop(raw);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_is_gone_soon_after_the_write_timeout() {
    let (ends, ended) = ends();
    let (tell, mut told) = mpsc::channel(1);
    let hasty = limits(|limits| limits.write_timeout = SHORT);
    let server = TestServer::new(ends.watch(flooding(&tell, 60_000)).limits(hasty));
    let mut raw = Raw::join(&server).await;
    let started = Instant::now();
    raw.send_text(r#"{"type":"flood"}"#).await;
    told.recv().await.unwrap();
    assert_eq!(ended.next().await, DisconnectReason::SlowConsumer);
    let elapsed = started.elapsed();
    assert!((SHORT..SHORT * 2).contains(&elapsed), "{elapsed:?}");
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
}

async fn expect_told_why<S: Wire>(mut raw: Raw<S>, ended: &Ended) {
    raw.handshake().await;
    raw.send_text(r#"{"type":"flood"}"#).await;
    assert_eq!(ended.next().await, DisconnectReason::SlowConsumer);
    // What was already under way is whole, and nothing is cut in its middle.
    let close = loop {
        let frame = raw.read_frame().await.expect("a close frame");
        if frame.first != TEXT {
            break frame;
        }
        assert_eq!(frame.payload.len(), 60_000);
    };
    assert_eq!(close.first, 0x88);
    assert_eq!(close.payload, b"\x03\xf0Slow client detected");
    raw.send_close(1008, "").await;
    raw.expect_end().await;
}

#[tokio::test]
async fn a_slow_consumer_that_reads_again_learns_why_it_is_closed() {
    let (ends, ended) = ends();
    let (tell, _told) = mpsc::channel(2);
    let hasty = limits(|limits| limits.write_timeout = SHORT);
    let slow = || ends.watch(flooding(&tell, 60_000)).limits(hasty.clone());
    let server = TestServer::bind(slow()).await;
    expect_told_why(Raw::dial_narrow(&server).await, &ended).await;
    let server = TestServer::new(slow());
    expect_told_why(Raw::reach(&server).await, &ended).await;
}

#[tokio::test(start_paused = true)]
async fn sending_waits_for_room_and_goes_on_when_the_peer_reads() {
    let router = Router::new().route(Route::message("many", async |call: Call| {
        for _ in 0..500 {
            call.websocket().send(&blob(1000)).await?;
        }
        Ok::<_, SendError>(json!({"type": "sent"}))
    }));
    let narrow = limits(|limits| limits.outbound_messages = 3);
    let server = TestServer::new(Server::from(router).limits(narrow));
    let mut raw = Raw::join(&server).await;
    raw.send_text(r#"{"type":"many"}"#).await;
    for _ in 0..500 {
        assert_eq!(raw.read_frame().await.unwrap().payload.len(), 1000);
    }
    assert_eq!(raw.read_json().await, json!({"type": "sent"}));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_but_steadily_stays() {
    let router = Router::new().route(Route::message("large", async |call: Call| {
        call.websocket().send_text(&"x".repeat(1 << 20)).await
    }));
    let hasty = limits(|limits| limits.write_timeout = Duration::from_secs(1));
    let server = TestServer::new(Server::from(router).limits(hasty));
    let mut raw = Raw::join(&server).await;
    raw.send_text(r#"{"type":"large"}"#).await;
    for _ in 0..16 {
        raw.take(STREAM).await;
        sleep(Duration::from_millis(900)).await;
    }
    assert_eq!(raw.read_frame().await.unwrap().payload.len(), 1 << 20);
}

#[tokio::test(start_paused = true)]
async fn answers_wait_for_a_peer_that_does_not_read_them() {
    let handled = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let router = {
        let handled = Arc::clone(&handled);
        Router::new().route(Route::message("ask", move |_| {
            let answered = handled.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async move { json!({"type": "answer", "n": answered, "padding": "x".repeat(1000)}) }
        }))
    };
    let narrow = limits(|limits| {
        limits.outbound_messages = 10;
        limits.write_timeout = Duration::from_secs(60);
    });
    let server = TestServer::new(Server::from(router).limits(narrow));
    let mut raw = Raw::join(&server).await;
    raw.write(&masked(TEXT, br#"{"type":"ask"}"#).repeat(1000)).await;
    // With paused time this lets everybody else finish what can be done.
    sleep(Duration::from_secs(1)).await;
    let count = handled.load(std::sync::atomic::Ordering::Relaxed);
    assert!(count <= STREAM / 1000 + 11, "{count}");
    for n in 0..1000 {
        assert_eq!(raw.read_json().await["n"], n);
    }
}

fn closing(ws: &WebSocket) {
    ws.close(1000, "bye");
}

#[tokio::test]
async fn a_peer_that_does_not_answer_a_close_is_dropped_at_the_deadline() {
    let hasty = limits(|limits| limits.close_timeout = SHORT);
    let server = || {
        let router = Router::new().route(Route::connect(async |call: Call| {
            closing(call.websocket());
        }));
        Server::from(router).limits(hasty.clone())
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        assert_eq!(raw.read_close(1000).await, "bye");
        let started = Instant::now();
        raw.expect_end().await;
        // It still counts as a connection until the deadline.
        server.shutdown(Duration::from_secs(5)).await.unwrap();
        let elapsed = started.elapsed();
        assert!((SHORT / 2..SHORT * 10).contains(&elapsed), "{elapsed:?}");
    })
    .await;
}

/// Says through the channel that it was dropped.
struct Dropped(mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.try_send(()).unwrap();
    }
}

#[tokio::test]
async fn a_hanging_handler_is_dropped_after_its_peer_has_left() {
    let (tell, told) = mpsc::channel(1);
    let told = Mutex::new(told);
    let (ends, ended) = ends();
    let hasty = limits(|limits| limits.close_timeout = SHORT);
    let server = || {
        let tell = tell.clone();
        let router = Router::new().route(Route::message("hang", move |call: Call| {
            let guard = Dropped(tell.clone());
            async move {
                call.websocket().send_text("hanging").await.unwrap();
                std::future::pending::<()>().await;
                drop(guard);
            }
        }));
        ends.watch(router).limits(hasty.clone())
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"hang"}"#).await;
        raw.expect_text("hanging").await;
        raw.send_close(1000, "bye").await;
        raw.finish().await;
        timeout(SHORT * 10, told.lock().await.recv()).await.expect("a dropped handler");
        let reason =
            DisconnectReason::Peer { code: Some(CloseCode::NORMAL), reason: "bye".to_owned() };
        assert_eq!(ended.next().await, reason);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_handler_that_hangs_is_dropped_at_its_deadline() {
    let (tell, mut told) = mpsc::channel(1);
    let (second, mut seconds) = mpsc::channel(1);
    let router = Router::new()
        .route(Route::disconnect(move |_| {
            let guard = Dropped(tell.clone());
            async move {
                std::future::pending::<()>().await;
                drop(guard);
            }
        }))
        .route(Route::disconnect(move |_| {
            let second = second.clone();
            async move { second.send(()).await.unwrap() }
        }));
    let hasty = limits(|limits| limits.disconnect_timeout = Duration::from_secs(1));
    let server = TestServer::new(Server::from(router).limits(hasty));
    let mut raw = Raw::join(&server).await;
    raw.send_close(1000, "").await;
    let started = Instant::now();
    // The peer does not have to wait for the handler.
    assert_eq!(raw.read_close(1000).await, "");
    raw.expect_end().await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    told.recv().await.unwrap();
    let late = started.elapsed() - Duration::from_secs(1);
    assert!(late <= Duration::from_millis(5), "{late:?}");
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!(seconds.recv().await, Some(()));
}
