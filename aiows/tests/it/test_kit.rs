//! The guarantees of the test kit.

use std::time::Duration;

use aiows::testing::{Refused, TestCall, TestServer, answer, next, socket};
use aiows::{
    DisconnectReason, Message, Result, Router, Server, State, WebSocket, disconnect, message,
    routes,
};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Instant, sleep, timeout};

use crate::raw::{Raw, echo_server, limits};

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Note {
    text: String,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Remark {
    text: String,
}

fn note() -> Note {
    Note { text: "hi".into() }
}

#[message("note")]
async fn echo(note: Note) -> Note {
    note
}

#[tokio::test]
async fn a_test_socket_accepts_as_many_messages_as_a_client_that_reads() {
    let (ws, mut sent) = socket();
    for number in 0..3000 {
        ws.send_text(&number.to_string()).now_or_never().expect("room").unwrap();
        ws.try_send(&note()).unwrap();
    }
    assert_eq!(sent.texts().len(), 6000);
    let large = "x".repeat(3 << 20);
    for _ in 0..2 {
        ws.send_text(&large).now_or_never().expect("room").unwrap();
    }
    assert_eq!(sent.texts(), [large.clone(), large]);
}

#[tokio::test]
async fn a_sent_message_can_be_taken_only_as_its_own_type() {
    let (ws, mut sent) = socket();
    ws.send(&note()).await.unwrap();
    ws.send(&note()).await.unwrap();
    assert_eq!(sent.take::<Note>(), Some(note()));
    let wrong = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sent.take::<Remark>()));
    let text = *wrong.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(
        text,
        r#"expected a message of type `remark`, the handler sent {"type":"note","text":"hi"}"#
    );
    assert_eq!(sent.take::<Note>(), None);
}

