//! Log events and their levels, as the table in the guide lists them.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aiows::extract::Call;
use aiows::middleware::Middleware;
use aiows::{HandlerError, Message, Result, Router, connect, disconnect, message, routes};
use serde::Deserialize;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Event, Level, Metadata, Subscriber};

use super::kit::TestServer;

pub type Lines = Arc<Mutex<Vec<(Level, String)>>>;

struct Log(Lines);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("aiows")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push((*event.metadata().level(), line.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.push_str(&format!("{}={value:?} ", field.name()));
    }
}

/// Collects the log of this thread. The tests of this module run on a single thread.
pub fn log() -> (Lines, DefaultGuard) {
    let lines = Lines::default();
    (Arc::clone(&lines), set_default(Log(lines)))
}

/// Returns the levels of the lines that contain a text.
pub fn levels(lines: &Lines, text: &str) -> Vec<Level> {
    let lines = lines.lock().unwrap();
    lines.iter().filter(|(_, line)| line.contains(text)).map(|(level, _)| *level).collect()
}

#[message("fail")]
async fn fail() -> Result {
    Err("the storage is down")?
}

#[message("refuse")]
async fn refuse() -> Result {
    Err(HandlerError::new("full", "the room is full"))
}

#[tokio::test]
async fn a_client_does_not_control_the_length_of_a_log_line() {
    #[derive(Message, Deserialize)]
    struct Wrapped {
        json: String,
    }
    #[message("wrapped")]
    async fn wrapped(wrapped: Wrapped) -> Result {
        // The error of serde repeats the text that is not a number.
        serde_json::from_str::<u8>(&wrapped.json)?;
        Ok(())
    }
    #[message("visible")]
    async fn visible(wrapped: Wrapped) -> Result {
        Err(HandlerError::new("unknown", wrapped.json))
    }
    let (lines, _guard) = log();
    let server = TestServer::new(Router::new().routes(routes![wrapped, visible]));
    let mut client = server.connect().await;
    let text = serde_json::to_string(&"ä".repeat(100_000)).unwrap();
    for kind in ["wrapped", "visible"] {
        client.send_json(&json!({ "type": kind, "json": text })).await;
        assert_eq!(client.recv_json().await["type"], "error");
    }
    assert_eq!(levels(&lines, "ää"), [Level::ERROR, Level::DEBUG]);
    let lines = lines.lock().unwrap();
    assert!(lines.iter().all(|(_, line)| line.len() < 5_000), "{:.500}", format!("{lines:?}"));
}

