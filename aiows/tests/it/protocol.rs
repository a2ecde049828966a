//! Frames on the wire: the answers, their order, and the close codes of protocol violations.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{Mutex, Notify, mpsc};
use tokio::time::sleep;

use aiows::extract::Call;
use aiows::routing::Route;
use aiows::{CloseCode, DisconnectReason, Router, Server, WebSocket};

use super::kit::{TestServer, over_both};
use crate::raw::{Frame, Raw, close_payload, echo_server, ends, limits, masked};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CONTINUATION: u8 = 0x00;
const LAST: u8 = 0x80;
const FIRST_TEXT: u8 = 0x01;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// Sends frames after the handshake, and expects that the server closes with this code.
async fn expect_failure(server: &TestServer, frames: &[u8], code: u16, reason: &str) {
    let mut raw = Raw::join(server).await;
    raw.write(frames).await;
    assert_eq!(raw.read_close(code).await, reason, "{frames:x?}");
    raw.expect_end().await;
}

fn frame(first: u8, payload: &[u8]) -> Frame {
    Frame { first, payload: payload.to_vec() }
}

/// Echoes `{"type":"count","n":…}`.
async fn count(call: Call) -> Value {
    serde_json::from_str(call.text().unwrap()).unwrap()
}

fn counting_server() -> Server {
    Router::new().route(Route::message("count", count)).into()
}

fn count_frames(numbers: std::ops::Range<u32>) -> Vec<u8> {
    numbers
        .flat_map(|n| masked(TEXT, json!({"type": "count", "n": n}).to_string().as_bytes()))
        .collect()
}

async fn expect_counts(raw: &mut Raw, numbers: std::ops::Range<u32>) {
    for n in numbers {
        assert_eq!(raw.read_json().await, json!({"type": "count", "n": n}));
    }
}

#[tokio::test]
async fn the_server_joins_fragments_around_control_frames() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send(FIRST_TEXT, b"one ").await;
        raw.send(PING, b"between").await;
        assert_eq!(raw.read_frame().await, Some(frame(PONG, b"between")));
        raw.send(CONTINUATION, b"").await;
        raw.send(PONG, b"unsolicited").await;
        raw.send(CONTINUATION, b"two ").await;
        raw.send(LAST, b"three").await;
        raw.expect_text("one two three").await;
        raw.send_text("whole").await;
        raw.expect_text("whole").await;
    })
    .await;
}

#[tokio::test]
async fn a_character_may_be_split_over_fragments() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::join(&server).await;
        let text = "é€😀".as_bytes();
        raw.send(FIRST_TEXT, &text[..1]).await;
        for byte in &text[1..text.len() - 1] {
            raw.send(CONTINUATION, &[*byte]).await;
        }
        raw.send(LAST, &text[text.len() - 1..]).await;
        raw.expect_text("é€😀").await;
    })
    .await;
}

#[tokio::test]
async fn messages_of_every_length_form_are_handled() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::join(&server).await;
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 200_000] {
            let text = "x".repeat(length);
            raw.write_while_reading(&masked(TEXT, text.as_bytes())).await;
            raw.expect_text(&text).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_length_that_is_not_minimally_encoded_is_accepted() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::join(&server).await;
        let short = masked(TEXT, b"hi");
        let long = [&[TEXT, 0xff, 0, 0, 0, 0, 0, 0, 0, 2], &short[2..]].concat();
        raw.write(&long).await;
        raw.expect_text("hi").await;
    })
    .await;
}

#[tokio::test]
async fn a_ping_is_answered_with_its_own_payload() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::join(&server).await;
        for payload in [&b""[..], b"hello", &[0xff; 125]] {
            raw.send(PING, payload).await;
            assert_eq!(raw.read_frame().await, Some(frame(PONG, payload)));
        }
    })
    .await;
}

