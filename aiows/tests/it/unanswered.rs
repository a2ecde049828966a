//! Questions that get no answer and sends that wait for room: the client receives an error, even
//! during a stop, and the server logs no errors.

use std::fmt;
use std::time::Duration;

use aiows::error::RequestError;
use aiows::extract::Call;
use aiows::middleware::{Middleware, Next};
use aiows::routing::Outcome;
use aiows::{
    HandlerError, Limits, Message, Result, Router, Server, State, Text, WebSocket, connect,
    fallback, message, routes,
};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinHandle, yield_now};
use tracing::Level;

use super::kit::{TestServer, over_both};
use super::log::{Lines, log};
use crate::raw::{Raw, limits};

const CLOSE: u8 = 0x88;

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3600);

#[derive(Message, Deserialize, Serialize)]
struct Question {}

#[derive(Message, Deserialize, Serialize)]
struct Answer {
    n: u32,
}

async fn question(ws: &WebSocket) -> Result<u32, RequestError> {
    let Answer { n } = ws.request(&Question {}, LONG).await?;
    Ok(n)
}

#[message("go")]
async fn go(ws: WebSocket) -> Result<Value> {
    Ok(json!({ "answer": question(&ws).await? }))
}

/// An application's error that wraps the error of a question.
#[derive(Debug)]
struct Unconfirmed(RequestError);

impl fmt::Display for Unconfirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client did not confirm")
    }
}

impl std::error::Error for Unconfirmed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[message("wrapped")]
async fn wrapped(ws: WebSocket) -> Result<Value> {
    Ok(json!({ "answer": question(&ws).await.map_err(Unconfirmed)? }))
}

#[message("soon")]
async fn soon(ws: WebSocket) -> Result<Value> {
    let Answer { n } = ws.request(&Question {}, Duration::from_secs(1)).await?;
    Ok(json!({ "answer": n }))
}

