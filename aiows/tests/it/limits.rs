//! Limits and timeouts, at exactly their value and just beyond it.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};

use aiows::error::SendError;
use aiows::extract::Call;
use aiows::routing::Route;
use aiows::{CloseCode, DisconnectReason, Limits, Message, Router, Server, WebSocket};

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

/// Returns the header of a masked text frame that announces a length, without the payload.
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
async fn a_message_of_one_byte_beyond_the_limit_is_answered_with_1009() {
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
async fn a_client_that_continues_to_send_an_oversized_message_receives_1009() {
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
async fn a_message_may_have_as_many_fragments_as_the_limit_allows() {
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
async fn one_fragment_too_many_is_answered_with_1009_even_if_all_are_empty() {
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
async fn nesting_beyond_the_limit_is_invalid_json_and_the_connection_stays_open() {
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

/// Returns a router that holds the first message until the test opens the gate, and echoes every
/// message.
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
async fn messages_queued_behind_a_pending_handler_are_handled_in_order() {
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

/// Returns how many bytes a server in memory reads while its handler is pending.
async fn taken_while_pending(limits: Limits) -> usize {
    let gate = Arc::new(Notify::new());
    let server = TestServer::new(Server::from(gated(&gate)).limits(limits));
    let mut raw = Raw::join(&server).await;
    let mut sent = 0;
    let frame = |n| masked(TEXT, padded(n, 2000).to_string().as_bytes());
    let mut unsent = Vec::new();
    for n in 0..1000 {
        unsent = frame(n);
        // With paused time, the timeout elapses as soon as every task is idle.
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
async fn a_full_inbound_queue_pauses_reading_until_there_is_room() {
    let few = limits(|limits| limits.inbound_messages = 4);
    let taken = taken_while_pending(few).await;
    // The capacity of the stream, and one read of that size.
    assert!((STREAM..3 * STREAM).contains(&taken), "{taken}");
}

#[tokio::test(start_paused = true)]
async fn the_inbound_queue_is_also_limited_in_bytes() {
    let small = limits(|limits| {
        limits.inbound_messages = 1000;
        limits.inbound_size = 10_000;
    });
    let taken = taken_while_pending(small).await;
    assert!((STREAM..3 * STREAM).contains(&taken), "{taken}");
}

const SHORT: Duration = Duration::from_millis(100);

fn short_ping_limits() -> Limits {
    limits(|limits| {
        limits.ping_interval = SHORT;
        limits.ping_timeout = SHORT;
    })
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_then_dropped() {
    let (ends, ended) = ends();
    over_both(
        || ends.server().limits(short_ping_limits()),
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
async fn a_silent_client_is_dropped_exactly_after_the_ping_interval_and_the_ping_timeout() {
    let (ends, ended) = ends();
    let server = TestServer::new(ends.server().limits(short_ping_limits()));
    let started = Instant::now();
    let _raw = Raw::join(&server).await;
    assert_eq!(ended.next().await, DisconnectReason::Timeout);
    let late = started.elapsed() - SHORT * 2;
    assert!(late <= Duration::from_millis(5), "{late:?}");
}

#[tokio::test]
async fn a_client_that_answers_pings_stays_connected() {
    over_both(
        || echo_server().limits(short_ping_limits()),
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

/// Sleeps for the milliseconds in the message, and then echoes it.
async fn wait(call: Call) -> Value {
    let value: Value = serde_json::from_str(call.text().unwrap()).unwrap();
    sleep(Duration::from_millis(value["ms"].as_u64().unwrap())).await;
    value
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_pong_that_was_not_read_yet_does_not_time_out() {
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
        let frame = raw.read_frame().await.expect("a client that answered its pings stays");
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

/// Returns a blob with JSON of this length.
fn blob(size: usize) -> Blob {
    let text = "x".repeat(size - r#"{"type":"blob","text":""}"#.len());
    Blob { text }
}

/// Returns how many messages of a size the queue accepts at once.
async fn accepted_at_once(server_limits: Limits, size: usize) -> usize {
    let (sender, mut receiver) = mpsc::channel(1);
    let router = Router::new().route(Route::message("fill", move |call: Call| {
        let sender = sender.clone();
        async move {
            let mut accepted = 0;
            let refused = loop {
                match call.websocket().try_send(&blob(size)) {
                    Ok(()) => accepted += 1,
                    Err(error) => break error,
                }
            };
            assert!(matches!(refused, SendError::Full), "{refused:?}");
            sender.send(accepted).await.unwrap();
        }
    }));
    let server = TestServer::new(Server::from(router).limits(server_limits));
    let mut raw = Raw::join(&server).await;
    raw.send_text(r#"{"type":"fill"}"#).await;
    let accepted = receiver.recv().await.unwrap();
    for _ in 0..accepted {
        assert_eq!(raw.read_frame().await.unwrap().payload.len(), size);
    }
    accepted
}

#[tokio::test(start_paused = true)]
async fn the_outbound_queue_accepts_as_much_as_its_limits_allow() {
    let few = limits(|limits| limits.outbound_messages = 10);
    assert_eq!(accepted_at_once(few, 100).await, 10);
    let small = limits(|limits| limits.outbound_size = 1000);
    assert_eq!(accepted_at_once(small.clone(), 250).await, 4);
    assert_eq!(accepted_at_once(small.clone(), 251).await, 3);
    // An empty queue accepts one message of any size.
    assert_eq!(accepted_at_once(small, 100_000).await, 1);
}

/// Returns a router that sends until an error occurs, and passes the error to the test.
fn flooding(sender: &mpsc::Sender<SendError>, size: usize) -> Router {
    let sender = sender.clone();
    Router::new().route(Route::message("flood", move |call: Call| {
        let sender = sender.clone();
        async move {
            let error = loop {
                if let Err(error) = call.websocket().send(&blob(size)).await {
                    break error;
                }
            };
            sender.send(error).await.unwrap();
        }
    }))
}

#[tokio::test]
async fn a_client_that_never_reads_is_dropped_as_a_slow_consumer() {
    let (ends, ended) = ends();
    let (sender, receiver) = mpsc::channel(1);
    let receiver = Mutex::new(receiver);
    let hasty = limits(|limits| limits.write_timeout = SHORT);
    over_both(
        || ends.watch(flooding(&sender, 60_000)).limits(hasty.clone()),
        async |server| {
            let mut raw = Raw::join(&server).await;
            raw.send_text(r#"{"type":"flood"}"#).await;
            let error = receiver.lock().await.recv().await.unwrap();
            assert!(matches!(error, SendError::Full | SendError::Closed), "{error:?}");
            let reason = ended.next().await;
            assert_eq!(reason, DisconnectReason::SlowConsumer);
            drop(raw);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_is_dropped_soon_after_the_write_timeout() {
    let (ends, ended) = ends();
    let (sender, mut receiver) = mpsc::channel(1);
    let hasty = limits(|limits| limits.write_timeout = SHORT);
    let server = TestServer::new(ends.watch(flooding(&sender, 60_000)).limits(hasty));
    let mut raw = Raw::join(&server).await;
    let started = Instant::now();
    raw.send_text(r#"{"type":"flood"}"#).await;
    receiver.recv().await.unwrap();
    assert_eq!(ended.next().await, DisconnectReason::SlowConsumer);
    let elapsed = started.elapsed();
    assert!((SHORT..SHORT * 2).contains(&elapsed), "{elapsed:?}");
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_secs(2), "{elapsed:?}");
}

async fn expect_close_reason<S: Wire>(mut raw: Raw<S>, ended: &Ended) {
    raw.handshake().await;
    raw.send_text(r#"{"type":"flood"}"#).await;
    assert_eq!(ended.next().await, DisconnectReason::SlowConsumer);
    // Messages that the server was already writing arrive whole.
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
async fn a_slow_consumer_that_reads_again_receives_the_close_reason() {
    let (ends, ended) = ends();
    let (sender, _receiver) = mpsc::channel(2);
    let hasty = limits(|limits| limits.write_timeout = SHORT);
    let slow = || ends.watch(flooding(&sender, 60_000)).limits(hasty.clone());
    let server = TestServer::bind(slow()).await;
    expect_close_reason(Raw::dial_narrow(&server).await, &ended).await;
    let server = TestServer::new(slow());
    expect_close_reason(Raw::reach(&server).await, &ended).await;
}

#[tokio::test(start_paused = true)]
async fn send_waits_for_room_and_continues_when_the_client_reads() {
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
async fn a_client_that_reads_slowly_but_steadily_stays_connected() {
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
async fn handlers_wait_for_a_client_that_does_not_read_their_answers() {
    let handled = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let router = {
        let handled = Arc::clone(&handled);
        Router::new().route(Route::message("get", move |_| {
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
    raw.write(&masked(TEXT, br#"{"type":"get"}"#).repeat(1000)).await;
    // With paused time, all other tasks run until they are idle.
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
async fn a_client_that_does_not_answer_a_close_is_dropped_at_the_close_timeout() {
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
        // It still counts as a connection until the close timeout.
        server.shutdown(Duration::from_secs(5)).await.unwrap();
        let elapsed = started.elapsed();
        assert!((SHORT / 2..SHORT * 10).contains(&elapsed), "{elapsed:?}");
    })
    .await;
}

/// Sends a message when it is dropped.
struct Dropped(mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.try_send(()).unwrap();
    }
}

#[tokio::test]
async fn a_hanging_handler_is_dropped_after_its_client_has_left() {
    let (sender, receiver) = mpsc::channel(1);
    let receiver = Mutex::new(receiver);
    let (ends, ended) = ends();
    let hasty = limits(|limits| limits.close_timeout = SHORT);
    let server = || {
        let sender = sender.clone();
        let router = Router::new().route(Route::message("hang", move |call: Call| {
            let guard = Dropped(sender.clone());
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
        timeout(SHORT * 10, receiver.lock().await.recv()).await.expect("a dropped handler");
        let reason =
            DisconnectReason::Peer { code: Some(CloseCode::NORMAL), reason: "bye".to_owned() };
        assert_eq!(ended.next().await, reason);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_handler_that_hangs_is_dropped_at_its_timeout() {
    let (sender, mut receiver) = mpsc::channel(1);
    let (second, mut seconds) = mpsc::channel(1);
    let router = Router::new()
        .route(Route::disconnect(move |_| {
            let guard = Dropped(sender.clone());
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
    // The client does not have to wait for the handler.
    assert_eq!(raw.read_close(1000).await, "");
    raw.expect_end().await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    receiver.recv().await.unwrap();
    let late = started.elapsed() - Duration::from_secs(1);
    assert!(late <= Duration::from_millis(5), "{late:?}");
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!(seconds.recv().await, Some(()));
}