#[tokio::test]
async fn a_ping_is_answered_while_a_handler_is_pending() {
    let release = Arc::new(Notify::new());
    let server = || {
        let release = Arc::clone(&release);
        Server::from(Router::new().route(Route::message("wait", move |_| {
            let release = Arc::clone(&release);
            async move {
                release.notified().await;
                json!({"type": "done"})
            }
        })))
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"wait"}"#).await;
        for payload in [b"1", b"2"] {
            raw.send(PING, payload).await;
            assert_eq!(raw.read_frame().await, Some(frame(PONG, payload)));
        }
        release.notify_one();
        assert_eq!(raw.read_json().await, json!({"type": "done"}));
    })
    .await;
}

/// More bytes than the kernel buffers for one connection.
const FLOOD: usize = 16 * 1024 * 1024;

#[tokio::test]
async fn a_peer_that_reads_late_receives_the_newest_pongs() {
    let (sender, receiver) = mpsc::channel(1);
    let receiver = Mutex::new(receiver);
    let server = || {
        let sender = sender.clone();
        let router = Router::new()
            .route(Route::message("flood", async |call: Call| {
                call.websocket().send_text(&"x".repeat(FLOOD)).await
            }))
            .route(Route::message("received", move |_| {
                let sender = sender.clone();
                async move { sender.send(()).await.unwrap() }
            }));
        Server::from(router).limits(limits(|limits| limits.outbound_size = 2 * FLOOD))
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"flood"}"#).await;
        raw.await_frame().await;
        for n in 0..50_u8 {
            raw.send(PING, &[n]).await;
            raw.send_text(r#"{"type":"received"}"#).await;
            receiver.lock().await.recv().await.unwrap();
        }
        let mut pongs = Vec::new();
        let flood = loop {
            let frame = raw.read_frame().await.unwrap();
            if frame.first != PONG {
                break frame;
            }
            pongs.extend(frame.payload);
        };
        // The pongs have overtaken the message.
        assert_eq!(flood.payload.len(), FLOOD);
        assert!(pongs.ends_with(&(34..50).collect::<Vec<_>>()), "{pongs:?}");
        raw.send(PING, b"last").await;
        assert_eq!(raw.read_frame().await, Some(frame(PONG, b"last")));
    })
    .await;
}

