//! Requests that the server sends to a client, and how the client's answers are matched to them.

use std::time::Duration;

use aiows::error::{RequestError, SendError};
use aiows::extract::Frame;
use aiows::validator::Validate;
use aiows::{
    Limits, Message, Router, Server, State, WebSocket, connect, disconnect, fallback, message,
    routes,
};
use futures_util::FutureExt;
use futures_util::future::{join, join_all};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use super::kit::{TestServer, over_both};
use crate::raw::{Raw, close_payload, limits, masked};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;

/// Longer than any test that runs in real time.
const LONG: Duration = Duration::from_secs(3600);

#[derive(Message, Deserialize, Serialize)]
struct Question {
    n: u32,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize, Validate)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[validate(range(max = 100))]
    n: u32,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Note {
    n: u32,
}

#[message("note")]
async fn note(note: Note) -> Note {
    note
}

/// Sends one question, and answers with its result.
#[message("go")]
async fn go(ws: WebSocket) -> Value {
    described(&ws.request(&Question { n: 1 }, LONG).await)
}

#[message("twice")]
async fn twice(ws: WebSocket) -> Value {
    let first = described(&ws.request(&Question { n: 1 }, LONG).await);
    let second = described(&ws.request(&Question { n: 2 }, LONG).await);
    json!({ "both": [first, second] })
}

/// Sends three questions, and counts those that fail as congested.
#[message("thrice")]
async fn thrice(ws: WebSocket) -> Value {
    let mut failed = 0;
    for n in 2..=4 {
        let answer = ws.request::<Answer>(&Question { n }, LONG).await;
        failed += u32::from(matches!(answer, Err(RequestError::Congested)));
    }
    json!({ "failed": failed })
}

fn described(result: &Result<Answer, RequestError>) -> Value {
    match result {
        Ok(Answer { n }) => json!({ "answer": n }),
        Err(RequestError::Refused { code, message }) => json!({ "refused": [code, message] }),
        Err(RequestError::Invalid(error)) => {
            let paths: Vec<_> = error.fields().iter().map(|field| &field.path).collect();
            json!({ "invalid": error.code(), "fields": paths })
        }
        Err(error) => json!({ "failed": format!("{error:?}") }),
    }
}

fn server() -> Server {
    Router::new().routes(routes![go, twice, thrice, note]).into()
}