fn expect_no_errors(lines: &Lines) {
    let lines = lines.lock().unwrap();
    let errors: Vec<_> = lines.iter().filter(|(level, _)| *level == Level::ERROR).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_failed_question_determines_the_code_that_the_client_receives() {
    let (lines, _guard) = log();
    let server = TestServer::new(Router::new().routes(routes![go, soon, wrapped]));
    let mut client = server.connect().await;
    let refusal = json!({ "type": "error", "code": "secret", "message": "secret" });
    for (name, answer, code) in [
        ("go", refusal.clone(), "question_refused"),
        ("wrapped", refusal, "question_refused"),
        ("go", json!({ "type": "answer", "n": "secret" }), "invalid_answer"),
        ("go", json!({ "type": "secret" }), "invalid_answer"),
        ("soon", Value::Null, "no_answer"),
    ] {
        client.send_json(&json!({ "type": name, "id": 1 })).await;
        let (_, id) = client.recv_question::<Question>().await;
        let mut answer = answer;
        if answer.is_object() {
            answer["correlation_id"] = serde_json::to_value(id).unwrap();
            client.send_json(&answer).await;
        }
        let error = client.recv_json().await;
        assert_eq!((&error["code"], &error["correlation_id"]), (&json!(code), &json!(1)));
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let lines = lines.lock().unwrap();
    let loud: Vec<_> = lines.iter().filter(|(level, _)| *level < Level::INFO).collect();
    assert!(loud.is_empty(), "{loud:?}");
    assert!(!format!("{lines:?}").contains("secret"), "{lines:?}");
}

#[test]
fn the_error_of_a_failed_question_can_be_downcast_from_a_handler_error() {
    let error = HandlerError::from(Unconfirmed(RequestError::TooMany));
    assert_eq!((error.code(), error.error_id()), ("too_many_questions", None));
    assert!(error.downcast_ref::<Unconfirmed>().is_some());
    let error =
        HandlerError::from(anyhow::Error::from(RequestError::Congested).context("question"));
    assert_eq!((error.code(), error.error_id()), ("congested", None));
    // `anyhow` hides the type of an error without context.
    let error = HandlerError::from(anyhow::Error::from(RequestError::Congested));
    assert_eq!(error.code(), "internal");
    let error = HandlerError::from(aiows::error::SendError::Full);
    assert_eq!((error.code(), error.status_code()), ("queue_full", 403));
    let error = HandlerError::from(aiows::error::SendError::Closed);
    assert_eq!((error.code(), error.status_code()), ("unavailable", 503));
    assert_eq!(HandlerError::from(aiows::error::SendError::NoRoom).code(), "internal");
}

#[tokio::test]
async fn a_connect_handler_whose_question_is_refused_closes_with_the_error_code() {
    #[connect]
    async fn greet(ws: WebSocket) -> Result {
        question(&ws).await?;
        Ok(())
    }
    let (lines, _guard) = log();
    let server = TestServer::new(Router::new().routes(routes![greet]));
    let mut client = server.connect().await;
    let (_, id) = client.recv_question::<Question>().await;
    client.send_json(&json!({ "type": "error", "correlation_id": id })).await;
    assert_eq!(client.recv_json().await["code"], "question_refused");
    assert_eq!(client.expect_closed(1008).await, "question_refused");
    expect_no_errors(&lines);
}

/// Starts a stop, and returns once it is in progress.
async fn stopping(server: TestServer, within: Duration) -> JoinHandle<Result<(), aiows::Error>> {
    let handle = server.handle().clone();
    let stopped = tokio::spawn(server.shutdown(within));
    while !handle.is_shutting_down() {
        yield_now().await;
    }
    stopped
}

/// Stops a server while its handler waits for an answer. Expects that the client receives these
/// errors and 1001.
async fn expect_1001(server: impl Fn() -> Server, send: &str, errors: &[&str]) {
    over_both(server, async |server| {
        let (lines, _guard) = log();
        let mut raw = Raw::join(&server).await;
        if !send.is_empty() {
            raw.send_text(send).await;
        }
        raw.expect_text(r#"{"type":"question","id":"s1"}"#).await;
        let stopped = stopping(server, Duration::from_secs(1)).await;
        for error in errors {
            raw.expect_text(error).await;
        }
        assert_eq!(raw.read_close(1001).await, "Server shutdown");
        raw.send_close(1001, "").await;
        stopped.await.unwrap().unwrap();
        expect_no_errors(&lines);
    })
    .await;
}

const UNAVAILABLE: &str =
    r#"{"type":"error","code":"unavailable","message":"the connection is closing"}"#;

fn unavailable(message_type: &str) -> String {
    format!(
        r#"{{"type":"error","correlation_id":1,"code":"unavailable","message":"the connection is closing","message_type":"{message_type}"}}"#
    )
}

#[tokio::test]
async fn a_stop_answers_a_request_whose_handler_waits_for_its_client() {
    for name in ["go", "wrapped"] {
        let send = format!(r#"{{"type":"{name}","id":1}}"#);
        let server = || Server::from(Router::new().routes(routes![go, wrapped]));
        expect_1001(server, &send, &[&unavailable(name)]).await;
    }
}

#[tokio::test]
async fn a_stop_while_a_room_check_waits_for_an_answer_refuses_the_join() {
    #[message("enter")]
    async fn enter(ws: WebSocket) -> Result {
        ws.join("red").await?;
        Ok(())
    }
    let server = || {
        Server::from(Router::new().routes(routes![enter])).check_rooms(async |_, ws: WebSocket| {
            question(&ws).await?;
            Ok::<(), HandlerError>(())
        })
    };
    expect_1001(server, r#"{"type":"enter","id":1}"#, &[&unavailable("enter")]).await;
}

#[tokio::test]
async fn a_stop_in_the_connect_stage_closes_with_1001() {
    #[connect]
    async fn greet(ws: WebSocket) -> Result {
        question(&ws).await?;
        Ok(())
    }
    #[connect]
    async fn never() {
        panic!("the handler before has failed");
    }
    let server = || Server::from(Router::new().routes(routes![greet, never]));
    expect_1001(server, "", &[UNAVAILABLE]).await;
}

#[tokio::test]
async fn a_stop_in_the_connect_stage_closes_with_1001_whatever_error_the_handler_returns() {
    #[connect]
    async fn login(ws: WebSocket) -> Result {
        let token = question(&ws).await;
        token.map(drop).map_err(|_| HandlerError::new("unauthorized", "log in first"))
    }
    let server = || Server::from(Router::new().routes(routes![login]));
    let error = r#"{"type":"error","code":"unauthorized","message":"log in first"}"#;
    expect_1001(server, "", &[error]).await;
}

struct Login {
    /// Whether it returns the error of the question.
    fails: bool,
}

impl Middleware for Login {
    async fn on_connect(&self, call: Call, next: Next) -> Result<Outcome> {
        match question(call.websocket()).await {
            Ok(_) => next.run(call).await,
            Err(error) if self.fails => Err(error.into()),
            Err(_) => Ok(Outcome::default()),
        }
    }
}

#[tokio::test]
async fn a_stop_while_connect_middleware_waits_for_an_answer_closes_with_1001() {
    for (fails, errors) in [(true, &[UNAVAILABLE][..]), (false, &[])] {
        let server = || Server::from(Router::new().middleware(Login { fails }));
        expect_1001(server, "", errors).await;
    }
}

#[tokio::test]
async fn a_stop_while_a_relay_waits_for_its_client_closes_with_1001() {
    #[fallback]
    async fn relay(ws: WebSocket, _text: Text) -> Result {
        question(&ws).await?;
        Ok(())
    }
    let server = || Server::from(Router::new().routes(routes![relay]));
    expect_1001(server, "no JSON", &[]).await;
}

/// Receives an event when a send finds the queue full.
type Full = mpsc::Sender<()>;

async fn flood(ws: &WebSocket, full: &Full) -> Result {
    let large = "x".repeat(50_000);
    loop {
        let mut send = Box::pin(ws.send_text(&large));
        match (&mut send).now_or_never() {
            Some(sent) => sent?,
            None => {
                let _ = full.try_send(());
                send.await?;
            }
        }
        yield_now().await;
    }
}

#[message("flood")]
async fn flood_of_messages(ws: WebSocket, State(full): State<Full>) -> Result {
    flood(&ws, &full).await
}

#[connect]
async fn flood_at_once(ws: WebSocket, State(full): State<Full>) -> Result {
    flood(&ws, &full).await
}

/// Stops a server while its handler waits for room in the queue. Expects that the client receives
/// the error after the queued messages.
async fn expect_error_of_flood(server: impl Fn(Full) -> Server, send: &str) {
    let (full, is_full) = mpsc::channel(1);
    let is_full = Mutex::new(is_full);
    let server = || {
        server(full.clone()).limits(limits(|limits: &mut Limits| limits.outbound_size = 200_000))
    };
    over_both(server, async |server| {
        let (lines, _guard) = log();
        let mut raw = Raw::join(&server).await;
        if !send.is_empty() {
            raw.send_text(send).await;
        }
        is_full.lock().await.recv().await.unwrap();
        let stopped = stopping(server, Duration::from_secs(2)).await;
        // The client does not read until its handler has returned.
        while !lines.lock().unwrap().iter().any(|(_, line)| line.contains("the client left while"))
        {
            yield_now().await;
        }
        let mut last = String::new();
        let close = loop {
            let frame = raw.read_frame().await.expect("a close frame");
            if frame.first == CLOSE {
                break frame;
            }
            last = frame.text().to_owned();
        };
        assert_eq!(close.payload, b"\x03\xe9Server shutdown");
        let expected = if send.is_empty() { UNAVAILABLE.to_owned() } else { unavailable("flood") };
        assert_eq!(last, expected);
        raw.send_close(1001, "").await;
        stopped.await.unwrap().unwrap();
        expect_no_errors(&lines);
        let _ = is_full.lock().await.try_recv();
    })
    .await;
}

#[tokio::test]
async fn a_stop_while_a_handler_waits_for_room_answers_its_request_and_closes_with_1001() {
    let server = |full| Router::new().routes(routes![flood_of_messages]).state::<Full>(full).into();
    expect_error_of_flood(server, r#"{"type":"flood","id":1}"#).await;
}

#[tokio::test]
async fn a_stop_while_a_connect_handler_waits_for_room_closes_with_1001() {
    let server = |full| Router::new().routes(routes![flood_at_once]).state::<Full>(full).into();
    expect_error_of_flood(server, "").await;
}

#[tokio::test]
async fn a_client_that_leaves_while_a_connect_handler_waits_for_an_answer_is_not_logged_as_a_failure()
 {
    #[connect]
    async fn greet(ws: WebSocket) -> Result {
        question(&ws).await?;
        Ok(())
    }
    over_both(
        || Router::new().routes(routes![greet]).into(),
        async |server| {
            let (lines, _guard) = log();
            let mut raw = Raw::join(&server).await;
            raw.expect_text(r#"{"type":"question","id":"s1"}"#).await;
            raw.send_close(1000, "bye").await;
            raw.expect_text(UNAVAILABLE).await;
            assert_eq!(raw.read_close(1000).await, "bye");
            let lines = lines.lock().unwrap();
            assert!(lines.iter().all(|(level, _)| *level >= Level::INFO), "{lines:?}");
        },
    )
    .await;
}