#[tokio::test]
async fn a_frame_that_violates_the_protocol_is_answered_with_1002() {
    over_both(echo_server, async |server| {
        let mut unmasked = masked(TEXT, b"hi");
        unmasked.drain(2..6);
        unmasked[1] = 2;
        let fragmented_ping = masked(0x09, b"");
        let fragmented_close = masked(0x08, &[0x03, 0xe8]);
        for frames in [
            unmasked,
            masked(0xc1, b"reserved bit 1"),
            masked(0xa1, b"reserved bit 2"),
            masked(0x91, b"reserved bit 3"),
            masked(0xf1, b"all reserved bits"),
            masked(0xc9, b"reserved bit of a ping"),
            masked(0x83, b"reserved opcode"),
            masked(0x87, b"reserved opcode"),
            masked(0x8b, b"reserved control opcode"),
            masked(0x8f, b""),
            fragmented_ping,
            fragmented_close,
            masked(PING, &[b'x'; 126]),
            masked(PONG, &[b'x'; 126]),
            masked(CLOSE, &[&[0x03, 0xe8][..], &[b'x'; 124]].concat()),
            masked(CONTINUATION, b"orphan"),
            masked(LAST, b"orphan"),
            [masked(FIRST_TEXT, b"a"), masked(TEXT, b"b")].concat(),
            [masked(FIRST_TEXT, b"a"), masked(FIRST_TEXT, b"b")].concat(),
            [masked(FIRST_TEXT, b"a"), masked(BINARY, b"b")].concat(),
            masked(CLOSE, &[0x03]),
        ] {
            expect_failure(&server, &frames, 1002, "Protocol violation").await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_continuation_after_the_last_fragment_is_answered_with_1002() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::join(&server).await;
        let frames = [masked(FIRST_TEXT, b"a"), masked(LAST, b"b"), masked(LAST, b"c")];
        raw.write(&frames.concat()).await;
        raw.expect_text("ab").await;
        assert_eq!(raw.read_close(1002).await, "Protocol violation");
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn a_close_code_that_must_not_be_sent_is_answered_with_1002() {
    over_both(echo_server, async |server| {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
            let frames = masked(CLOSE, &close_payload(code, "why"));
            expect_failure(&server, &frames, 1002, "Protocol violation").await;
        }
    })
    .await;
}

#[tokio::test]
async fn text_that_is_not_utf8_is_answered_with_1007() {
    over_both(echo_server, async |server| {
        let split = |first: &[u8], last: &[u8]| [masked(FIRST_TEXT, first), masked(LAST, last)];
        for frames in [
            masked(TEXT, &[0xff]),
            masked(TEXT, &[0xc0, 0xaf]),
            masked(TEXT, &[0xed, 0xa0, 0x80]),
            masked(TEXT, b"cut \xe2\x82"),
            split(b"a\xe2", b"\x82x").concat(),
            split(b"a", b"\xf4\x90\x80\x80").concat(),
            split(b"a", b"\xe2").concat(),
            masked(CLOSE, &[&[0x03, 0xe8][..], &[0xff, 0xfe]].concat()),
        ] {
            expect_failure(&server, &frames, 1007, "Invalid UTF-8").await;
        }
    })
    .await;
}

#[tokio::test]
async fn text_that_is_not_utf8_is_refused_before_its_last_fragment_arrives() {
    over_both(echo_server, async |server| {
        let frames = masked(FIRST_TEXT, b"a\xff");
        expect_failure(&server, &frames, 1007, "Invalid UTF-8").await;
    })
    .await;
}

#[tokio::test]
async fn the_disconnect_handler_receives_a_protocol_violation_as_the_reason() {
    let (ends, ended) = ends();
    over_both(
        || ends.server(),
        async |server| {
            for (frames, code) in [
                (masked(0x83, b""), CloseCode::PROTOCOL),
                (masked(TEXT, b"\xff"), CloseCode::INVALID_DATA),
                (masked(CLOSE, &close_payload(1005, "")), CloseCode::PROTOCOL),
            ] {
                expect_failure_code(&server, &frames, code).await;
                assert_eq!(ended.next().await, DisconnectReason::Protocol { code });
            }
        },
    )
    .await;
}

async fn expect_failure_code(server: &TestServer, frames: &[u8], code: CloseCode) {
    let mut raw = Raw::join(server).await;
    raw.write(frames).await;
    raw.read_close(code.as_u16()).await;
    raw.expect_end().await;
}

#[tokio::test]
async fn a_peer_that_keeps_sending_receives_the_close_frame_of_its_violation() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::join(&server).await;
        let rest = masked(TEXT, &[b'x'; 60_000]).repeat(20);
        raw.write(&masked(0x83, b"")).await;
        raw.write_while_reading(&rest).await;
        assert_eq!(raw.read_close(1002).await, "Protocol violation");
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn messages_before_a_violation_are_answered_first() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::join(&server).await;
        let frames = [masked(TEXT, b"a"), masked(TEXT, b"b"), masked(0x83, b"")];
        raw.write(&frames.concat()).await;
        raw.expect_text("a").await;
        raw.expect_text("b").await;
        assert_eq!(raw.read_close(1002).await, "Protocol violation");
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn many_messages_before_a_violation_in_one_packet_are_answered_first() {
    over_both(counting_server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.write(&[count_frames(0..500), masked(0x83, b"")].concat()).await;
        expect_counts(&mut raw, 0..500).await;
        assert_eq!(raw.read_close(1002).await, "Protocol violation");
    })
    .await;
}

#[tokio::test]
async fn many_messages_before_too_many_fragments_in_one_packet_are_answered_first() {
    let server = || counting_server().limits(limits(|limits| limits.fragments = 2));
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        let fragments = [masked(FIRST_TEXT, b""), masked(CONTINUATION, b"").repeat(2)];
        raw.write(&[count_frames(0..500), fragments.concat()].concat()).await;
        expect_counts(&mut raw, 0..500).await;
        assert_eq!(raw.read_close(1009).await, "Message in more than 2 fragments");
    })
    .await;
}