#[tokio::test]
async fn a_test_server_is_ready_when_it_is_created() {
    let server = TestServer::new(Router::new().routes(routes![echo]));
    assert!(server.handle().is_ready());
    assert_eq!(server.handle().ready().now_or_never(), Some(Vec::new()));
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    let bound = TestServer::bind(Server::from(Router::new())).await;
    assert_eq!(bound.handle().ready().now_or_never(), Some(vec![bound.address()]));
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Fill {
    size: usize,
}

/// Sends messages of 1,000 bytes.
#[message("fill")]
async fn fill(ws: WebSocket, fill: Fill) -> Result {
    for _ in 0..fill.size / 1000 {
        ws.send_text(&"x".repeat(1000)).await?;
    }
    Ok(())
}

fn ended() -> (TestServer, Receiver<DisconnectReason>) {
    let (ends, ended) = channel(1);
    let router = Router::new().routes(routes![echo, fill, note_end]).state(ends);
    (TestServer::new(router), ended)
}

#[disconnect]
async fn note_end(State(ends): State<Sender<DisconnectReason>>, reason: DisconnectReason) {
    ends.try_send(reason).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_answers_pings() {
    let (server, mut ended) = ended();
    let mut client = server.connect().await;
    let hour = Duration::from_secs(3600);
    assert!(timeout(hour, ended.recv()).await.is_err(), "the server dropped the client");
    client.send(&Fill { size: 15_000 }).await;
    assert!(
        timeout(hour, ended.recv()).await.is_err(),
        "the client did not answer pings with messages unread"
    );
    for _ in 0..15 {
        assert_eq!(client.recv_text().await, "x".repeat(1000));
    }
    client.send(&note()).await;
    assert_eq!(client.recv::<Note>().await, note());
    client.close(1000, "bye").await;
    assert!(matches!(ended.recv().await, Some(DisconnectReason::Peer { code: Some(_), .. })));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_answers_no_pings_until_it_receives() {
    let (server, mut ended) = ended();
    let mut client = server.connect().await;
    client.hang();
    assert!(timeout(Duration::from_secs(39), ended.recv()).await.is_err());
    client.expect_silence(Duration::from_secs(100)).await;
    client.hang();
    let start = Instant::now();
    assert_eq!(ended.recv().await, Some(DisconnectReason::Timeout));
    assert!(start.elapsed() <= Duration::from_secs(40), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_with_more_unread_messages_than_it_can_buffer_answers_no_pings() {
    let (server, mut ended) = ended();
    let mut client = server.connect().await;
    client.send(&Fill { size: 40_000 }).await;
    let reason = timeout(Duration::from_secs(41), ended.recv()).await.unwrap();
    assert_eq!(reason, Some(DisconnectReason::Timeout));
}

#[tokio::test]
async fn a_client_passes_frames_of_every_size_unchanged_with_pings_between_them() {
    let often = limits(|limits| limits.ping_interval = Duration::from_millis(1));
    let server = TestServer::bind(echo_server().limits(often)).await;
    let mut client = server.connect().await;
    for size in [0, 1, 125, 126, 127, 1023, 1024, 65_535, 65_536, 65_537, 200_000, 1 << 20] {
        let text = "y".repeat(size);
        client.send_text(&text).await;
        assert_eq!(client.recv_text().await, text, "{size}");
    }
    let refused = server.try_connect("/", &[("origin", "https://elsewhere.example")]).await;
    let Refused { status, body } = refused.unwrap_err();
    let expected = r#"{"error":{"code":"forbidden","message":"this origin may not connect"}}"#;
    assert_eq!((status, body.as_str()), (403, expected));
}

/// A client of the test kit or a raw one.
trait Client {
    async fn write_text(&mut self, text: &str);
}

impl Client for Raw {
    async fn write_text(&mut self, text: &str) {
        self.send_text(text).await;
    }
}

impl Client for aiows::testing::TestClient {
    async fn write_text(&mut self, text: &str) {
        self.send_text(text).await;
    }
}

/// Sends more than the server buffers while its handler is pending, and leaves without reading;
/// returns the disconnect reason that the server reports, and after how many seconds.
async fn reason_after_drop(
    mut client: impl Client,
    ended: &mut Receiver<DisconnectReason>,
) -> String {
    client.write_text(r#"{"type":"fill","size":3000000}"#).await;
    let text = "y".repeat(1000);
    while timeout(Duration::from_millis(1), client.write_text(&text)).await.is_ok() {}
    let start = Instant::now();
    drop(client);
    let reason = ended.recv().await;
    format!("{reason:?} after {} s", start.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_disconnects_even_if_it_has_not_read() {
    let (server, mut ended) = ended();
    let without_kit = reason_after_drop(Raw::join(&server).await, &mut ended).await;
    assert_eq!(reason_after_drop(server.connect().await, &mut ended).await, without_kit);
}

/// Sends 30 messages, then closes the connection.
#[message("end")]
async fn end(ws: WebSocket, fill: Fill) -> Result {
    for number in 0..30 {
        ws.send_text(&format!("{number}{}", "x".repeat(1000))).await?;
        sleep(Duration::from_millis(fill.size.try_into()?)).await;
    }
    ws.close(4000, "bye");
    Ok(())
}

#[tokio::test]
async fn a_client_receives_all_messages_that_the_server_sent_before_it_stopped() {
    let brief = limits(|limits| {
        limits.ping_interval = Duration::from_millis(50);
        limits.close_timeout = Duration::from_millis(50);
    });
    for (sends, is_bound) in [(false, false), (true, false), (true, true)] {
        let (ends, mut ended) = channel(1);
        let router = Router::new().routes(routes![end, note_end]).state(ends);
        let server = Server::from(router).limits(brief.clone());
        let server = match is_bound {
            true => TestServer::bind(server).await,
            false => TestServer::new(server),
        };
        let mut client = server.connect().await;
        // The server sends pings between the messages.
        client.send_json(&serde_json::json!({ "type": "end", "size": 5 })).await;
        assert!(matches!(ended.recv().await, Some(DisconnectReason::Closed { .. })));
        server.shutdown(Duration::from_secs(5)).await.unwrap();
        if sends {
            client.send_text("late").await;
        }
        for number in 0..30 {
            let expected = format!("{number}{}", "x".repeat(1000));
            assert_eq!(client.recv_text().await, expected, "{sends} {is_bound}");
        }
        assert_eq!(client.expect_closed(4000).await, "bye");
    }
}

#[tokio::test]
async fn the_answer_of_an_outcome_is_read_as_json() {
    let (ws, _sent) = socket();
    let call = || TestCall::message(&ws, r#"{"type":"note","id":1}"#).call();
    let answered = next(async |_| note()).run(call()).await.unwrap();
    let expected = json!({ "type": "note", "text": "hi", "correlation_id": 1 });
    assert_eq!((answered.is_empty(), answer(&answered)), (false, Some(expected)));
    let silent = next(async |_| ()).run(call()).await.unwrap();
    assert_eq!((silent.is_empty(), answer(&silent)), (true, None));
}
