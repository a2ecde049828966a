//! Shutdown: every client receives 1001, and every disconnect handler runs once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aiows::extract::Call;
use aiows::routing::Route;
use aiows::{
    DisconnectReason, HandlerError, Limits, Message, MessageId, Router, Server, ServerHandle,
    State, WebSocket, disconnect, message, routes,
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::kit::{TestServer, over_both};
use crate::raw::{REQUEST, Raw};

type Reasons = mpsc::Sender<DisconnectReason>;

#[disconnect]
async fn report(reason: DisconnectReason, State(reasons): State<Reasons>) {
    reasons.send(reason).await.unwrap();
}

#[tokio::test]
async fn every_client_receives_1001_and_every_disconnect_handler_runs_once() {
    let (reasons, mut ends) = mpsc::channel(200);
    let server = TestServer::bind(Router::new().routes(routes![report]).state(reasons)).await;
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(server.connect().await);
    }
    let handle = server.handle().clone();
    let stopped = tokio::spawn(server.shutdown(Duration::from_secs(5)));
    for client in &mut clients {
        assert_eq!(client.expect_closed(1001).await, "Server shutdown");
    }
    stopped.await.unwrap().unwrap();
    assert!(handle.is_shutting_down());
    let stats = handle.stats();
    assert_eq!((stats.active, stats.total), (0, 50));
    for _ in 0..50 {
        assert_eq!(ends.recv().await, Some(DisconnectReason::Shutdown));
    }
    drop(handle);
    assert_eq!(ends.try_recv().ok(), None);
}

#[tokio::test]
async fn a_handler_in_flight_is_answered_before_the_connection_closes() {
    let (started, mut starts) = mpsc::channel::<oneshot::Sender<()>>(1);
    let work = Route::message("work", move |_: Call| {
        let started = started.clone();
        async move {
            let (release, released) = oneshot::channel();
            started.send(release).await?;
            released.await?;
            Ok::<_, HandlerError>(json!({ "done": true }))
        }
    });
    let server = TestServer::bind(Router::new().route(work)).await;
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"work"}"#).await;
    let release = starts.recv().await.unwrap();
    let handle = server.handle().clone();
    let stopped = tokio::spawn(server.shutdown(Duration::from_secs(5)));
    while !handle.is_shutting_down() {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    assert_eq!(client.recv_json().await, json!({ "done": true }));
    assert_eq!(client.expect_closed(1001).await, "Server shutdown");
    stopped.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_handler_that_never_returns_is_cut_at_the_shutdown_timeout() {
    let (started, mut starts) = mpsc::channel(1);
    let hang = Route::message("hang", move |_: Call| {
        let started = started.clone();
        async move {
            started.send(()).await.unwrap();
            std::future::pending::<()>().await;
        }
    });
    let (reasons, mut ends) = mpsc::channel(4);
    let router = Router::new().route(hang).routes(routes![report]).state(reasons);
    let server = TestServer::bind(router).await;
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"hang"}"#).await;
    starts.recv().await.unwrap();
    let error = server.shutdown(Duration::from_millis(50)).await.unwrap_err();
    assert!(error.is_forced());
    assert_eq!(error.to_string(), "shutdown was forced, connections were cut");
    assert_eq!(ends.recv().await, Some(DisconnectReason::Shutdown));
}