#[tokio::test]
async fn an_internal_error_is_logged_with_its_id_and_a_visible_one_at_debug_level() {
    let (lines, _guard) = log();
    let server = TestServer::new(Router::new().routes(routes![fail, refuse]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"refuse"}"#).await;
    assert_eq!(client.recv_json().await["code"], "full");
    client.send_text(r#"{"type":"unknown"}"#).await;
    assert_eq!(client.recv_json().await["code"], "unknown_type");
    client.send_text("nonsense").await;
    assert_eq!(client.recv_json().await["code"], "invalid_json");
    assert_eq!(levels(&lines, "the room is full"), [Level::DEBUG]);
    assert_eq!(levels(&lines, "listening"), [Level::INFO]);
    assert!(lines.lock().unwrap().iter().all(|(level, _)| *level >= Level::INFO), "{lines:?}");
    client.send_text(r#"{"type":"fail"}"#).await;
    let id = client.recv_json().await["error_id"].as_str().unwrap().to_owned();
    assert_eq!(levels(&lines, &id), [Level::ERROR]);
    assert_eq!(levels(&lines, "error=the storage is down"), [Level::ERROR]);
    let line = lines.lock().unwrap().last().unwrap().1.clone();
    assert!(line.contains("connection=") && line.contains("log::fail`"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn a_connect_handler_that_does_not_return_is_logged_before_it_times_out() {
    #[connect]
    async fn endless() {
        std::future::pending().await
    }
    let (lines, _guard) = log();
    let server = TestServer::new(Router::new().routes(routes![endless]));
    let mut client = server.connect().await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert!(levels(&lines, "endless").is_empty());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(levels(&lines, "endless"), [Level::WARN]);
    let line = lines.lock().unwrap().last().unwrap().1.clone();
    assert!(line.contains("connection=") && line.contains("ws.spawn"), "{line}");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(client.expect_closed(1013).await, "Connect timed out");
    assert_eq!(levels(&lines, "endless"), [Level::WARN, Level::WARN]);
}

#[tokio::test(start_paused = true)]
async fn refused_connections_slow_disconnect_handlers_and_cut_connections_are_logged() {
    #[connect]
    async fn shut() -> Result {
        Err(HandlerError::new("shut", "come back tomorrow"))
    }
    #[disconnect(always)]
    async fn linger() {
        std::future::pending().await
    }
    let (lines, _guard) = log();
    let server = TestServer::new(Router::new().routes(routes![shut, linger]));
    let mut client = server.connect().await;
    assert_eq!(client.recv_json().await["code"], "shut");
    assert_eq!(client.expect_closed(1008).await, "shut");
    assert!(levels(&lines, "connect refused").contains(&Level::WARN));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(levels(&lines, "a handler was cut before it returned"), [Level::WARN]);

    let server = TestServer::new(Router::new().routes(routes![linger]));
    let _client = server.connect().await;
    assert!(server.shutdown(Duration::from_secs(1)).await.unwrap_err().is_forced());
    assert_eq!(levels(&lines, "stopping"), [Level::INFO]);
    assert_eq!(levels(&lines, "connections are cut"), [Level::WARN]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_consumer_is_logged_as_a_warning_and_a_client_that_has_left_is_not() {
    #[message("flood")]
    async fn flood(ws: aiows::WebSocket) -> Result {
        let chunk = "x".repeat(100_000);
        loop {
            ws.send_text(&chunk).await?;
        }
    }
    #[message("tick")]
    async fn tick(ws: aiows::WebSocket) -> Result {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            ws.send_text("tick").await?;
        }
    }
    let (lines, _guard) = log();
    let server = TestServer::new(Router::new().routes(routes![flood, tick]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"tick"}"#).await;
    drop(client);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(levels(&lines, "the client left while"), [Level::DEBUG]);
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"flood"}"#).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(levels(&lines, "slow consumer"), [Level::WARN, Level::DEBUG]);
}

/// Makes the server send a hundred messages while the client does not read. Then reads the
/// remaining ones, and returns how many were dropped.
async fn stall(client: &mut aiows::testing::TestClient) -> usize {
    client.send_text(r#"{"type":"lines"}"#).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    for received in 1.. {
        if client.recv_json().await["n"] == 99 {
            return 100 - received;
        }
    }
    unreachable!()
}

#[tokio::test(start_paused = true)]
async fn dropped_messages_are_logged_when_the_drops_begin_and_counted_when_they_end() {
    #[message("lines")]
    async fn lines(ws: aiows::WebSocket) -> Result {
        for n in 0..100 {
            ws.send(&Line { n, text: "x".repeat(10_000) }).await?;
        }
        Ok(())
    }
    #[derive(aiows::Message, serde::Serialize)]
    struct Line {
        n: u32,
        text: String,
    }
    let (lines_logged, _guard) = log();
    let mut limits = aiows::Limits::default();
    limits.overflow = aiows::messages::Overflow::DropOldest;
    limits.outbound_messages = 10;
    let router = Router::new().routes(routes![lines]);
    let server = TestServer::new(aiows::Server::from(router).limits(limits));
    let mut client = server.connect().await;
    let dropped = stall(&mut client).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(dropped > 10, "{dropped}");
    let counted = format!("policy=\"drop_oldest\" dropped={dropped} ");
    assert_eq!(levels(&lines_logged, "dropping messages"), [Level::WARN]);
    assert_eq!(levels(&lines_logged, "messages dropped"), [Level::WARN]);
    assert_eq!(levels(&lines_logged, &counted), [Level::WARN]);
    // A client that stalls again and again does not fill the log.
    let mut again = 0;
    for _ in 0..20 {
        again += stall(&mut client).await;
    }
    assert_eq!(levels(&lines_logged, "messages").len(), 2);
    tokio::time::sleep(Duration::from_secs(2)).await;
    again += stall(&mut client).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let counted = format!("policy=\"drop_oldest\" dropped={again} ");
    assert_eq!(levels(&lines_logged, &counted), [Level::WARN]);
    assert_eq!(levels(&lines_logged, "messages dropped").len(), 2);
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn a_panicking_page_is_logged_with_the_id_that_the_client_receives() {
    let (lines, _guard) = log();
    // Unlike `panic!`, this prints no message to the standard error.
    let page = async || -> &'static str { std::panic::resume_unwind(Box::new("no luck")) };
    let pages = axum::Router::new().route("/page", axum::routing::get(page));
    let server = TestServer::new(crate::raw::echo_server().http(pages));
    let mut raw = crate::raw::Raw::reach(&server).await;
    raw.write(b"GET /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let (status, _, body) = raw.read_answer().await;
    assert_eq!(status, 500, "{body}");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let id = body["error"]["error_id"].as_str().unwrap();
    assert_eq!(levels(&lines, id), [Level::ERROR]);
    assert_eq!(levels(&lines, "no luck"), [Level::ERROR]);
}

/// The environment variable that marks the process that runs out of descriptors.
#[cfg(target_os = "linux")]
const FEW_FILES: &str = "AIOWS_TEST_FEW_FILES";

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_server_without_descriptors_logs_one_error_and_pauses_longer_and_longer() {
    if std::env::var_os(FEW_FILES).is_some() {
        return run_out_of_descriptors().await;
    }
    let test = "log::a_server_without_descriptors_logs_one_error_and_pauses_longer_and_longer";
    let script = format!("ulimit -n 60; exec \"$0\" {test} --exact --nocapture");
    let run = tokio::process::Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .env(FEW_FILES, "1")
        .output();
    let output = run.await.unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
}

#[cfg(target_os = "linux")]
async fn run_out_of_descriptors() {
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{sleep, timeout};
    let mut listeners = Vec::new();
    for _ in 0..2 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let addresses: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
    let app = aiows::Server::from(Router::new()).build().unwrap();
    let (lines, _guard) = log();
    tokio::spawn(app.serve(listeners));
    let mut clients = Vec::new();
    for address in addresses.iter().cycle() {
        // Each client takes a descriptor, and the server takes another one for it.
        let Ok(client) = TcpStream::connect(address).await else { break };
        clients.push(client);
        tokio::task::yield_now().await;
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(levels(&lines, "connections cannot be accepted"), [Level::ERROR]);
    assert_eq!(levels(&lines, "connections are accepted again").len(), 0);
    clients.clear();
    for address in &addresses {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    let accepted = async {
        while levels(&lines, "connections are accepted again").is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(5), accepted).await.expect("the server accepts connections again");
    assert_eq!(levels(&lines, "connections cannot be accepted"), [Level::ERROR]);
    // The pauses are 50, 100, 200, 400, 800 and 1000 ms. At most five fit into the time for each
    // listener.
    let lines = lines.lock().unwrap();
    let (_, again) = lines.iter().find(|(_, line)| line.contains("accepted again")).unwrap();
    let failed = again.split("failed=").nth(1).unwrap().trim().parse::<u64>().unwrap();
    assert!((1..=14).contains(&failed), "{again}");
}

#[tokio::test]
async fn an_internal_error_is_logged_once_wherever_it_arises() {
    struct Audit;
    impl Middleware for Audit {
        async fn on_error(&self, _: &Call, error: HandlerError) -> HandlerError {
            match error.code() {
                "full" => "the audit log is down".into(),
                _ => error,
            }
        }
    }
    let (lines, _guard) = log();
    let router = Router::new().routes(routes![fail, refuse]).middleware(Audit);
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    for (request, cause) in
        [("refuse", "error=the audit log is down"), ("fail", "error=the storage is down")]
    {
        client.send_json(&json!({ "type": request })).await;
        let answer = client.recv_json().await;
        assert_eq!(answer["code"], "internal");
        let id = answer["error_id"].as_str().unwrap();
        assert_eq!(levels(&lines, id), [Level::ERROR], "{request}");
        assert_eq!(levels(&lines, cause), [Level::ERROR], "{request}");
    }
}

#[tokio::test]
async fn the_beginning_and_the_end_of_a_connection_are_logged_at_debug_level() {
    let (lines, _guard) = log();
    let server = TestServer::new(Router::new().routes(routes![fail]));
    let client = server.connect().await;
    assert_eq!(levels(&lines, "message=connected "), [Level::DEBUG]);
    assert!(levels(&lines, "message=disconnected ").is_empty());
    drop(client);
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!(levels(&lines, "message=connected "), [Level::DEBUG]);
    assert_eq!(levels(&lines, "message=disconnected "), [Level::DEBUG]);
}

/// A burst of drops has the policy of its first one. The second burst ends with the connection.
#[tokio::test(start_paused = true)]
async fn drops_are_logged_with_their_policy_even_if_the_connection_ends_before_the_client_reads() {
    #[derive(Clone, aiows::Message, serde::Serialize)]
    struct Line {
        n: u32,
        text: String,
    }
    #[derive(Clone, aiows::Message, serde::Serialize)]
    #[aiows(delivery = "drop_newest")]
    struct Hint {
        text: String,
    }
    #[message("lines")]
    async fn lines(ws: aiows::WebSocket) -> Result {
        for n in 0..100 {
            ws.send(&Line { n, text: "x".repeat(10_000) }).await?;
        }
        Ok(())
    }
    #[message("hints")]
    async fn hints(ws: aiows::WebSocket) -> Result {
        for _ in 0..100 {
            ws.send(&Hint { text: "x".repeat(10_000) }).await?;
        }
        Ok(ws.send(&Line { n: 0, text: "x".repeat(10_000) }).await?)
    }
    let (lines_logged, _guard) = log();
    let mut limits = aiows::Limits::default();
    limits.overflow = aiows::messages::Overflow::DropOldest;
    limits.outbound_messages = 10;
    let router = Router::new().routes(routes![lines, hints]);
    let server = TestServer::new(aiows::Server::from(router).limits(limits));
    let mut client = server.connect().await;
    assert!(stall(&mut client).await > 10);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(levels(&lines_logged, "policy=\"drop_oldest\" dropped=").len(), 1);
    client.send_text(r#"{"type":"hints"}"#).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(levels(&lines_logged, "policy=\"drop_newest\" dropped=").is_empty());
    assert!(server.shutdown(Duration::from_secs(1)).await.unwrap_err().is_forced());
    assert_eq!(levels(&lines_logged, "policy=\"drop_newest\" dropped="), [Level::WARN]);
    assert_eq!(levels(&lines_logged, "policy=\"drop_oldest\" dropped=").len(), 1);
}
