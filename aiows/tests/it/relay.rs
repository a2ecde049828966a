//! A fallback that takes any frame relays a stream of another protocol and adds no bytes to it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use aiows::extract::{Call, Frame};
use aiows::middleware::{Middleware, Next};
use aiows::routing::{IntoOutcome, Outcome};
use aiows::{
    Bytes, DisconnectReason, HandlerError, Local, Message, MessageId, RawMessage, Result, Router,
    Server, State, Text, WebSocket, connect, fallback, message, routes,
};

use super::kit::{TestServer, over_both};
use crate::raw::{Raw, close_payload, ends, masked};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

const NOT_UTF8: &str = "Binary data that is not UTF-8";

#[fallback]
async fn relay(ws: WebSocket, frame: Frame) -> Result {
    match frame {
        Frame::Text(text) => ws.send_text(&text).await?,
        Frame::Binary(bytes) => ws.send_binary(&bytes).await?,
    }
    Ok(())
}

#[fallback]
async fn relay_text(ws: WebSocket, Text(text): Text) -> Result {
    Ok(ws.send_text(&text).await?)
}

#[fallback]
async fn relay_bytes(ws: WebSocket, bytes: Bytes) -> Result {
    Ok(ws.send_binary(&bytes).await?)
}

/// Texts that a framework that reads JSON might alter or refuse.
fn texts() -> Vec<String> {
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(3000), close.repeat(3000));
    let mut texts = vec![deep("[", "]"), deep(r#"{"type":"x","a":"#, "}")];
    for text in [
        r#"{"type":"x","id":1}"#,
        r#"{"id":"a","type":"x"}"#,
        r#"{"type":"ack","id":1}"#,
        r#"{"type":"error","id":1,"code":"a"}"#,
        r#"{"type":"x","id":1.5}"#,
        r#"{"type":"x","type":"y","id":1,"id":2}"#,
        r#"{"type":7}"#,
        r#"{"correlation_id":"s1"}"#,
        r#"{"type":"x","id":1,"a":{"$serde_json::private::RawValue":"[[]]"}}"#,
        r#"{"$serde_json::private::Number":"1"}"#,
        r#"{"type":"x","id":1"#,
        "{",
        "",
        " ",
        "null",
        "plain",
        "\u{feff}{}",
        "\0",
    ] {
        texts.push(text.to_owned());
    }
    texts
}

#[tokio::test]
async fn a_relay_receives_every_byte_unchanged_and_the_server_sends_only_the_relay_s_frames() {
    over_both(
        || Server::from(Router::new().routes(routes![relay])),
        async |server| {
            let mut raw = Raw::join(&server).await;
            for first in [TEXT, BINARY] {
                for text in texts() {
                    raw.send(first, text.as_bytes()).await;
                    let frame = raw.read_frame().await.unwrap();
                    assert_eq!((frame.first, frame.text()), (first, &*text));
                }
            }
            for bytes in [&[0xff][..], &[0, 159, 146, 150], br#"{"type":"x","id":1,"a":"\xff"}"#] {
                raw.send(BINARY, bytes).await;
                let frame = raw.read_frame().await.unwrap();
                assert_eq!((frame.first, &*frame.payload), (BINARY, bytes));
            }
            raw.send_close(1000, "").await;
            raw.read_close(1000).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_relay_of_text_or_bytes_receives_frames_of_both_kinds() {
    for (router, first) in [
        (Router::new().routes(routes![relay_text]), TEXT),
        (Router::new().routes(routes![relay_bytes]), BINARY),
        // Including the router in another one makes no difference.
        (Router::new().include(Router::new().routes(routes![relay_text])), TEXT),
    ] {
        let server = TestServer::new(router);
        let mut raw = Raw::join(&server).await;
        for text in texts() {
            for sent in [TEXT, BINARY] {
                raw.send(sent, text.as_bytes()).await;
                let frame = raw.read_frame().await.unwrap();
                assert_eq!((frame.first, frame.text()), (first, &*text));
            }
        }
    }
}

/// A broker that understands four packets of MQTT 3.1.1, which may be split over frames.
#[fallback]
async fn broker(ws: WebSocket, mut stream: Local<Vec<u8>>, bytes: Bytes) -> Result {
    stream.extend_from_slice(&bytes);
    while let [kind, length, ..] = stream[..]
        && let end = 2 + usize::from(length)
        && stream.len() >= end
    {
        let packet: Vec<u8> = stream.drain(..end).collect();
        match kind {
            0x10 => ws.send_binary(&[0x20, 2, 0, 0]).await?,
            // PUBLISH with QoS 1: the topic, then the id, then the payload.
            0x32 => {
                let id = 4 + usize::from(packet[3]);
                ws.send_binary(&[0x40, 2, packet[id], packet[id + 1]]).await?;
                ws.send_binary(&[&[0x30, length - 2], &packet[2..id], &packet[id + 2..]].concat())
                    .await?;
            }
            0xc0 => ws.send_binary(&[0xd0, 0]).await?,
            _ => return Err(HandlerError::new("malformed_packet", "no such packet")),
        }
    }
    Ok(())
}

fn publish(id: u8, payload: &str) -> Vec<u8> {
    let length = u8::try_from(5 + payload.len()).unwrap();
    [&[0x32, length, 0, 1, b't', 0, id][..], payload.as_bytes()].concat()
}

#[tokio::test]
async fn an_mqtt_stream_is_relayed_whatever_its_payloads_and_frame_boundaries_are() {
    const REQUEST: &str = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let payloads = [r#"{"type":"x","id":1}"#, r#"{"type":"x""#, "{", r#"{"id":7,"type":"ack"}"#];
    over_both(
        || {
            let router = Router::new().routes(routes![broker]);
            Server::new().route("/mqtt", router).subprotocols(["mqtt"])
        },
        async |server| {
            let mut raw = Raw::reach(&server).await;
            raw.write(REQUEST.as_bytes()).await;
            let head = raw.read_head().await.to_lowercase();
            assert!(head.contains("\r\nsec-websocket-protocol: mqtt\r\n"), "{head}");
            let mut expected = vec![0x20, 2, 0, 0];
            raw.send(BINARY, &[0x10, 4, 0, 0, 4, 2]).await;
            for (id, payload) in (1..).zip(payloads) {
                let packet = publish(id, payload);
                // Clients write the head and the payload in separate frames.
                let (head, rest) = packet.split_at(packet.len() - payload.len());
                raw.send(BINARY, head).await;
                raw.send(BINARY, rest).await;
                expected.extend([0x40, 2, 0, id, 0x30, packet[1] - 2, 0, 1, b't']);
                expected.extend(payload.as_bytes());
            }
            raw.send(BINARY, &[0xc0]).await;
            raw.send(BINARY, &[0]).await;
            expected.extend([0xd0, 0]);
            let mut stream = Vec::new();
            while stream.len() < expected.len() {
                let frame = raw.read_frame().await.unwrap();
                assert_eq!(frame.first, BINARY, "{frame:?}");
                stream.extend(frame.payload);
            }
            assert_eq!(stream, expected);
            raw.send(BINARY, b"\xf0\0").await;
            assert_eq!(raw.read_close(1008).await, "malformed_packet");
        },
    )
    .await;
}

#[derive(Debug, Message, Deserialize, Serialize)]
struct Note {
    text: String,
}

#[message("note")]
async fn note(_note: Note) {}

#[message("bare")]
async fn bare() {}

#[tokio::test]
async fn typed_handlers_receive_their_types_and_the_relay_receives_all_other_frames() {
    let router = Router::new().routes(routes![note, bare, relay]);
    let server = TestServer::new(router);
    let mut raw = Raw::join(&server).await;
    for (text, code) in [
        (r#"{"type":"note","id":1,"text":"a"}"#, None),
        (r#"{"type":"bare","id":1}"#, None),
        (r#"{"id":1,"type":"note","text":7}"#, Some("invalid_payload")),
    ] {
        raw.send(BINARY, text.as_bytes()).await;
        let answer = raw.read_json().await;
        assert_eq!(answer["correlation_id"], 1, "{text}");
        assert_eq!(answer["code"].as_str(), code);
    }
    let known = [
        // These begin like messages of a known type, but are malformed.
        r#"{"type":"note","id":1,"text":"a""#,
        r#"{"type":"note","id":1.5,"text":"a"}"#,
        r#"{"type":"note","text":{"$serde_json::private::RawValue":"1"}}"#,
        r#"{"type":"note","type":"note","text":"a"}"#,
        r#"{"type":"bare","id":1"#,
        r#"{"type":"bare","id":[]}"#,
    ];
    for text in texts().into_iter().chain(known.map(str::to_owned)) {
        raw.send(TEXT, text.as_bytes()).await;
        let frame = raw.read_frame().await.unwrap();
        assert_eq!((frame.first, frame.text()), (TEXT, &*text));
    }
    raw.send(BINARY, &[0xff]).await;
    assert_eq!(raw.read_frame().await.unwrap().payload, [0xff]);
}

#[tokio::test]
async fn a_fallback_of_a_prefix_that_takes_text_sends_no_acknowledgement() {
    let router = Router::new().nest("game.", Router::new().routes(routes![relay_text, note]));
    let server = TestServer::new(router);
    let mut raw = Raw::join(&server).await;
    let text = r#"{"type":"game.fly","id":1}"#;
    raw.send_text(text).await;
    raw.expect_text(text).await;
    // Frames without the prefix are not relayed, so the router handles them as messages.
    raw.send_text(r#"{"type":"fly","id":2}"#).await;
    assert_eq!(raw.read_json().await["code"], "unknown_type");
    raw.send(BINARY, &[0xff]).await;
    assert_eq!(raw.read_json().await["code"], "invalid_json");
    raw.send_text(r#"{"type":"game.note","id":3,"text":"a"}"#).await;
    assert_eq!(raw.read_json().await, json!({ "type": "ack", "correlation_id": 3 }));
}

#[tokio::test]
async fn the_return_value_of_a_relay_has_no_correlation_id() {
    #[fallback]
    async fn count(call: Call, Text(text): Text) -> Value {
        json!({ "length": text.len(), "is_request": call.id().is_some() })
    }
    let server = TestServer::new(Router::new().routes(routes![count]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"x","id":1}"#).await;
    assert_eq!(client.recv_json().await, json!({ "length": 19, "is_request": false }));
}

#[tokio::test]
async fn binary_that_is_not_utf8_closes_a_relay_of_text_with_1003() {
    for router in
        [Router::new().routes(routes![relay_text]), Router::new().routes(routes![relay_text, note])]
    {
        let (ends, ended) = ends();
        let server = TestServer::new(ends.watch(router));
        let mut raw = Raw::join(&server).await;
        raw.send(BINARY, "é".as_bytes()).await;
        raw.expect_text("é").await;
        raw.send(BINARY, br#"{"type":"note","text":"\xff"}"#).await;
        raw.expect_text(r#"{"type":"note","text":"\xff"}"#).await;
        raw.send(BINARY, b"{\"type\":\"note\",\"text\":\"\xff\"}").await;
        assert_eq!(raw.read_close(1003).await, NOT_UTF8);
        let reason = DisconnectReason::Closed { code: 1003.into(), reason: NOT_UTF8.into() };
        assert_eq!(ended.next().await, reason);
    }
}

#[fallback]
async fn failing(Text(text): Text) -> Result {
    match &*text {
        "visible" => Err(HandlerError::new("full", "there is no room")),
        "own" => Err(HandlerError::new("full", "come back later").close(4001)),
        "internal" => Err("the secret cause")?,
        "panic" => panic!("the secret cause"),
        _ => Ok(()),
    }
}

async fn closed(server: &TestServer, text: &str) -> (u16, String) {
    let mut raw = Raw::join(server).await;
    raw.send_text(text).await;
    let frame = raw.read_frame().await.unwrap();
    assert_eq!(frame.first, 0x88, "{text}: {frame:?}");
    let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
    (code, String::from_utf8(frame.payload[2..].to_vec()).unwrap())
}

#[tokio::test]
async fn an_error_of_a_relay_closes_the_connection_without_an_error_message() {
    for router in
        [Router::new().routes(routes![failing]), Router::new().routes(routes![failing, note])]
    {
        let server = TestServer::new(router);
        assert_eq!(closed(&server, "visible").await, (1008, "full".into()));
        assert_eq!(closed(&server, "own").await, (4001, "come back later".into()));
        for text in ["internal", "panic"] {
            let (code, reason) = closed(&server, text).await;
            let id = reason.strip_prefix("Internal error ").unwrap();
            assert_eq!((code, id.len()), (1011, 16), "{reason}");
        }
    }
}

/// Logs messages and errors, answers or refuses some messages, and replaces one error.
struct Watch(Arc<Mutex<Vec<String>>>);

impl Middleware for Watch {
    async fn on_message(&self, call: Call, next: Next) -> Result<Outcome> {
        let text = call.text().unwrap_or("no text").to_owned();
        self.0.lock().unwrap().push(format!("message {text}"));
        match &*text {
            "answer" => return json!({ "answered": true }).into_outcome(&call),
            "refuse" => return Err(HandlerError::new("refused", "not here")),
            "rewrite" => return next.run(call.with_text("own")).await,
            _ => {}
        }
        next.run(call).await
    }

    async fn on_error(&self, _call: &Call, error: HandlerError) -> HandlerError {
        self.0.lock().unwrap().push(format!("error {}", error.code()));
        match error.code() {
            "full" => error,
            "refused" => HandlerError::new("replaced", "elsewhere").close(4002),
            _ => error,
        }
    }
}

#[tokio::test]
async fn middleware_around_a_relay_receives_its_messages_and_its_errors() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let router = Router::new().routes(routes![failing]).middleware(Watch(Arc::clone(&log)));
    let server = TestServer::new(router);
    assert_eq!(closed(&server, "visible").await, (1008, "full".into()));
    assert_eq!(closed(&server, "refuse").await, (4002, "elsewhere".into()));
    assert_eq!(closed(&server, "rewrite").await, (4001, "come back later".into()));
    let mut raw = Raw::join(&server).await;
    for quiet in [r#"{"type":"x","id":1}"#, "{"] {
        raw.send_text(quiet).await;
    }
    raw.send_text("answer").await;
    raw.expect_text(r#"{"answered":true}"#).await;
    raw.send(BINARY, &[0xff]).await;
    assert_eq!(raw.read_close(1003).await, NOT_UTF8);
    let seen = [
        "message visible",
        "error full",
        "message refuse",
        "error refused",
        "message rewrite",
        "error full",
        r#"message {"type":"x","id":1}"#,
        "message {",
        "message answer",
        "error unsupported_data",
    ];
    assert_eq!(*log.lock().unwrap(), seen);
}

#[derive(Clone)]
struct Fault(fn() -> HandlerError);

#[connect]
async fn refuse(State(fault): State<Fault>) -> Result {
    Err((fault.0)())
}

#[tokio::test]
async fn a_connect_handler_of_a_relay_that_fails_closes_the_connection_without_an_error_message() {
    fn fault() -> HandlerError {
        HandlerError::new("sign_in", "who are you?")
    }
    let relays = Router::new().routes(routes![relay, refuse]).state(Fault(fault));
    let server = TestServer::new(relays);
    assert_eq!(Raw::join(&server).await.read_close(1008).await, "sign_in");
    let messages = Router::new().routes(routes![relay, note, refuse]).state(Fault(fault));
    let server = TestServer::new(messages);
    let mut raw = Raw::join(&server).await;
    assert_eq!(raw.read_json().await["code"], "sign_in");
    assert_eq!(raw.read_close(1008).await, "sign_in");
}

#[test]
fn a_relay_that_takes_an_argument_only_messages_have_is_a_mistake() {
    #[fallback]
    async fn raw(_text: Text, _message: RawMessage) {}
    #[fallback]
    async fn id(_id: MessageId, _bytes: Bytes) {}
    #[fallback]
    async fn maybe(_frame: Frame, _id: Option<MessageId>) {}
    #[message("note")]
    async fn typed(_text: Text, _id: MessageId) {}
    let mistakes = |router| {
        Server::from(router)
            .build()
            .map_or_else(|error| error.mistakes().join(", "), |_| String::new())
    };
    for (routes, taken, other) in [
        (routes![raw], "Text", "RawMessage"),
        (routes![id], "Bytes", "MessageId"),
        (routes![maybe], "Frame", "Option<aiows::id::message::MessageId>"),
    ] {
        let found = mistakes(Router::new().routes(routes));
        assert!(found.contains(taken) && found.contains(other), "{found}");
        assert!(found.contains("no message"), "{found}");
    }
    assert_eq!(mistakes(Router::new().routes(routes![typed])), "");
}

/// Reports that it has begun, and fails when its connection is about to end.
#[fallback]
async fn late(
    ws: WebSocket,
    _: Text,
    State(fault): State<Fault>,
    State(begun): State<mpsc::Sender<()>>,
) -> Result {
    begun.send(()).await?;
    ws.closed().await;
    Err((fault.0)())
}

const FAULTS: [fn() -> HandlerError; 4] = [
    || HandlerError::new("full", "come back later").close(4001),
    || HandlerError::from("the storage is down").close(4002),
    || HandlerError::new("full", "come back later"),
    || HandlerError::from("the storage is down"),
];

#[tokio::test]
async fn during_a_stop_an_error_of_a_relay_closes_with_its_own_code_if_it_has_one() {
    for (fault, code) in FAULTS.into_iter().zip([4001, 4002, 1001, 1001]) {
        let (begun, begins) = mpsc::channel::<()>(1);
        let begins = tokio::sync::Mutex::new(begins);
        let router = || Router::new().routes(routes![late]).state(Fault(fault));
        over_both(
            || Server::from(router().state(begun.clone())),
            async |server| {
                let mut raw = Raw::join(&server).await;
                raw.send_text("hello").await;
                begins.lock().await.recv().await.unwrap();
                let stopped = tokio::spawn(server.shutdown(Duration::from_secs(5)));
                raw.read_close(code).await;
                raw.send_close(code, "").await;
                raw.expect_end().await;
                stopped.await.unwrap().unwrap();
            },
        )
        .await;
    }
}

#[tokio::test]
async fn an_error_of_a_relay_closes_with_its_code_even_if_the_client_has_closed() {
    for (fault, code) in FAULTS.into_iter().zip([4001, 4002, 1008, 1011]) {
        let (begun, _begins) = mpsc::channel::<()>(4);
        let router = || Router::new().routes(routes![late]).state(Fault(fault));
        over_both(
            || Server::from(router().state(begun.clone())),
            async |server| {
                let mut raw = Raw::join(&server).await;
                let close = masked(0x88, &close_payload(1000, "bye"));
                raw.write(&[masked(TEXT, b"hello"), close].concat()).await;
                raw.read_close(code).await;
                raw.expect_end().await;
            },
        )
        .await;
    }
}
