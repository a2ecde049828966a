//! The ends of connections, and the reasons that disconnect handlers receive.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::{Instant, timeout};

use aiows::error::SendError;
use aiows::extract::Call;
use aiows::routing::Route;
use aiows::{CloseCode, DisconnectReason, HandlerError, Router, Server, WebSocket};

use super::kit::{TestServer, over_both};
use crate::raw::{REQUEST, Raw, close_payload, echo_server, ends, limits, masked};

const TEXT: u8 = 0x81;

fn left(code: Option<u16>, reason: &str) -> DisconnectReason {
    DisconnectReason::Peer { code: code.map(CloseCode::from), reason: reason.to_owned() }
}

fn closed(code: u16, reason: &str) -> DisconnectReason {
    DisconnectReason::Closed { code: code.into(), reason: reason.to_owned() }
}

/// Returns a router with a handler for `leave` that closes with this code and reason.
fn closing(code: u16, reason: &str) -> Router {
    let reason = reason.to_owned();
    Router::new().route(Route::message("leave", move |call: Call| {
        call.websocket().close(code, &reason);
        async {}
    }))
}

/// Sends `leave`, and completes the closing handshake.
async fn leave(server: &TestServer) -> (u16, String) {
    let mut raw = Raw::join(server).await;
    raw.send_text(r#"{"type":"leave"}"#).await;
    let frame = raw.read_frame().await.expect("a close frame");
    assert_eq!(frame.first, 0x88);
    let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
    let reason = String::from_utf8(frame.payload[2..].to_vec()).unwrap();
    raw.send_close(code, "").await;
    raw.expect_end().await;
    (code, reason)
}

#[tokio::test]
async fn a_handler_closes_with_its_code_and_reason() {
    let (ends, ended) = ends();
    over_both(
        || ends.watch(closing(4000, "see you")),
        async |server| {
            assert_eq!(leave(&server).await, (4000, "see you".to_owned()));
            assert_eq!(ended.next().await, closed(4000, "see you"));
        },
    )
    .await;
}

#[tokio::test]
async fn queued_messages_precede_a_close_and_later_sends_fail() {
    let (sender, receiver) = mpsc::channel(4);
    let receiver = Mutex::new(receiver);
    let server = || {
        let sender = sender.clone();
        Server::from(Router::new().route(Route::message("leave", move |call: Call| {
            let (sender, ws) = (sender.clone(), call.websocket().clone());
            async move {
                for n in 0..100 {
                    ws.send_text(&n.to_string()).await.unwrap();
                }
                assert!(!ws.is_closed());
                ws.close(1000, "first");
                ws.close(4000, "second");
                let late = ws.send_text("late").await;
                sender.send((ws.is_closed(), late)).await.unwrap();
                json!({"type": "answer", "late": true})
            }
        })))
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"leave"}"#).await;
        for n in 0..100 {
            raw.expect_text(&n.to_string()).await;
        }
        assert_eq!(raw.read_close(1000).await, "first");
        raw.send_close(1000, "").await;
        raw.expect_end().await;
        let (is_closed, late) = receiver.lock().await.recv().await.unwrap();
        assert!(is_closed);
        assert!(matches!(late, Err(SendError::Closed)), "{late:?}");
    })
    .await;
}

/// Returns a router with a handler for `hang` that sends its handle to the test and never returns.
fn hanging(sender: &mpsc::Sender<WebSocket>) -> Router {
    let sender = sender.clone();
    Router::new().route(Route::message("hang", move |call: Call| {
        let (sender, ws) = (sender.clone(), call.websocket().clone());
        async move {
            sender.send(ws).await.unwrap();
            std::future::pending::<()>().await;
        }
    }))
}

