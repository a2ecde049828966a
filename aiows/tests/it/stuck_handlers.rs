//! The log names each handler that is cut or does not return, and each future that panics, once and
//! with its connection.

use std::time::Duration;

use aiows::extract::Call;
use aiows::middleware::{Middleware, Next};
use aiows::routing::Outcome;
use aiows::{
    HandlerError, Limits, Message, Result, Router, Server, State, WebSocket, connect, disconnect,
    message, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::Level;

use super::kit::{TestServer, over_both};
use super::log::{Lines, log};
use crate::raw::{Raw, limits};

const SECOND: Duration = Duration::from_secs(1);

/// Returns the warnings and errors that contain a text.
fn loud(lines: &Lines, text: &str) -> Vec<String> {
    let lines = lines.lock().unwrap();
    let loud = lines.iter().filter(|(level, line)| *level <= Level::WARN && line.contains(text));
    loud.map(|(level, line)| format!("{level} {line}")).collect()
}

/// Expects a single line for the handler: a warning that it was cut after this many seconds.
#[track_caller]
fn expect_cut(lines: &Lines, handler: &str, seconds: u64) {
    let found = loud(lines, handler);
    let [line] = &found[..] else { panic!("{handler}: {found:?}") };
    for text in
        ["WARN ", "was cut before it returned", "connection=0000", &format!("ran={seconds}")]
    {
        assert!(line.contains(text), "{text}: {line}");
    }
}

#[message("hold")]
async fn hold(ws: WebSocket) -> Result {
    ws.send_text("holding").await?;
    std::future::pending().await
}

#[message("quit")]
async fn quit(ws: WebSocket) {
    ws.close(4000, "enough");
    std::future::pending().await
}

fn server() -> TestServer {
    TestServer::new(Router::new().routes(routes![hold, quit]))
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_cut_after_its_client_has_left_is_logged_once() {
    let (lines, _guard) = log();
    let server = server();
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"hold"}"#).await;
    assert_eq!(client.recv_text().await, "holding");
    sleep(2 * SECOND).await;
    drop(client);
    sleep(60 * SECOND).await;
    // The first warning came after 10 s. The handler was cut 10 s after its client had left.
    let found = loud(&lines, "::hold`");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("has not returned"), "{found:?}");
    assert!(found[1].contains("was cut") && found[1].contains("ran=12"), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_cut_after_its_own_close_is_logged_once() {
    let (lines, _guard) = log();
    let mut limits = Limits::default();
    limits.close_timeout = 3 * SECOND;
    let server = Server::from(Router::new().routes(routes![quit])).limits(limits);
    let server = TestServer::new(server);
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"quit"}"#).await;
    assert_eq!(client.expect_closed(4000).await, "enough");
    sleep(60 * SECOND).await;
    expect_cut(&lines, "::quit`", 3);
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_cut_because_its_client_is_silent_is_logged_once() {
    let (lines, _guard) = log();
    let server =
        Server::from(Router::new().routes(routes![hold])).limits(limits(|limits: &mut Limits| {
            limits.ping_interval = 2 * SECOND;
            limits.ping_timeout = SECOND;
        }));
    let server = TestServer::new(server);
    let mut raw = Raw::join(&server).await;
    raw.send_text(r#"{"type":"hold"}"#).await;
    sleep(60 * SECOND).await;
    expect_cut(&lines, "::hold`", 3);
}

#[tokio::test]
async fn a_handler_that_is_cut_at_the_deadline_of_a_shutdown_is_logged_once() {
    #[connect]
    async fn greet(ws: WebSocket) -> Result {
        if ws.context().get::<u8>().is_none() {
            return Ok(());
        }
        std::future::pending().await
    }
    over_both(
        || Router::new().routes(routes![greet, hold]).into(),
        async |server| {
            let (lines, _guard) = log();
            let mut raw = Raw::join(&server).await;
            raw.send_text(r#"{"type":"hold"}"#).await;
            raw.expect_text("holding").await;
            let stopped = tokio::spawn(server.shutdown(Duration::from_millis(500)));
            assert_eq!(raw.read_close(1001).await, "Server shutdown");
            assert!(stopped.await.unwrap().unwrap_err().is_forced());
            expect_cut(&lines, "::hold`", 5);
        },
    )
    .await;
}

type Begun = mpsc::Sender<()>;

#[connect]
async fn first() {}

#[connect]
async fn hang_at_once(State(begun): State<Begun>) {
    begun.send(()).await.unwrap();
    std::future::pending().await
}

#[connect]
async fn never() {
    unreachable!("the handler before this one has not returned");
}

struct Around;

impl Middleware for Around {
    async fn on_connect(&self, call: Call, next: Next) -> Result<Outcome> {
        next.run(call).await
    }

    async fn on_disconnect(&self, call: Call, next: Next) -> Result<Outcome> {
        next.run(call).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_connect_handler_that_is_cut_is_logged_once_even_inside_middleware() {
    let router = || Router::new().routes(routes![first, hang_at_once, never]);
    for router in
        [router(), router().middleware(Around), Router::new().include(router()).middleware(Around)]
    {
        let (lines, _guard) = log();
        let (begun, mut has_begun) = mpsc::channel(1);
        let server = TestServer::new(router.state::<Begun>(begun));
        let client = server.connect().await;
        has_begun.recv().await.unwrap();
        sleep(SECOND / 2).await;
        let stopped = server.shutdown(4 * SECOND).await;
        assert!(stopped.unwrap_err().is_forced());
        expect_cut(&lines, "hang_at_once`", 4);
        assert!(loud(&lines, "::first`").is_empty() && loud(&lines, "::never`").is_empty());
        drop(client);
    }
}

#[tokio::test(start_paused = true)]
async fn middleware_that_is_cut_is_logged_with_the_handler_it_wraps() {
    struct Hangs;
    impl Middleware for Hangs {
        async fn on_connect(&self, _: Call, _: Next) -> Result<Outcome> {
            std::future::pending().await
        }
    }
    let (lines, _guard) = log();
    let router = Router::new().routes(routes![first]).middleware(Hangs);
    let server = TestServer::new(router);
    let _client = server.connect().await;
    sleep(SECOND / 10).await;
    assert!(server.shutdown(3 * SECOND).await.unwrap_err().is_forced());
    expect_cut(&lines, "::first` (", 3);
    expect_cut(&lines, "or the middleware around", 3);
}

#[tokio::test(start_paused = true)]
async fn a_message_handler_that_does_not_return_is_logged_once() {
    let (lines, _guard) = log();
    let server = server();
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"hold"}"#).await;
    assert_eq!(client.recv_text().await, "holding");
    sleep(Duration::from_millis(9990)).await;
    assert!(loud(&lines, "::hold`").is_empty());
    sleep(Duration::from_millis(20)).await;
    let found = loud(&lines, "::hold`");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("WARN ") && found[0].contains("connection=0000"), "{found:?}");
    assert!(found[0].contains("a message handler has not returned for 10 s"), "{found:?}");
    // The client still answers pings, so the connection stays open.
    sleep(300 * SECOND).await;
    assert_eq!(loud(&lines, "::hold`").len(), 1);
}

#[derive(Message, Deserialize, Serialize)]
struct Confirm {}

#[derive(Message, Deserialize, Serialize)]
struct Confirmed {}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_for_its_client_is_not_logged() {
    #[message("confirm")]
    async fn confirm(ws: WebSocket) -> Result {
        let _: Confirmed = ws.request(&Confirm {}, 60 * SECOND).await?;
        sleep(15 * SECOND).await;
        Ok(())
    }
    let (lines, _guard) = log();
    let server = TestServer::new(Router::new().routes(routes![confirm]));
    let mut client = server.connect().await;
    client.send_json(&json!({ "type": "confirm", "id": 1 })).await;
    let (_, id) = client.recv_question::<Confirm>().await;
    sleep(25 * SECOND).await;
    assert!(loud(&lines, "").is_empty(), "{lines:?}");
    client.answer(id, &Confirmed {}).await;
    sleep(12 * SECOND).await;
    assert_eq!(client.recv_json().await["type"], "ack");
    // The check after 30 s found that the handler no longer waits for its client.
    assert_eq!(loud(&lines, "::confirm`").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_room_check_that_does_not_return_is_logged_once() {
    #[message("enter")]
    async fn enter(ws: WebSocket) -> Result {
        ws.join("red").await?;
        Ok(())
    }
    let (lines, _guard) = log();
    let server = Server::from(Router::new().routes(routes![enter])).check_rooms(async |_, _| {
        sleep(120 * SECOND).await;
        Ok::<(), HandlerError>(())
    });
    let server = TestServer::new(server);
    let mut client = server.connect().await;
    client.send_json(&json!({ "type": "enter", "id": 1 })).await;
    sleep(118 * SECOND).await;
    assert_eq!(client.recv_json().await["type"], "ack");
    let found = loud(&lines, "a room check has not returned for 10 s");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("connection=0000") && found[0].contains(r#"room="red""#),
        "{found:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_room_check_that_does_not_return_during_a_handshake_is_logged() {
    let (lines, _guard) = log();
    let check = async |_, _| std::future::pending::<Result<(), HandlerError>>().await;
    let router = Router::new().join_from_path("room");
    let server = TestServer::new(Server::new().route("/{room}", router).check_rooms(check));
    let mut raw = Raw::reach(&server).await;
    let request = crate::raw::REQUEST.replacen("GET / ", "GET /red ", 1);
    raw.write(request.as_bytes()).await;
    sleep(8 * SECOND).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 503 "));
    let found = loud(&lines, "a room check took too long for a handshake");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("connection=0000") && found[0].contains("red"), "{found:?}");
}

/// Panics when it is dropped.
struct Bomb(&'static str);

impl Drop for Bomb {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::panic::resume_unwind(Box::new(self.0));
        }
    }
}

#[tokio::test]
async fn a_panic_in_a_spawned_future_is_logged_when_it_happens() {
    #[message("spawn")]
    async fn spawn(ws: WebSocket) {
        ws.spawn(async { std::panic::resume_unwind(Box::new("no luck")) });
        let bomb = Bomb("dropped at its end");
        ws.spawn(async move { drop(bomb) });
        let bomb = Bomb("dropped with its connection");
        ws.spawn(async move {
            std::future::pending::<()>().await;
            drop(bomb);
        });
    }
    over_both(
        || Router::new().routes(routes![spawn]).into(),
        async |server| {
            let (lines, _guard) = log();
            let mut raw = Raw::join(&server).await;
            raw.send_text(r#"{"type":"spawn","id":1}"#).await;
            raw.expect_text(r#"{"type":"ack","correlation_id":1}"#).await;
            for text in ["no luck", "dropped at its end", "dropped with its connection"] {
                if text.ends_with("connection") {
                    assert!(loud(&lines, text).is_empty());
                    raw.send_close(1000, "").await;
                }
                while loud(&lines, text).is_empty() {
                    yield_now().await;
                }
                let found = loud(&lines, text);
                let [line] = &found[..] else { panic!("{found:?}") };
                for text in
                    ["ERROR ", "connection=0000", "error_id=", "a future given to `ws.spawn`"]
                {
                    assert!(line.contains(text), "{text}: {line}");
                }
            }
        },
    )
    .await;
}

/// Middleware that drops a message handler after a second.
struct Mined;

impl Middleware for Mined {
    async fn on_connect(&self, call: Call, next: Next) -> Result<Outcome> {
        next.run(call).await
    }

    async fn on_message(&self, call: Call, next: Next) -> Result<Outcome> {
        tokio::select! {
            outcome = next.run(call) => outcome,
            () = sleep(SECOND) => Err(HandlerError::new("late", "x".repeat(5000))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_log_line_about_a_connection_has_its_id() {
    #[connect]
    async fn greet(ws: WebSocket) {
        ws.context().insert(std::sync::Arc::new(Bomb("of the context")));
    }
    #[message("mine")]
    async fn mine() {
        let _bomb = Bomb("of a handler");
        std::future::pending::<()>().await;
    }
    #[message("fail")]
    async fn fail() -> Result {
        Err("no luck")?
    }
    #[disconnect]
    async fn linger() {
        let _bomb = Bomb("of a disconnect handler");
        std::future::pending::<()>().await;
    }
    let (lines, _guard) = log();
    let router = Router::new().routes(routes![greet, mine, fail, hold, linger]).middleware(Mined);
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"mine"}"#).await;
    assert_eq!(client.recv_json().await["code"], "late");
    client.send_text(r#"{"type":"fail"}"#).await;
    assert_eq!(client.recv_json().await["code"], "internal");
    client.send_text("nonsense").await;
    assert_eq!(client.recv_json().await["code"], "invalid_json");
    client.close(1000, "").await;
    sleep(60 * SECOND).await;
    let lines = lines.lock().unwrap();
    for text in ["of a handler", "of a disconnect", "a value of a connection", "too large"] {
        assert!(lines.iter().any(|(_, line)| line.contains(text)), "{text}: {lines:?}");
    }
    let known = ["listening"];
    for (_, line) in lines.iter().filter(|(_, line)| !known.iter().any(|text| line.contains(text)))
    {
        assert!(line.contains("connection=0000"), "{line}");
    }
}