#[tokio::test]
async fn a_pending_closing_handshake_is_cut_at_the_shutdown_timeout() {
    let leave = || {
        let router = Router::new().route(Route::message("leave", async |call: Call| {
            call.websocket().close(4000, "enough");
        }));
        Server::from(router)
    };
    over_both(leave, async |server| {
        // Neither client answers its close frame. One was closed before the stop, the other by it.
        let mut left = Raw::join(&server).await;
        left.send_text(r#"{"type":"leave"}"#).await;
        assert_eq!(left.read_close(4000).await, "enough");
        let mut open = Raw::join(&server).await;
        let started = Instant::now();
        let error = server.shutdown(Duration::from_millis(300)).await.unwrap_err();
        let elapsed = started.elapsed();
        assert!(error.is_forced(), "{error}");
        assert!(elapsed < Duration::from_millis(1000), "{elapsed:?}");
        left.expect_end().await;
        assert_eq!(open.read_close(1001).await, "Server shutdown");
        open.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn a_handler_can_await_the_shutdown_of_its_own_server() {
    #[message("stop")]
    async fn stop(server: ServerHandle, ws: WebSocket) -> aiows::Result<serde_json::Value> {
        ws.send_json(&json!({ "stopping": true })).await?;
        server.shutdown(Duration::from_secs(5)).await;
        Ok(json!({ "others": server.stats().active - 1 }))
    }
    let server = TestServer::bind(Router::new().routes(routes![stop])).await;
    let mut other = server.connect().await;
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"stop","id":1}"#).await;
    assert_eq!(client.recv_json().await, json!({ "stopping": true }));
    assert_eq!(other.expect_closed(1001).await, "Server shutdown");
    // The answer waits until all other connections have ended.
    assert_eq!(client.recv_json().await, json!({ "others": 0, "correlation_id": 1 }));
    assert_eq!(client.expect_closed(1001).await, "Server shutdown");
    server.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn a_handler_can_await_the_shutdown_on_a_handle_in_state() {
    #[message("stop")]
    async fn stop(State(server): State<ServerHandle>) -> serde_json::Value {
        server.shutdown(Duration::from_secs(5)).await;
        json!({ "stopped": true })
    }
    let server = TestServer::bind(Router::new().routes(routes![stop])).await;
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"stop"}"#).await;
    assert_eq!(client.recv_json().await, json!({ "stopped": true }));
    assert_eq!(client.expect_closed(1001).await, "Server shutdown");
    server.shutdown(Duration::from_secs(5)).await.unwrap();
}

#[tokio::test]
async fn the_shutdown_of_a_server_that_never_ran_completes_at_once() {
    Server::from(Router::new()).handle().shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_task_can_await_the_shutdown() {
    let (reasons, mut ends) = mpsc::channel(4);
    let server = TestServer::bind(Router::new().routes(routes![report]).state(reasons)).await;
    let handle = server.handle().clone();
    assert!(handle.is_ready());
    let mut client = server.connect().await;
    let stopped = handle.shutdown(Duration::from_secs(5));
    assert!(!handle.is_ready());
    assert_eq!(client.expect_closed(1001).await, "Server shutdown");
    stopped.await;
    assert_eq!(ends.try_recv(), Ok(DisconnectReason::Shutdown));
    assert_eq!(handle.stats().active, 0);
}

#[tokio::test(start_paused = true)]
async fn the_server_closes_many_connections_in_batches() {
    let (reasons, mut ends) = mpsc::channel(500);
    let server = TestServer::new(Router::new().routes(routes![report]).state(reasons));
    let mut clients = Vec::new();
    for _ in 0..250 {
        clients.push(server.connect().await);
    }
    let started = tokio::time::Instant::now();
    let stopped = tokio::spawn(server.shutdown(Duration::from_secs(30)));
    let closing = clients.into_iter().map(|mut client| {
        tokio::spawn(async move {
            client.expect_closed(1001).await;
            tokio::time::Instant::now()
        })
    });
    let mut times = Vec::new();
    for closed in closing.collect::<Vec<_>>() {
        times.push(closed.await.unwrap() - started);
    }
    stopped.await.unwrap().unwrap();
    times.sort();
    times.dedup_by_key(|time| time.as_millis());
    assert!((2..=3).contains(&times.len()), "{times:?}");
    assert!(times[times.len() - 1] <= Duration::from_millis(210), "{times:?}");
    for _ in 0..250 {
        assert_eq!(ends.recv().await, Some(DisconnectReason::Shutdown));
    }
}

#[tokio::test]
async fn under_load_the_server_answers_every_received_message_and_closes_every_client_with_1001() {
    const CLIENTS: usize = 200;
    static HANDLED: AtomicUsize = AtomicUsize::new(0);
    #[message("work")]
    async fn work(id: MessageId) -> serde_json::Value {
        tokio::task::yield_now().await;
        HANDLED.fetch_add(1, Ordering::SeqCst);
        json!({ "done": id })
    }
    let server = TestServer::bind(Router::new().routes(routes![work])).await;
    let (busy, mut all_busy) = mpsc::channel(CLIENTS);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut raw = Raw::open(&server).await;
        let busy = busy.clone();
        clients.push(tokio::spawn(async move {
            let mut answers = 0;
            for id in 0.. {
                raw.send_quietly(&format!(r#"{{"type":"work","id":{id}}}"#)).await;
                let frame = raw.read_frame().await.expect("an answer or a close frame");
                if frame.first == 0x88 {
                    assert_eq!(frame.payload, b"\x03\xe9Server shutdown");
                    return answers;
                }
                assert_eq!(frame.text(), format!(r#"{{"done":{id},"correlation_id":{id}}}"#));
                answers += 1;
                if id == 5 {
                    busy.send(()).await.unwrap();
                }
            }
            answers
        }));
    }
    for _ in 0..CLIENTS {
        all_busy.recv().await.unwrap();
    }
    let stopped = tokio::spawn(server.shutdown(Duration::from_secs(20)));
    let mut answers = 0;
    for client in clients {
        answers += client.await.unwrap();
    }
    stopped.await.unwrap().unwrap();
    assert_eq!(answers, HANDLED.load(Ordering::SeqCst));
}

#[tokio::test]
async fn unresponsive_clients_delay_a_stop_only_until_their_timeouts() {
    let flood = Route::message("flood", |call: Call| async move {
        let ws = call.websocket().clone();
        while ws.try_send(&Flood { text: "x".repeat(50_000) }).is_ok() {}
    });
    let mut limits = Limits::default();
    let short = Duration::from_millis(300);
    (limits.close_timeout, limits.write_timeout) = (short, short);
    let server = Server::from(Router::new().route(flood)).limits(limits);
    let server = TestServer::bind(server).await;
    // One client never answers the close frame, one never reads, and one is still in its handshake.
    let mut silent = Raw::open(&server).await;
    let mut stalled = Raw::open(&server).await;
    stalled.send_text(r#"{"type":"flood","id":1}"#).await;
    let mut late = Raw::dial(&server).await;
    late.write(b"GET / HTTP/1.1\r\n").await;
    silent.send_text(r#"{"type":"none"}"#).await;
    assert_eq!(silent.read_json().await["code"], "unknown_type");
    let started = Instant::now();
    server.shutdown(Duration::from_secs(20)).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(silent.read_close(1001).await, "Server shutdown");
    assert_eq!(late.read_answer().await.0, 503);
}

/// Set in a child process that the test stops by signals.
#[cfg(unix)]
const CHILD: &str = "AIOWS_TEST_CHILD";

/// Serves in a child process until it receives two signals, and prints the result of `run`.
#[cfg(unix)]
#[tokio::test]
async fn a_second_signal_forces_the_shutdown_that_the_first_started() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    if std::env::var_os(CHILD).is_some() {
        return serve_a_handler_that_hangs().await;
    }
    let name = "stop::a_second_signal_forces_the_shutdown_that_the_first_started";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    let signal =
        |name: &str| assert!(Command::new("kill").arg(name).arg(&pid).status().unwrap().success());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut line = |start: &str| lines.find_map(|line| Some(line.split_once(start)?.1.to_owned()));
    let address = line("serving ").unwrap().parse().unwrap();
    let mut client = connect(address).await;
    tokio::io::AsyncWriteExt::write_all(&mut client, REQUEST.as_bytes()).await.unwrap();
    line("hanging").unwrap();
    signal("-TERM");
    line("stopping").unwrap();
    signal("-INT");
    assert_eq!(line("returned ").unwrap(), "forced: true");
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[expect(clippy::print_stdout, reason = "the parent process reads it")]
async fn serve_a_handler_that_hangs() {
    let hang = Route::connect(|_: Call| async {
        println!("hanging");
        std::future::pending::<()>().await;
    });
    let server = Server::from(Router::new().route(hang));
    let handle = server.handle();
    tokio::spawn(async move {
        println!("serving {}", handle.ready().await[0]);
        while !handle.is_shutting_down() {
            tokio::task::yield_now().await;
        }
        println!("stopping");
    });
    let error = server.run("127.0.0.1:0").await.unwrap_err();
    println!("returned forced: {}", error.is_forced());
}

/// A process that keeps running after `run` has returned.
#[cfg(unix)]
struct Child {
    process: std::process::Child,
    lines: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

#[cfg(unix)]
impl Child {
    /// Runs a test of this module in a child process.
    fn start(test: &str, mode: &str) -> Self {
        use std::io::BufRead;
        let mut process = std::process::Command::new(std::env::current_exe().unwrap())
            .args([&format!("stop::{test}"), "--exact", "--nocapture"])
            .env(CHILD, mode)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = process.stdout.take().unwrap();
        Self { process, lines: std::io::BufReader::new(stdout).lines() }
    }

    fn expect(&mut self, line: &str) {
        let found = self.lines.by_ref().map(Result::unwrap).any(|found| found.contains(line));
        assert!(found, "{line}");
    }

    fn signal(&self, name: &str) {
        let pid = self.process.id().to_string();
        assert!(std::process::Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Returns the signal that ended the process, if any.
    fn ended_by(mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt;
        self.process.wait().unwrap().signal()
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_after_run_has_returned_ends_the_process() {
    const TEST: &str = "a_signal_after_run_has_returned_ends_the_process";
    if let Some(mode) = std::env::var_os(CHILD) {
        return serve_and_clean_up(mode.to_str().unwrap()).await;
    }
    for (mode, last, number) in [("once", "-INT", 2), ("once", "-TERM", 15), ("forced", "-INT", 2)]
    {
        let mut child = Child::start(TEST, mode);
        child.expect(if mode == "forced" { "hanging" } else { "serving" });
        child.signal("-TERM");
        if mode == "forced" {
            child.expect("stopping");
            child.signal("-TERM");
        }
        child.expect("returned");
        child.signal(last);
        assert_eq!(child.ended_by(), Some(number), "{mode} {last}");
    }
    // A second server in the process handles signals like the first.
    let mut child = Child::start(TEST, "twice");
    for _ in 0..2 {
        child.expect("serving");
        child.signal("-INT");
        child.expect("returned");
    }
    child.signal("-INT");
    assert_eq!(child.ended_by(), Some(2));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_program_that_handles_signals_itself_receives_them_after_run_has_returned() {
    const TEST: &str = "a_program_that_handles_signals_itself_receives_them_after_run_has_returned";
    if std::env::var_os(CHILD).is_some() {
        return serve_and_handle_signals().await;
    }
    let mut child = Child::start(TEST, "own");
    child.expect("serving");
    child.signal("-INT");
    child.expect("returned");
    child.signal("-INT");
    child.expect("own handler");
    // The program does not handle the other signal.
    child.signal("-TERM");
    assert_eq!(child.ended_by(), Some(15));
}

/// Serves until a signal arrives, and prints when the server is ready and when it has returned.
#[cfg(unix)]
#[expect(clippy::print_stdout, reason = "the parent process reads it")]
async fn serve_until_signalled(server: Server) {
    let handle = server.handle();
    let ready = async {
        handle.ready().await;
        println!("serving");
        std::future::pending::<()>().await;
    };
    tokio::select! {
        returned = server.run("127.0.0.1:0") => println!("returned {}", returned.is_ok()),
        () = ready => {}
    }
}

#[cfg(unix)]
#[expect(clippy::print_stdout, reason = "the parent process reads it")]
async fn serve_and_clean_up(mode: &str) {
    if mode == "forced" {
        let hang = Route::connect(|_: Call| async {
            println!("hanging");
            std::future::pending::<()>().await;
        });
        let server = Server::from(Router::new().route(hang));
        let handle = server.handle();
        tokio::spawn(async move {
            let mut client = connect(handle.ready().await[0]).await;
            tokio::io::AsyncWriteExt::write_all(&mut client, REQUEST.as_bytes()).await.unwrap();
            while !handle.is_shutting_down() {
                tokio::task::yield_now().await;
            }
            println!("stopping");
            std::future::pending::<()>().await;
        });
        serve_until_signalled(server).await;
    } else {
        serve_until_signalled(Router::new().into()).await;
    }
    if mode == "twice" {
        serve_until_signalled(Router::new().into()).await;
    }
    // The program takes some time to clean up.
    tokio::time::sleep(Duration::from_secs(20)).await;
}

#[cfg(target_os = "linux")]
#[expect(clippy::print_stdout, reason = "the parent process reads it")]
async fn serve_and_handle_signals() {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupts = signal(SignalKind::interrupt()).unwrap();
    serve_until_signalled(Router::new().into()).await;
    // The first signal has stopped the server.
    interrupts.recv().await;
    interrupts.recv().await;
    println!("own handler");
    tokio::time::sleep(Duration::from_secs(20)).await;
}

async fn connect(address: std::net::SocketAddr) -> tokio::net::TcpStream {
    tokio::net::TcpStream::connect(address).await.unwrap()
}

#[derive(Message, Serialize)]
struct Flood {
    text: String,
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_quotes_the_address() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = Server::from(Router::new()).run(&address).await.unwrap_err();
    assert!(error.is_bind() && error.is_io());
    assert_eq!(error.to_string(), format!("cannot listen on {address}"));
}

#[tokio::test]
async fn a_disconnect_handler_that_blocks_the_stop_runs_only_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let slow = Route::disconnect(move |_: Call| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { std::future::pending::<()>().await }
    });
    let server = TestServer::bind(Router::new().route(slow)).await;
    let _client = server.connect().await;
    let error = server.shutdown(Duration::from_millis(50)).await.unwrap_err();
    assert!(error.is_forced());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_listens_on_every_address_of_a_name_and_on_both_families_of_an_unspecified_one() {
    for (address, families) in [("localhost:0", 1..=2), ("[::]:0", 1..=1)] {
        let server = Server::from(Router::new());
        let handle = server.handle();
        let running = tokio::spawn(server.run(address));
        let bound = handle.ready().await;
        assert!(families.contains(&bound.len()), "{bound:?}");
        for served in bound {
            let local = match served.ip() {
                ip if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
                ip => ip,
            };
            let mut client = connect((local, served.port()).into()).await;
            tokio::io::AsyncWriteExt::write_all(&mut client, REQUEST.as_bytes()).await.unwrap();
            let mut answer = [0; 12];
            tokio::io::AsyncReadExt::read_exact(&mut client, &mut answer).await.unwrap();
            assert_eq!(&answer, b"HTTP/1.1 101");
        }
        handle.shutdown(Duration::from_secs(5)).await;
        running.await.unwrap().unwrap();
    }
}