#[tokio::test]
async fn another_task_can_close_a_connection_while_its_handler_is_pending() {
    let (sender, receiver) = mpsc::channel(1);
    let receiver = Mutex::new(receiver);
    let (ends, ended) = ends();
    let hasty = limits(|limits| limits.close_timeout = Duration::from_millis(100));
    over_both(
        || ends.watch(hanging(&sender)).limits(hasty.clone()),
        async |server| {
            let mut raw = Raw::join(&server).await;
            raw.send_text(r#"{"type":"hang"}"#).await;
            let ws = receiver.lock().await.recv().await.unwrap();
            ws.send_text("before").await.unwrap();
            ws.close(1000, "from outside");
            raw.expect_text("before").await;
            assert_eq!(raw.read_close(1000).await, "from outside");
            raw.send_close(1000, "").await;
            raw.expect_end().await;
            assert_eq!(ended.next().await, closed(1000, "from outside"));
            assert!(matches!(ws.send_text("late").await, Err(SendError::Closed)));
        },
    )
    .await;
}

#[tokio::test]
async fn another_task_can_close_an_idle_connection() {
    let (sender, receiver) = mpsc::channel(1);
    let receiver = Mutex::new(receiver);
    let server = || {
        let sender = sender.clone();
        Server::from(Router::new().route(Route::connect(move |call: Call| {
            let (sender, ws) = (sender.clone(), call.websocket().clone());
            async move { sender.send(ws).await.unwrap() }
        })))
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        let ws = receiver.lock().await.recv().await.unwrap();
        ws.close(1000, "idle");
        assert_eq!(raw.read_close(1000).await, "idle");
        raw.send_close(1000, "").await;
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn a_message_after_one_that_closed_the_connection_is_not_handled() {
    let handled = Arc::new(AtomicUsize::new(0));
    let server = || {
        let handled = Arc::clone(&handled);
        Server::from(closing(1000, "").route(Route::message("more", move |_| {
            handled.fetch_add(1, Ordering::Relaxed);
            async {}
        })))
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        let (leave, more) =
            (masked(TEXT, br#"{"type":"leave"}"#), masked(TEXT, br#"{"type":"more"}"#));
        raw.write(&[more.clone(), leave, more.repeat(5)].concat()).await;
        assert_eq!(raw.read_close(1000).await, "");
        assert_eq!(handled.swap(0, Ordering::Relaxed), 1);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_sends_messages_before_it_answers_a_close_does_not_delay_the_end() {
    let (ends, ended) = ends();
    over_both(
        || ends.watch(closing(1000, "bye")),
        async |server| {
            let mut raw = Raw::join(&server).await;
            raw.send_text(r#"{"type":"leave"}"#).await;
            assert_eq!(raw.read_close(1000).await, "bye");
            let (talk, close) = (masked(TEXT, b"{}"), masked(0x88, &[0x03, 0xe8]));
            raw.write(&[talk, close].concat()).await;
            raw.expect_end().await;
            assert_eq!(ended.next().await, closed(1000, "bye"));
            server.shutdown(Duration::from_secs(1)).await.unwrap();
        },
    )
    .await;
}

#[tokio::test]
async fn a_client_close_frame_behind_many_messages_answers_a_close_by_the_server() {
    let (ends, ended) = ends();
    over_both(
        || ends.watch(closing(1000, "bye")),
        async |server| {
            let mut raw = Raw::join(&server).await;
            let leave = masked(TEXT, br#"{"type":"leave"}"#);
            let close = masked(0x88, &[0x03, 0xe8]);
            raw.write(&[leave, masked(TEXT, b"{}").repeat(200), close].concat()).await;
            assert_eq!(raw.read_close(1000).await, "bye");
            raw.expect_end().await;
            assert_eq!(ended.next().await, closed(1000, "bye"));
        },
    )
    .await;
}

#[tokio::test]
async fn a_long_close_reason_is_truncated_between_characters() {
    let long = "é".repeat(100);
    over_both(
        || Server::from(closing(1000, &long)),
        async |server| {
            assert_eq!(leave(&server).await, (1000, "é".repeat(61)));
        },
    )
    .await;
}

#[tokio::test]
async fn a_close_code_that_must_not_be_sent_becomes_1011() {
    for code in [0, 1004, 1005, 1006, 1015, 2999, 5000] {
        let server = TestServer::new(closing(code, "why"));
        assert_eq!(leave(&server).await, (1011, "why".to_owned()), "{code}");
    }
}

#[tokio::test]
async fn an_error_that_closes_the_connection_is_sent_before_the_close_frame() {
    let (ends, ended) = ends();
    let server = || {
        ends.watch(Router::new().route(Route::message("leave", |_| async {
            Err::<(), _>(HandlerError::new("banned", "you are banned").close(4403))
        })))
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"leave","id":7}"#).await;
        let error = json!({
            "type": "error",
            "correlation_id": 7,
            "code": "banned",
            "message": "you are banned",
            "message_type": "leave",
        });
        assert_eq!(raw.read_json().await, error);
        assert_eq!(raw.read_close(4403).await, "you are banned");
        raw.send_close(4403, "").await;
        raw.expect_end().await;
        assert_eq!(ended.next().await, closed(4403, "you are banned"));
    })
    .await;
}

#[tokio::test]
async fn a_failed_connect_handler_closes_with_an_error_id_and_no_message_is_handled() {
    let handled = Arc::new(AtomicUsize::new(0));
    let (ends, ended) = ends();
    let server = || {
        let handled = Arc::clone(&handled);
        let router = Router::new()
            .route(Route::connect(|_| async { Err::<(), &str>("a secret") }))
            .route(Route::message("more", move |_| {
                handled.fetch_add(1, Ordering::Relaxed);
                async {}
            }));
        ends.watch(router)
    };
    over_both(server, async |server| {
        let mut raw = Raw::reach(&server).await;
        let more = masked(TEXT, br#"{"type":"more"}"#);
        raw.write(&[REQUEST.as_bytes(), &more].concat()).await;
        assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
        let reason = raw.read_close(1011).await;
        let id = reason.strip_prefix("Internal error ").expect("an error id");
        assert!(!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        raw.send_close(1011, "").await;
        raw.expect_end().await;
        assert_eq!(ended.next().await, DisconnectReason::ConnectFailed);
        assert_eq!(handled.load(Ordering::Relaxed), 0);
    })
    .await;
}

#[tokio::test]
async fn a_disconnect_handler_receives_the_code_and_reason_of_a_close_by_the_client() {
    let (ends, ended) = ends();
    over_both(
        || ends.server(),
        async |server| {
            for (code, reason) in [(1000, "bye"), (1001, ""), (4999, "é"), (1002, "you broke it")]
            {
                let mut raw = Raw::join(&server).await;
                raw.send_close(code, reason).await;
                assert_eq!(raw.read_close(code).await, reason);
                assert_eq!(ended.next().await, left(Some(code), reason));
            }
            let mut raw = Raw::join(&server).await;
            raw.send(0x88, b"").await;
            assert_eq!(ended.next().await, left(None, ""));
        },
    )
    .await;
}

#[tokio::test]
async fn the_server_ends_the_stream_at_once_after_its_close_frame() {
    let long = limits(|limits| limits.close_timeout = Duration::from_secs(60));
    let server = || echo_server().limits(long.clone());
    over_both(server, async |server| {
        let too_large = [&[TEXT, 0xff], &(1_u64 << 62).to_be_bytes()[..], &[1, 2, 3, 4]].concat();
        for (frames, code) in [
            (masked(0x88, &close_payload(1000, "")), 1000),
            (masked(0x83, b""), 1002),
            (masked(TEXT, b"\xff"), 1007),
            (too_large, 1009),
        ] {
            let mut raw = Raw::join(&server).await;
            raw.write(&frames).await;
            raw.read_close(code).await;
            // The client's side of the stream stays open.
            let started = Instant::now();
            raw.expect_end().await;
            let elapsed = started.elapsed();
            assert!(elapsed < Duration::from_millis(500), "{code}: {elapsed:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_ends_without_a_close_frame_is_a_lost_connection() {
    let (ends, ended) = ends();
    over_both(
        || ends.server(),
        async |server| {
            drop(Raw::join(&server).await);
            assert_eq!(ended.next().await, left(None, ""));
            let mut raw = Raw::join(&server).await;
            raw.finish().await;
            raw.expect_end().await;
            assert_eq!(ended.next().await, left(None, ""));
        },
    )
    .await;
}

#[tokio::test]
async fn a_reset_is_a_lost_connection() {
    let (ends, ended) = ends();
    let server = TestServer::bind(ends.server()).await;
    Raw::open(&server).await.reset();
    assert_eq!(ended.next().await, left(None, ""));
}

#[tokio::test]
async fn messages_received_before_a_reset_are_handled_before_the_connection_ends() {
    let (ends, ended) = ends();
    let (sender, mut receiver) = mpsc::channel(1);
    let (release, released) = mpsc::channel(1);
    let released = Arc::new(Mutex::new(released));
    let router = Router::new().route(Route::message("wait", move |_| {
        let (sender, released) = (sender.clone(), Arc::clone(&released));
        async move {
            sender.send(()).await?;
            released.lock().await.recv().await;
            Ok::<_, HandlerError>(())
        }
    }));
    let server = TestServer::bind(ends.watch(router)).await;
    let mut raw = Raw::open(&server).await;
    raw.write(&masked(TEXT, br#"{"type":"wait"}"#).repeat(3)).await;
    receiver.recv().await.unwrap();
    raw.reset();
    // The server has served another connection since, so the reset has arrived.
    Raw::join(&server).await.finish().await;
    assert_eq!(ended.next().await, left(None, ""));
    for _ in 0..2 {
        release.send(()).await.unwrap();
        // Messages before a reset are handled, as before any other end of the stream.
        let next = timeout(Duration::from_secs(5), receiver.recv()).await;
        assert_eq!(next, Ok(Some(())));
    }
    release.send(()).await.unwrap();
    assert_eq!(ended.next().await, left(None, ""));
}

#[tokio::test]
async fn each_disconnect_handler_runs_once_per_connection_in_order() {
    let (sender, mut receiver) = mpsc::channel(100);
    let note = |name: &'static str| {
        let sender = sender.clone();
        Route::disconnect(move |_| {
            let sender = sender.clone();
            async move { sender.send(name).await.unwrap() }
        })
    };
    let router = Router::new().route(note("first")).route(note("second"));
    let server = TestServer::bind(router).await;
    drop(sender);
    for _ in 0..3 {
        let mut raw = Raw::join(&server).await;
        raw.send_close(1000, "").await;
        raw.send_close(1000, "").await;
        raw.expect_frames_to_end().await;
        assert_eq!(receiver.recv().await, Some("first"));
        assert_eq!(receiver.recv().await, Some("second"));
    }
    let stays = Raw::join(&server).await;
    let stopped = server.shutdown(Duration::from_millis(100)).await;
    assert!(stopped.unwrap_err().is_forced());
    drop(stays);
    assert_eq!(receiver.recv().await, Some("first"));
    assert_eq!(receiver.recv().await, Some("second"));
    assert_eq!(receiver.recv().await, None);
}

/// The environment variable that marks the separate process in which a test runs itself.
const ALONE: &str = "AIOWS_TEST_ALONE";

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_thousand_resets_leave_no_connection_and_no_file_open() {
    if std::env::var_os(ALONE).is_none() {
        // Open files are counted per process, and other tests open some.
        let name = "a_thousand_resets_leave_no_connection_and_no_file_open";
        let name = format!("{}::{name}", module_path!().trim_start_matches("it::"));
        let mut alone = Command::new(std::env::current_exe().unwrap());
        let output = alone.args([&name, "--exact"]).env(ALONE, "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let (ends, ended) = ends();
    let server = TestServer::bind(ends.server()).await;
    drop(ends);
    drop(Raw::open(&server).await);
    assert_eq!(ended.next().await, left(None, ""));
    let before = open_files();
    for _ in 0..10 {
        let mut raws = Vec::new();
        for n in 0..100 {
            let mut raw = Raw::open(&server).await;
            if n % 2 == 0 {
                raw.send_text("unanswered").await;
            }
            raws.push(raw);
        }
        raws.into_iter().for_each(Raw::reset);
        for _ in 0..100 {
            assert_eq!(ended.next().await, left(None, ""));
        }
    }
    assert_eq!(server.handle().stats().active, 0);
    // The last sockets are dropped right after their disconnect handlers.
    let freed = timeout(Duration::from_secs(5), async {
        while open_files() > before {
            tokio::task::yield_now().await;
        }
    });
    freed.await.unwrap_or_else(|_| panic!("{} of {before} files", open_files()));
    server.shutdown(Duration::from_secs(1)).await.unwrap();
    ended.expect_no_more().await;
}

/// Returns a close frame behind more pings than the session handles in one turn.
fn late_close(code: u16) -> Vec<u8> {
    [masked(0x89, b"ping").repeat(70), masked(0x88, &close_payload(code, ""))].concat()
}

#[tokio::test]
async fn a_client_close_frame_behind_many_pings_answers_a_close_by_the_server() {
    let server = || with_long_close_timeout(closing(4000, ""));
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"leave"}"#).await;
        raw.read_close(4000).await;
        raw.write(&late_close(4000)).await;
        raw.expect_end().await;
        // This time the pings arrive before the server has closed.
        let mut raw = Raw::join(&server).await;
        raw.write(&[masked(TEXT, br#"{"type":"leave"}"#), late_close(4000)].concat()).await;
        raw.expect_frames_to_end().await;
    })
    .await;
}

/// Returns a server that waits up to a minute for the client's close frame.
fn with_long_close_timeout(router: Router) -> Server {
    let minute = limits(|limits| limits.close_timeout = Duration::from_secs(60));
    Server::from(router).limits(minute)
}

#[tokio::test]
async fn a_close_frame_right_behind_the_request_answers_the_close_by_a_connect_handler() {
    let refusing = || {
        with_long_close_timeout(Router::new().route(Route::connect(|_| async {
            Err::<(), _>(HandlerError::new("full", "come back later"))
        })))
    };
    over_both(refusing, async |server| {
        let mut raw = Raw::reach(&server).await;
        let close = masked(0x88, &close_payload(1000, ""));
        raw.write(&[REQUEST.as_bytes(), &close].concat()).await;
        raw.read_head().await;
        raw.expect_frames_to_end().await;
    })
    .await;
}

#[tokio::test]
async fn a_connect_handler_that_fails_after_the_end_of_the_connection_does_not_prolong_it() {
    let (sender, receiver) = mpsc::channel(4);
    let receiver = Mutex::new(receiver);
    let router = || {
        let sender = sender.clone();
        Router::new().route(Route::connect(move |call: Call| {
            let sender = sender.clone();
            async move {
                call.websocket().close(4000, "");
                let (release, released) = oneshot::channel::<()>();
                sender.send(release).await?;
                released.await?;
                Err::<(), _>(HandlerError::new("late", "too late"))
            }
        }))
    };
    over_both(
        || with_long_close_timeout(router()),
        async |server| {
            let mut raw = Raw::join(&server).await;
            let release = receiver.lock().await.recv().await.unwrap();
            raw.read_close(4000).await;
            raw.send_close(4000, "").await;
            raw.expect_end().await;
            release.send(()).unwrap();
            // The client keeps its side of the stream open.
            let stopped = server.shutdown(Duration::from_secs(5)).await;
            assert!(stopped.is_ok(), "{stopped:?}");
            drop(raw);
        },
    )
    .await;
}

/// The session must notice a request to close that arrives between its last check and its sleep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_never_misses_a_close_from_another_thread_between_messages() {
    let (sender, mut receiver) = mpsc::channel(1);
    let handled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&handled);
    let router = Router::new()
        .route(Route::connect(move |call: Call| {
            let sender = sender.clone();
            async move { Ok::<_, HandlerError>(sender.send(call.websocket().clone()).await?) }
        }))
        .route(Route::message("count", move |_| {
            count.fetch_add(1, Ordering::SeqCst);
            async {}
        }));
    let server = TestServer::new(Server::from(router));
    let messages = masked(TEXT, br#"{"type":"count"}"#).repeat(32);
    for round in 0..2000 {
        let mut raw = Raw::join(&server).await;
        let ws: WebSocket = receiver.recv().await.unwrap();
        let (handled, before) = (Arc::clone(&handled), handled.load(Ordering::SeqCst));
        let closer = std::thread::spawn(move || {
            while handled.load(Ordering::SeqCst) == before {
                std::hint::spin_loop();
            }
            (0..round * 37 % 500).for_each(|_| std::hint::spin_loop());
            ws.close(4000, "");
        });
        raw.write(&messages).await;
        raw.read_close(4000).await;
        closer.join().unwrap();
    }
}