#[tokio::test]
async fn many_messages_before_a_close_frame_in_one_packet_are_answered_first() {
    over_both(counting_server, async |server| {
        let mut raw = Raw::join(&server).await;
        let close = masked(CLOSE, &close_payload(1000, "bye"));
        raw.write(&[count_frames(0..500), close].concat()).await;
        expect_counts(&mut raw, 0..500).await;
        assert_eq!(raw.read_close(1000).await, "bye");
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn many_messages_before_the_end_of_the_stream_are_answered() {
    over_both(counting_server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.write(&count_frames(0..500)).await;
        raw.finish().await;
        expect_counts(&mut raw, 0..500).await;
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn two_thousand_messages_sent_at_once_are_answered_in_order() {
    over_both(counting_server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.write_while_reading(&count_frames(0..2000)).await;
        expect_counts(&mut raw, 0..2000).await;
    })
    .await;
}

#[tokio::test]
async fn a_close_frame_is_echoed() {
    over_both(echo_server, async |server| {
        for (code, reason) in
            [(1000, "bye"), (1001, ""), (1007, ""), (1011, ""), (3000, "of a library"), (4999, "é")]
        {
            let payload = close_payload(code, reason);
            let mut raw = Raw::join(&server).await;
            raw.send(CLOSE, &payload).await;
            assert_eq!(raw.read_frame().await, Some(frame(CLOSE, &payload)));
            raw.expect_end().await;
        }
        let mut raw = Raw::join(&server).await;
        raw.send(CLOSE, b"").await;
        assert_eq!(raw.read_frame().await, Some(frame(CLOSE, b"")));
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn a_close_frame_may_arrive_byte_by_byte() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text("before").await;
        raw.expect_text("before").await;
        for byte in masked(CLOSE, &close_payload(1000, "bye")) {
            raw.write(&[byte]).await;
            // The pause makes it likely that each byte is read alone.
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(raw.read_close(1000).await, "bye");
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_close_frame_that_stays_incomplete_ends_the_connection_at_the_close_timeout() {
    let (ends, ended) = ends();
    let short_timeout = limits(|limits| limits.close_timeout = Duration::from_secs(1));
    let server = TestServer::new(ends.server().limits(short_timeout));
    let mut raw = Raw::join(&server).await;
    let close = masked(CLOSE, &close_payload(1000, "bye"));
    raw.write(&close[..close.len() - 1]).await;
    raw.expect_end().await;
    let reason = DisconnectReason::Peer { code: None, reason: String::new() };
    assert_eq!(ended.next().await, reason);
}

#[tokio::test]
async fn frames_after_a_close_frame_are_not_handled() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::join(&server).await;
        let close = masked(CLOSE, &close_payload(1000, ""));
        let frames =
            [masked(TEXT, b"before"), close, masked(TEXT, b"after"), masked(PING, b"after")];
        raw.write(&frames.concat()).await;
        raw.expect_text("before").await;
        assert_eq!(raw.read_close(1000).await, "");
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn the_server_sends_no_frame_after_its_close_frame() {
    let server = || {
        let late = |ws: WebSocket| async move {
            while ws.send_text("more").await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        let router = Router::new().route(Route::message("leave", move |call: Call| {
            let ws = call.websocket().clone();
            tokio::spawn(late(ws.clone()));
            async move { ws.close(1000, "enough") }
        }));
        Server::from(router)
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"leave"}"#).await;
        let close = loop {
            let frame = raw.read_frame().await.unwrap();
            if frame.first == CLOSE {
                break frame;
            }
            assert_eq!((frame.first, frame.text()), (TEXT, "more"));
        };
        assert_eq!(close, frame(CLOSE, &close_payload(1000, "enough")));
        raw.send(PING, b"no pong either").await;
        raw.send_text("no answer").await;
        raw.send_close(1000, "").await;
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn a_binary_frame_with_json_is_handled_as_json() {
    over_both(counting_server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send(BINARY, br#"{"type":"count","n":7}"#).await;
        expect_counts(&mut raw, 7..8).await;
        raw.send(0x02, br#"{"type":"co"#).await;
        raw.send(LAST, br#"unt","n":8}"#).await;
        expect_counts(&mut raw, 8..9).await;
    })
    .await;
}

#[tokio::test]
async fn a_binary_frame_that_is_not_utf8_gets_an_error_and_the_connection_stays_open() {
    over_both(counting_server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send(BINARY, b"\xff\xfe").await;
        let error = json!({
            "type": "error",
            "code": "invalid_json",
            "message": "the message is not UTF-8",
        });
        assert_eq!(raw.read_json().await, error);
        raw.write(&count_frames(1..2)).await;
        expect_counts(&mut raw, 1..2).await;
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_has_ended_its_side_still_receives_its_answers() {
    let (ends, ended) = ends();
    let server = || {
        ends.watch(Router::new().route(Route::message("slow", async |_: Call| {
            sleep(Duration::from_millis(20)).await;
            json!({"type": "slow"})
        })))
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        let slow = masked(TEXT, br#"{"type":"slow"}"#);
        raw.write(&slow.repeat(3)).await;
        raw.finish().await;
        for _ in 0..3 {
            assert_eq!(raw.read_json().await, json!({"type": "slow"}));
        }
        raw.expect_end().await;
        let reason = DisconnectReason::Peer { code: None, reason: String::new() };
        assert_eq!(ended.next().await, reason);
    })
    .await;
}

#[tokio::test]
async fn a_message_that_the_end_of_the_stream_truncates_is_not_handled() {
    over_both(echo_server, async |server| {
        let mut raw = Raw::join(&server).await;
        let whole = masked(TEXT, b"whole");
        raw.write(&[&whole[..], &whole[..8]].concat()).await;
        raw.finish().await;
        raw.expect_text("whole").await;
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_is_served_after_as_many_pings_as_the_session_handles_in_one_turn() {
    over_both(echo_server, async |server| {
        for pings in [63, 64, 65, 128] {
            let mut raw = Raw::join(&server).await;
            raw.write(&masked(PING, b"ping").repeat(pings)).await;
            // The server keeps the newest 16 pongs until it writes them.
            while raw.read_frame().await != Some(frame(PONG, b"ping")) {}
            raw.send_text("served").await;
            while raw.read_frame().await.expect("an answer").first != TEXT {}
        }
    })
    .await;
}

/// Handles `{"type":"work"}` forever with operations that are always ready and yield only when
/// tokio's task budget is used up.
fn busy() -> Router {
    Router::new().route(Route::message("work", |_| async {
        let lock = Mutex::new(());
        loop {
            drop(lock.lock().await);
        }
        #[expect(unreachable_code, reason = "the type of the handler's answer")]
        ()
    }))
}

#[tokio::test]
async fn pings_are_answered_while_a_handler_is_always_ready() {
    over_both(
        || Server::from(busy()),
        async |server| {
            let mut raw = Raw::join(&server).await;
            raw.send_text(r#"{"type":"work"}"#).await;
            for payload in [b"1", b"2"] {
                raw.send(PING, payload).await;
                assert_eq!(raw.read_frame().await, Some(frame(PONG, payload)));
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_burst_does_not_close_a_client_whose_handler_is_always_ready() {
    over_both(
        || Server::from(busy()),
        async |server| {
            let mut raw = Raw::join(&server).await;
            raw.send_text(r#"{"type":"work"}"#).await;
            raw.send(PING, b"").await;
            raw.read_frame().await.expect("a pong");
            let hub = server.handle().hub();
            let publisher = tokio::spawn(async move {
                for _ in 0..3000 {
                    let delivery = hub.all().send_text("x").await.unwrap();
                    assert_eq!(delivery.accepted, 1);
                }
            });
            for _ in 0..3000 {
                raw.expect_text("x").await;
            }
            publisher.await.unwrap();
        },
    )
    .await;
}