fn answer_text(number: u32, n: u32) -> String {
    format!(r#"{{"type":"answer","correlation_id":"s{number}","n":{n}}}"#)
}

fn notes(count: u32) -> Vec<u8> {
    (0..count).flat_map(|n| masked(TEXT, note_text(n).as_bytes())).collect()
}

fn note_text(n: u32) -> String {
    format!(r#"{{"type":"note","n":{n}}}"#)
}

async fn expect_notes(raw: &mut Raw, count: u32) {
    for n in 0..count {
        raw.expect_text(&note_text(n)).await;
    }
}

/// Joins, makes the server send a question, and receives it.
async fn join_and_receive_question(server: &TestServer) -> Raw {
    let mut raw = Raw::join(server).await;
    raw.send_text(r#"{"type":"go"}"#).await;
    raw.expect_text(r#"{"type":"question","id":"s1","n":1}"#).await;
    raw
}

#[derive(Clone)]
struct Kept(mpsc::Sender<WebSocket>);

#[connect]
async fn keep(ws: WebSocket, State(kept): State<Kept>) {
    kept.0.send(ws).await.unwrap();
}

/// A server that passes the handle of each connection to the test.
fn keeping(router: Router) -> (Server, mpsc::Receiver<WebSocket>) {
    let (sender, receiver) = mpsc::channel(8);
    (Server::from(router.routes(routes![keep, note]).state(Kept(sender))), receiver)
}

#[tokio::test]
async fn an_answer_goes_only_to_the_request_that_it_answers() {
    over_both(server, async |server| {
        let mut raw = join_and_receive_question(&server).await;
        // An answer with an id of its own gets no acknowledgement.
        raw.send_text(r#"{"id":9,"type":"answer","correlation_id":"s1","n":7}"#).await;
        raw.expect_text(r#"{"answer":7}"#).await;
        raw.send_text(r#"{"type":"go","id":8}"#).await;
        raw.expect_text(r#"{"type":"question","id":"s2","n":1}"#).await;
        raw.send(BINARY, answer_text(2, 8).as_bytes()).await;
        raw.expect_text(r#"{"answer":8,"correlation_id":8}"#).await;
        raw.send_text(&note_text(1)).await;
        raw.expect_text(&note_text(1)).await;
    })
    .await;
}

#[tokio::test]
async fn the_type_of_a_question_and_of_its_answer_is_under_the_router_s_tag() {
    let router = || Router::new().routes(routes![go]).tag("action").into();
    over_both(router, async |server| {
        let mut client = server.connect().await.tag("action");
        client.send_text(r#"{"action":"go"}"#).await;
        let (question, id) = client.recv_question::<Question>().await;
        assert_eq!((question.n, id.as_json()), (1, r#""s1""#));
        client.answer(id, &Answer { n: 3 }).await;
        assert_eq!(client.recv_json().await, json!({ "answer": 3 }));
    })
    .await;
}

#[tokio::test]
async fn an_answer_overtakes_queued_messages() {
    over_both(server, async |server| {
        let mut raw = join_and_receive_question(&server).await;
        raw.write(&[notes(40), masked(TEXT, answer_text(1, 7).as_bytes())].concat()).await;
        raw.expect_text(r#"{"answer":7}"#).await;
        expect_notes(&mut raw, 40).await;
    })
    .await;
}

#[tokio::test]
async fn a_question_that_is_sent_while_the_inbound_queue_is_full_is_answered() {
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"twice"}"#).await;
        raw.expect_text(r#"{"type":"question","id":"s1","n":1}"#).await;
        // More messages than the inbound queue holds if no question is pending.
        raw.write(&[notes(40), masked(TEXT, answer_text(1, 7).as_bytes())].concat()).await;
        raw.expect_text(r#"{"type":"question","id":"s2","n":2}"#).await;
        raw.send_text(&answer_text(2, 8)).await;
        raw.expect_text(r#"{"both":[{"answer":7},{"answer":8}]}"#).await;
        expect_notes(&mut raw, 40).await;
    })
    .await;
}

#[tokio::test]
async fn a_question_sent_from_outside_wakes_a_connection_that_has_stopped_reading() {
    static GATE: Notify = Notify::const_new();
    #[message("hold")]
    async fn hold() {
        GATE.notified().await;
    }
    for over_tcp in [true, false] {
        let (server, mut kept) = keeping(Router::new().routes(routes![hold]));
        let server = match over_tcp {
            true => TestServer::bind(server).await,
            false => TestServer::new(server),
        };
        let mut raw = Raw::join(&server).await;
        let ws = kept.recv().await.unwrap();
        raw.write(&[masked(TEXT, br#"{"type":"hold"}"#), notes(40)].concat()).await;
        let pending =
            tokio::spawn(async move { ws.request::<Answer>(&Question { n: 1 }, LONG).await });
        raw.expect_text(r#"{"type":"question","id":"s1","n":1}"#).await;
        raw.send_text(&answer_text(1, 7)).await;
        assert_eq!(pending.await.unwrap().unwrap(), Answer { n: 7 });
        GATE.notify_one();
        expect_notes(&mut raw, 40).await;
    }
}

fn narrow(change: impl FnOnce(&mut Limits)) -> Server {
    server().limits(limits(change))
}

#[tokio::test]
async fn any_number_of_messages_may_be_queued_before_an_answer() {
    over_both(
        || narrow(|limits| limits.inbound_messages = 4),
        async |server| {
            let mut raw = join_and_receive_question(&server).await;
            raw.write(&[notes(3000), masked(TEXT, answer_text(1, 7).as_bytes())].concat()).await;
            raw.expect_text(r#"{"answer":7}"#).await;
            expect_notes(&mut raw, 3000).await;

            // The second question is sent while earlier messages are still queued.
            raw.send_text(r#"{"type":"twice"}"#).await;
            raw.expect_text(r#"{"type":"question","id":"s2","n":1}"#).await;
            raw.write(&[notes(1000), masked(TEXT, answer_text(2, 7).as_bytes())].concat()).await;
            raw.expect_text(r#"{"type":"question","id":"s3","n":2}"#).await;
            raw.write(&masked(TEXT, answer_text(3, 8).as_bytes())).await;
            raw.expect_text(r#"{"both":[{"answer":7},{"answer":8}]}"#).await;
            expect_notes(&mut raw, 1000).await;
        },
    )
    .await;
}

#[tokio::test]
async fn messages_queued_before_an_answer_are_handled_unchanged() {
    #[fallback]
    async fn relay(ws: WebSocket, frame: Frame) -> aiows::Result {
        match frame {
            Frame::Text(text) => ws.send_text(&text).await?,
            Frame::Binary(bytes) => ws.send_binary(&bytes).await?,
        }
        Ok(())
    }
    over_both(
        || {
            Server::from(Router::new().routes(routes![go, relay]))
                .limits(limits(|limits| limits.inbound_messages = 1))
        },
        async |server| {
            let mut raw = join_and_receive_question(&server).await;
            let sizes = [0, 1, 4096, 4097, 0, 20_000, 70_000, 3, 4000, 4000, 4000, 4000, 4000, 9];
            let sent: Vec<(u8, Vec<u8>)> = sizes
                .iter()
                .zip(["a", "ä", "\u{ff}"].iter().cycle())
                .zip([TEXT, BINARY].into_iter().cycle())
                .map(|((size, text), first)| (first, text.repeat(*size).into_bytes()))
                .chain([(BINARY, vec![0xff, 0xfe])])
                .collect();
            for (first, payload) in &sent {
                raw.send(*first, payload).await;
            }
            raw.send_text(&answer_text(1, 7)).await;
            raw.expect_text(r#"{"answer":7}"#).await;
            for (number, (first, payload)) in sent.iter().enumerate() {
                let frame = raw.read_frame().await.unwrap();
                let length = frame.payload.len();
                assert_eq!((frame.first, length), (*first, payload.len()), "{number}");
                assert!(frame.payload == *payload, "{number}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_question_fails_if_too_many_bytes_are_queued_before_its_answer() {
    over_both(
        || narrow(|limits| limits.inbound_size = 100),
        async |server| {
            let mut raw = join_and_receive_question(&server).await;
            let long = |n: u32| format!(r#"{{"type":"note","n":{n},"x":"{}"}}"#, "x".repeat(20));
            // The last message may exceed the bound.
            for n in 0..3 {
                raw.send_text(&long(n)).await;
            }
            raw.expect_text(r#"{"failed":"Congested"}"#).await;
            expect_notes(&mut raw, 3).await;

            // The same number of bytes may be queued before a second question. A third one fails at
            // once.
            raw.send_text(r#"{"type":"thrice"}"#).await;
            for number in 2..=4 {
                raw.expect_text(&format!(r#"{{"type":"question","id":"s{number}","n":{number}}}"#))
                    .await;
                if number < 4 {
                    let three: Vec<_> = (0..3).map(|n| masked(TEXT, long(n).as_bytes())).collect();
                    raw.write(&three.concat()).await;
                }
            }
            raw.expect_text(r#"{"failed":3}"#).await;
            for _ in 0..2 {
                expect_notes(&mut raw, 3).await;
            }
        },
    )
    .await;
}

/// Each message takes two bytes for its length.
#[tokio::test]
async fn a_question_fails_if_too_many_empty_messages_are_queued_before_its_answer() {
    #[fallback]
    async fn discard(_frame: Frame) {}
    let narrow = limits(|limits| limits.inbound_size = 1000);
    over_both(
        || Server::from(Router::new().routes(routes![go, discard])).limits(narrow.clone()),
        async |server| {
            let mut raw = join_and_receive_question(&server).await;
            raw.write(&masked(BINARY, b"").repeat(40_000)).await;
            raw.expect_text(r#"{"failed":"Congested"}"#).await;
        },
    )
    .await;
}

#[tokio::test]
async fn messages_that_are_handled_meanwhile_do_not_raise_the_bound_of_a_question() {
    #[message("hold")]
    async fn hold() {
        std::future::pending().await
    }
    let (server, mut kept) = keeping(Router::new().routes(routes![hold]));
    let server = TestServer::new(server.limits(limits(|limits| limits.inbound_size = 1000)));
    let mut raw = Raw::join(&server).await;
    let ws = kept.recv().await.unwrap();
    let asked = async move { described(&ws.request(&Question { n: 1 }, LONG).await) };
    let asked = tokio::spawn(asked);
    raw.expect_text(r#"{"type":"question","id":"s1","n":1}"#).await;
    let long = masked(TEXT, json!({ "type": "note", "x": "x".repeat(600) }).to_string().as_bytes());
    raw.write(&[notes(1), masked(TEXT, br#"{"type":"hold"}"#), long.clone()].concat()).await;
    expect_notes(&mut raw, 1).await;
    raw.write(&long).await;
    let asked = timeout(Duration::from_secs(5), asked).await.expect("an outcome").unwrap();
    assert_eq!(asked, json!({ "failed": "Congested" }));
}

#[tokio::test]
async fn exactly_inbound_size_bytes_may_be_queued_before_an_answer() {
    over_both(
        || narrow(|limits| limits.inbound_size = 10 * note_text(0).len()),
        async |server| {
            let mut raw = join_and_receive_question(&server).await;
            raw.write(&[notes(10), masked(TEXT, answer_text(1, 7).as_bytes())].concat()).await;
            raw.expect_text(r#"{"answer":7}"#).await;
            expect_notes(&mut raw, 10).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_question_fails_if_one_byte_more_is_queued_before_its_answer() {
    over_both(
        || narrow(|limits| limits.inbound_size = 10 * note_text(0).len() - 1),
        async |server| {
            let mut raw = join_and_receive_question(&server).await;
            raw.write(&notes(10)).await;
            raw.expect_text(r#"{"failed":"Congested"}"#).await;
            expect_notes(&mut raw, 10).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_connect_handler_receives_the_answer_of_a_client_that_first_writes_many_messages() {
    #[connect]
    async fn greet(ws: WebSocket) -> aiows::Result<Value> {
        let Answer { n } = ws.request(&Question { n: 1 }, LONG).await?;
        Ok(json!({ "welcome": n }))
    }
    over_both(
        || Router::new().routes(routes![greet, note]).into(),
        async |server| {
            let mut raw = Raw::join(&server).await;
            raw.write(&[notes(5000), masked(TEXT, answer_text(1, 7).as_bytes())].concat()).await;
            raw.expect_text(r#"{"type":"question","id":"s1","n":1}"#).await;
            raw.expect_text(r#"{"welcome":7}"#).await;
            expect_notes(&mut raw, 5000).await;

            let mut raw = Raw::join(&server).await;
            let large = format!(r#"{{"type":"note","n":1,"x":"{}"}}"#, "x".repeat(262_144));
            raw.expect_text(r#"{"type":"question","id":"s1","n":1}"#).await;
            raw.send_text(&large).await;
            assert_eq!(raw.read_json().await["code"], "congested");
            assert_eq!(raw.read_close(1008).await, "congested");
        },
    )
    .await;
}

#[tokio::test]
async fn the_client_s_answer_is_validated() {
    over_both(server, async |server| {
        let mut client = server.connect().await;
        for (answer, outcome) in [
            (json!({ "type": "answer", "n": 100 }), json!({ "answer": 100 })),
            (
                json!({ "type": "answer", "n": "7" }),
                json!({ "invalid": "invalid_payload", "fields": ["n"] }),
            ),
            (
                json!({ "type": "answer", "n": 7, "x": 1 }),
                json!({ "invalid": "invalid_payload", "fields": ["x"] }),
            ),
            (
                json!({ "type": "answer", "n": 101 }),
                json!({ "invalid": "validation_failed", "fields": ["n"] }),
            ),
            (
                json!({ "type": "note", "n": 7 }),
                json!({ "invalid": "invalid_message", "fields": [] }),
            ),
            (json!({ "n": 7 }), json!({ "invalid": "invalid_message", "fields": [] })),
            (
                json!({ "type": "error", "code": "no", "message": "not now", "extra": [1] }),
                json!({ "refused": ["no", "not now"] }),
            ),
            (json!({ "type": "error" }), json!({ "refused": ["", ""] })),
            (
                json!({ "type": "error", "code": "c".repeat(65), "message": "m".repeat(100_000) }),
                json!({ "refused": ["c".repeat(64), "m".repeat(4096)] }),
            ),
            (
                json!({ "type": "error", "code": 7, "message": [1] }),
                json!({ "refused": ["7", ""] }),
            ),
        ] {
            client.send_text(r#"{"type":"go"}"#).await;
            let (_, id) = client.recv_question::<Question>().await;
            let mut text = answer;
            text["correlation_id"] = serde_json::to_value(id).unwrap();
            client.send_json(&text).await;
            assert_eq!(client.recv_json().await, outcome, "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_that_answers_no_pending_question_is_handled_as_a_message() {
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        // No question is pending yet.
        raw.send_text(&answer_text(1, 7)).await;
        assert_eq!(raw.read_json().await["code"], "unknown_type");
        raw.send_text(r#"{"type":"go"}"#).await;
        raw.expect_text(r#"{"type":"question","id":"s1","n":1}"#).await;
        let others = [
            r#"{"type":"note","n":0,"correlation_id":"s2"}"#,
            r#"{"type":"note","n":1,"correlation_id":1}"#,
            r#"{"type":"note","n":2,"correlation_id":"s1","correlation\u005fid":"s1"}"#,
            r#"{"type":"note","n":3,"x":{"correlation_id":"s1"}}"#,
        ];
        for other in others {
            raw.send_text(other).await;
        }
        raw.send_text(r#"{"type":"note","correlation_id":"s1""#).await;
        // Only the first of two answers counts, even if both arrive together.
        let both = [answer_text(1, 7), answer_text(1, 8)]
            .map(|text| masked(TEXT, text.as_bytes()))
            .concat();
        raw.write(&both).await;
        raw.expect_text(r#"{"answer":7}"#).await;
        expect_notes(&mut raw, 4).await;
        assert_eq!(raw.read_json().await["code"], "invalid_json");
        let second = raw.read_json().await;
        assert_eq!(
            (&second["code"], &second["message_type"]),
            (&json!("unknown_type"), &json!("answer"))
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_times_out() {
    #[message("soon")]
    async fn soon(ws: WebSocket) -> Value {
        let start = Instant::now();
        let result = ws.request(&Question { n: 1 }, Duration::from_millis(1500)).await;
        assert_eq!(start.elapsed().as_millis(), 1500);
        described(&result)
    }
    let server = TestServer::new(Router::new().routes(routes![soon, note]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"soon"}"#).await;
    let (_, id) = client.recv_question::<Question>().await;
    assert_eq!(client.recv_json().await, json!({ "failed": "Timeout" }));
    // The request has ended, so the answer is handled as a message.
    client.answer(id.clone(), &Answer { n: 1 }).await;
    let late = client.recv_json().await;
    assert_eq!((&late["code"], &late["message_type"]), (&json!("unknown_type"), &json!("answer")));
    client.answer(id, &Note { n: 5 }).await;
    assert_eq!(client.recv::<Note>().await, Note { n: 5 });
}

#[tokio::test(start_paused = true)]
async fn the_timeout_includes_the_wait_for_room_in_the_outbound_queue() {
    let (server, mut kept) = keeping(Router::new());
    let server = TestServer::new(server.limits(limits(|limits| limits.outbound_messages = 1)));
    let _raw = Raw::join(&server).await;
    let ws = kept.recv().await.unwrap();
    // The messages fill the stream and the queue.
    let large = "x".repeat(64 * 1024);
    while let Some(sent) = ws.send_text(&large).now_or_never() {
        sent.unwrap();
        tokio::task::yield_now().await;
    }
    let result = ws.request::<Answer>(&Question { n: 1 }, Duration::from_secs(1)).await;
    assert!(matches!(result, Err(RequestError::Timeout)), "{result:?}");
}

#[tokio::test]
async fn questions_may_be_answered_in_any_order() {
    let (server, mut kept) = keeping(Router::new());
    let server = TestServer::bind(server).await;
    let mut client = server.connect().await;
    let ws = kept.recv().await.unwrap();
    let questions = [1, 2, 3].map(|n| Question { n });
    let pending = questions.iter().map(|question| ws.request::<Answer>(question, LONG));
    let answering = async {
        let mut ids = Vec::new();
        for n in 1..=3 {
            let (question, id) = client.recv_question::<Question>().await;
            assert_eq!((question.n, id.as_json()), (n, &*format!(r#""s{n}""#)));
            ids.push((id, Answer { n: n * 10 }));
        }
        for (id, answer) in ids.into_iter().rev() {
            client.answer(id, &answer).await;
        }
    };
    let (answers, ()) = join(join_all(pending), answering).await;
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().n).collect();
    assert_eq!(answers, [10, 20, 30]);
}

#[tokio::test]
async fn the_number_of_pending_questions_is_bounded() {
    let (server, mut kept) = keeping(Router::new());
    let server = TestServer::new(server);
    let mut client = server.connect().await;
    let ws = kept.recv().await.unwrap();
    let send_question = |n| {
        let ws = ws.clone();
        tokio::spawn(async move { ws.request::<Answer>(&Question { n }, LONG).await })
    };
    let mut pending = Vec::new();
    for n in 0..64 {
        pending.push(send_question(n));
        assert_eq!(client.recv_question::<Question>().await.0.n, n);
    }
    let more = send_question(64).await.unwrap();
    assert!(matches!(more, Err(RequestError::TooMany)), "{more:?}");
    // A question that is dropped or answered makes room for another one.
    let dropped = pending.pop().unwrap();
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    client.answer("s1", &Answer { n: 1 }).await;
    assert_eq!(pending.remove(0).await.unwrap().unwrap(), Answer { n: 1 });
    for (n, id) in [(65, r#""s65""#), (66, r#""s66""#)] {
        pending.push(send_question(n));
        let (question, received) = client.recv_question::<Question>().await;
        assert_eq!((question.n, received.as_json()), (n, id));
    }
    let more = send_question(67).await.unwrap();
    assert!(matches!(more, Err(RequestError::TooMany)), "{more:?}");
    // The answer to the dropped question is handled as a message.
    client.answer("s64", &Answer { n: 1 }).await;
    assert_eq!(client.recv_json().await["code"], "unknown_type");
    drop(client);
    for ended in join_all(pending).await {
        assert!(matches!(ended.unwrap(), Err(RequestError::Closed)));
    }
}

#[tokio::test]
async fn connect_handlers_and_their_spawned_tasks_may_send_questions() {
    #[connect]
    async fn greet(ws: WebSocket) -> aiows::Result {
        let Answer { n } = ws.request(&Question { n: 1 }, LONG).await?;
        let client = ws.clone();
        ws.spawn(async move {
            let answer = client.request(&Question { n: n + 1 }, LONG).await;
            client.send_json(&described(&answer)).await.unwrap();
        });
        Ok(())
    }
    over_both(
        || Router::new().routes(routes![greet, note]).into(),
        async |server| {
            let mut client = server.connect().await;
            // The note waits for the connect handler. The answer does not.
            client.send(&Note { n: 9 }).await;
            let (_, id) = client.recv_question::<Question>().await;
            client.answer(id, &Answer { n: 4 }).await;
            // The two may arrive in either order.
            let (mut noted, mut answered) = (false, false);
            while !(noted && answered) {
                let message = client.recv_json().await;
                match message["type"].as_str() {
                    Some("note") => noted = true,
                    Some("question") => {
                        assert_eq!(message, json!({ "type": "question", "id": "s2", "n": 5 }));
                        client.answer("s2", &Answer { n: 6 }).await;
                    }
                    _ => {
                        assert_eq!(message, json!({ "answer": 6 }));
                        answered = true;
                    }
                }
            }
        },
    )
    .await;
}

type Outcomes = mpsc::Sender<RequestError>;

/// Reports the error of a question to the test and sends no answer to the client.
#[message("report")]
async fn report(ws: WebSocket, State(outcomes): State<Outcomes>) {
    let error = ws.request::<Answer>(&Question { n: 1 }, LONG).await.unwrap_err();
    outcomes.send(error).await.unwrap();
}

#[disconnect]
async fn request_after_end(ws: WebSocket, State(outcomes): State<Outcomes>) {
    let error = ws.request::<Answer>(&Question { n: 2 }, LONG).await.unwrap_err();
    outcomes.send(error).await.unwrap();
}

/// Ends a connection with a pending question. The requests of the message handler and of the
/// disconnect handler both fail with `Closed`.
async fn expect_closed(end: impl AsyncFn(&mut Raw, WebSocket)) {
    for over_tcp in [true, false] {
        let (outcomes, mut errors) = mpsc::channel(4);
        let router =
            Router::new().routes(routes![report, request_after_end]).state::<Outcomes>(outcomes);
        let (server, mut kept) = keeping(router);
        let server = match over_tcp {
            true => TestServer::bind(server).await,
            false => TestServer::new(server),
        };
        let mut raw = Raw::join(&server).await;
        let ws = kept.recv().await.unwrap();
        raw.send_text(r#"{"type":"report"}"#).await;
        raw.expect_text(r#"{"type":"question","id":"s1","n":1}"#).await;
        end(&mut raw, ws).await;
        for _ in 0..2 {
            let error = timeout(Duration::from_secs(5), errors.recv()).await.unwrap().unwrap();
            assert!(matches!(error, RequestError::Closed), "{error:?}");
        }
    }
}

#[tokio::test]
async fn the_end_of_a_connection_ends_its_questions() {
    expect_closed(async |raw, _| raw.send_close(1000, "bye").await).await;
    expect_closed(async |raw, _| raw.finish().await).await;
    expect_closed(async |raw, _| raw.send(0x83, b"no such frame").await).await;
    expect_closed(async |_, ws| ws.close(1000, "enough")).await;
}

#[tokio::test]
async fn a_stop_ends_pending_questions_and_is_not_forced() {
    over_both(server, async |server| {
        let mut raw = join_and_receive_question(&server).await;
        let stopping = tokio::spawn(server.shutdown(Duration::from_secs(5)));
        raw.expect_text(r#"{"failed":"Closed"}"#).await;
        assert_eq!(raw.read_close(1001).await, "Server shutdown");
        raw.send_close(1001, "").await;
        stopping.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_precedes_the_close_frame_is_accepted() {
    over_both(server, async |server| {
        let mut raw = join_and_receive_question(&server).await;
        let close = masked(CLOSE, &close_payload(1000, ""));
        raw.write(&[masked(TEXT, answer_text(1, 7).as_bytes()), close].concat()).await;
        raw.expect_text(r#"{"answer":7}"#).await;
        raw.read_close(1000).await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_has_left_gets_no_question() {
    over_both(server, async |server| {
        let mut raw = join_and_receive_question(&server).await;
        let more = masked(TEXT, br#"{"type":"go"}"#);
        let close = masked(CLOSE, &close_payload(1000, ""));
        raw.write(&[masked(TEXT, answer_text(1, 7).as_bytes()), more, close].concat()).await;
        raw.expect_text(r#"{"answer":7}"#).await;
        raw.expect_text(r#"{"failed":"Closed"}"#).await;
        raw.read_close(1000).await;
    })
    .await;
}

#[tokio::test]
async fn a_question_that_cannot_be_encoded_is_not_sent() {
    #[derive(Message)]
    struct Broken;
    impl Serialize for Broken {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str("no object")
        }
    }
    let (ws, mut sent) = aiows::testing::socket();
    let error = ws.request::<Answer>(&Broken, LONG).await.unwrap_err();
    assert!(matches!(error, RequestError::NotSent(SendError::Encode(_))), "{error:?}");
    assert_eq!(sent.texts(), [""; 0]);
    ws.close(1000, "");
    let error = ws.request::<Answer>(&Question { n: 1 }, LONG).await.unwrap_err();
    assert_eq!(error.to_string(), "the connection was closed before the client answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_sent_while_the_inbound_queue_fills_up_is_answered() {
    static GATE: Notify = Notify::const_new();
    #[message("hold")]
    async fn hold() {
        GATE.notified().await;
    }
    let (server, mut kept) = keeping(Router::new().routes(routes![hold]));
    let server =
        TestServer::bind(server.limits(limits(|limits| limits.inbound_messages = 4))).await;
    let mut raw = Raw::join(&server).await;
    let ws = kept.recv().await.unwrap();
    for number in 1..=2000 {
        let ws = ws.clone();
        let pending = async move { ws.request::<Answer>(&Question { n: number }, LONG).await };
        // The question is sent while the session reads the messages that fill its queue.
        raw.write(&[masked(TEXT, br#"{"type":"hold"}"#), notes(4)].concat()).await;
        let pending = tokio::spawn(pending);
        raw.expect_text(&format!(r#"{{"type":"question","id":"s{number}","n":{number}}}"#)).await;
        raw.send_text(&answer_text(number, 7)).await;
        assert_eq!(pending.await.unwrap().unwrap(), Answer { n: 7 });
        GATE.notify_one();
        expect_notes(&mut raw, 4).await;
    }
}
