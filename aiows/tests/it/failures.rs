//! Panics in destructors, refused connections and protocol errors: each ends one handler or one
//! connection and leaves the server running.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use aiows::extract::Call;
use aiows::middleware::{Middleware, Next};
use aiows::routing::{Outcome, Route};
use aiows::{DisconnectReason, HandlerError, Limits, Message, Router, Server};

use super::kit::{TestServer, over_both};
use crate::probe::Probe;
use crate::raw::{REQUEST, Raw, ends, limits};

const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Message, Serialize)]
struct Hello {}

/// Panics when it is dropped, without printing a panic message.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("dropped"));
    }
}

/// Holds a bomb forever, after it has signaled that it started.
async fn hold(started: mpsc::Sender<()>) {
    let _bomb = Bomb;
    started.send(()).await.unwrap();
    std::future::pending::<()>().await;
}

/// Middleware that holds a bomb around every handler.
struct BombMiddleware;

impl Middleware for BombMiddleware {
    async fn on_message(&self, call: Call, next: Next) -> Result<Outcome, HandlerError> {
        let _bomb = Bomb;
        next.run(call).await
    }
}

fn short_limits() -> Limits {
    limits(|limits| {
        limits.connections = 1;
        limits.close_timeout = Duration::from_millis(50);
        limits.disconnect_timeout = Duration::from_millis(50);
    })
}

/// Joins once the previous connection has released its permit.
async fn join_after(server: &TestServer) -> Raw {
    let join = async {
        loop {
            let mut raw = Raw::reach(server).await;
            raw.write(REQUEST.as_bytes()).await;
            if raw.read_head().await.starts_with("HTTP/1.1 101 ") {
                return raw;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(TIMEOUT, join).await.expect("a free permit")
}

/// Checks a client that leaves while a value that panics in its destructor is pending: the
/// disconnect handlers run, spawned tasks end, and the connection's permit is released.
async fn expect_survival(router: impl Fn(mpsc::Sender<()>) -> Router) {
    let (started, starts) = mpsc::channel(1);
    let starts = Mutex::new(starts);
    let (ends, ended) = ends();
    let alive = Arc::new(AtomicUsize::new(0));
    let server = || {
        let alive = Arc::clone(&alive);
        let spawns = Route::connect(move |call: Call| {
            let held = Arc::clone(&alive);
            held.fetch_add(1, Ordering::Relaxed);
            call.websocket().spawn(async move {
                let _guard = DecrementOnDrop(held);
                std::future::pending::<()>().await;
            });
            async {}
        });
        Server::from(ends.router().route(spawns).include(router(started.clone())))
            .limits(short_limits())
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"hold"}"#).await;
        starts.lock().await.recv().await.unwrap();
        raw.send_close(1000, "").await;
        assert_eq!(raw.read_close(1000).await, "");
        raw.expect_end().await;
        let reason = ended.next().await;
        assert!(matches!(reason, DisconnectReason::Peer { code: Some(_), .. }), "{reason}");
        let spawned = async {
            while alive.load(Ordering::Relaxed) > 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(TIMEOUT, spawned).await.expect("the spawned tasks end");
        drop(join_after(&server).await);
        ended.next().await;
    })
    .await;
    drop(ends);
    ended.expect_no_more().await;
}

struct DecrementOnDrop(Arc<AtomicUsize>);

impl Drop for DecrementOnDrop {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn holding(started: mpsc::Sender<()>) -> Route {
    Route::message("hold", move |_: Call| hold(started.clone()))
}

#[tokio::test]
async fn a_panic_in_the_drop_of_a_cancelled_handler_ends_only_that_handler() {
    expect_survival(|started| Router::new().route(holding(started))).await;
}

#[tokio::test]
async fn panics_in_the_drops_of_cancelled_middleware_and_its_handler_end_only_these_two() {
    expect_survival(|started| Router::new().route(holding(started)).middleware(BombMiddleware))
        .await;
}

#[tokio::test]
async fn a_panic_in_the_drop_of_a_spawned_future_ends_only_that_future() {
    expect_survival(|started| {
        Router::new().route(Route::message("hold", move |call: Call| {
            call.websocket().spawn(hold(started.clone()));
            async {}
        }))
    })
    .await;
}

#[tokio::test]
async fn a_panic_in_the_drop_of_a_late_disconnect_handler_releases_the_connection_permit() {
    expect_survival(|started| {
        let begin = Route::message("hold", move |_: Call| {
            let started = started.clone();
            async move { started.send(()).await.unwrap() }
        });
        let late = Route::disconnect(|_: Call| async {
            let _bomb = Bomb;
            std::future::pending::<()>().await;
        });
        Router::new().route(begin).include(Router::new().route(late))
    })
    .await;
}

#[tokio::test]
async fn a_spawned_future_whose_panic_payload_panics_on_drop_ends_only_itself() {
    expect_survival(|started| {
        Router::new().route(Route::message("hold", move |call: Call| {
            let started = started.clone();
            call.websocket().spawn(async move {
                started.send(()).await.unwrap();
                std::panic::resume_unwind(Box::new(Bomb));
            });
            // The handler stays pending until the connection ends, so no other task is spawned.
            std::future::pending::<()>()
        }))
    })
    .await;
}

#[tokio::test]
async fn the_panic_payload_of_a_spawned_future_is_dropped_outside_of_the_lock() {
    let (probed, mut free) = mpsc::channel(2);
    let spawn = Route::message("spawn", move |call: Call| {
        let (probed, ws) = (probed.clone(), call.websocket().clone());
        async move {
            let (runtime, other) = (Handle::current(), ws.clone());
            let probe = Probe::new(probed.clone(), move || {
                let _entered = runtime.enter();
                other.spawn(async {});
            });
            ws.spawn(async move { std::panic::resume_unwind(Box::new(probe)) });
            // The first spawn that finds the future ended drops the payload.
            for _ in 0..100 {
                yield_now().await;
                ws.spawn(async {});
            }
        }
    });
    let server = TestServer::new(Server::from(Router::new().route(spawn)));
    let mut raw = Raw::join(&server).await;
    raw.send_text(r#"{"type":"spawn","id":1}"#).await;
    assert_eq!(raw.read_json().await["correlation_id"], 1);
    assert_eq!(free.try_recv(), Ok(true), "a lock was held");
}

#[tokio::test]
async fn a_handler_whose_panic_payload_panics_on_drop_fails_once() {
    let panics = || {
        Server::from(Router::new().route(Route::message("panic", |_: Call| async {
            std::panic::resume_unwind(Box::new(Bomb));
            #[expect(unreachable_code, reason = "names the type")]
            Ok::<(), HandlerError>(())
        })))
    };
    over_both(panics, async |server| {
        let mut raw = Raw::join(&server).await;
        for id in 0..2 {
            raw.send_text(&json!({ "type": "panic", "id": id }).to_string()).await;
            assert_eq!(raw.read_json().await["correlation_id"], id);
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_finds_the_room_of_its_path_full_is_not_admitted() {
    let (ends, ended) = ends();
    let server = || {
        let router = Router::new().route(Route::connect(|call: Call| {
            let sent = call.websocket().try_send(&Hello {});
            async move { sent.unwrap() }
        }));
        let router = Router::new().include(router).join_from_path("room");
        let server = Server::new().route("/{room}", router.include(ends.router()));
        server.limits(limits(|limits| limits.room_members = 1))
    };
    over_both(server, async |server| {
        let mut first = server.connect_to("/hall").await;
        first.recv_json().await;
        let mut second = server.connect_to("/hall").await;
        assert_eq!(second.recv_json().await, json!({ "type": "hello" }));
        assert_eq!(second.recv_json().await["code"], "room_full");
        second.expect_closed(1013).await;
        assert_eq!(ended.next().await, DisconnectReason::ConnectFailed);
        let left = DisconnectReason::Peer { code: Some(4000.into()), reason: "bye".to_owned() };
        first.close(4000, "bye").await;
        assert_eq!(ended.next().await, left);
    })
    .await;
    drop(ends);
    ended.expect_no_more().await;
}

#[tokio::test]
async fn a_connect_handler_that_returns_an_error_closes_with_the_error_code_as_the_reason() {
    let (ends, ended) = ends();
    let server = || {
        ends.watch(Router::new().route(Route::connect(|_: Call| async {
            Err::<(), _>(HandlerError::new("not_today", "come back tomorrow"))
        })))
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        let error =
            json!({ "type": "error", "code": "not_today", "message": "come back tomorrow" });
        assert_eq!(raw.read_json().await, error);
        assert_eq!(raw.read_close(1008).await, "not_today");
        assert_eq!(ended.next().await, DisconnectReason::ConnectFailed);
    })
    .await;
}

/// A connection that was closed before its connect handler fails keeps its close reason.
#[tokio::test]
async fn a_connect_handler_that_fails_after_the_close_changes_nothing() {
    let (ends, ended) = ends();
    let server = || {
        ends.watch(Router::new().route(Route::connect(|call: Call| async move {
            let ws = call.websocket().clone();
            ws.close(4000, "enough");
            // The session writes the close frame meanwhile.
            sleep(Duration::from_millis(20)).await;
            Err::<(), _>(HandlerError::new("not_today", "come back tomorrow"))
        })))
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        assert_eq!(raw.read_close(4000).await, "enough");
        let reason = DisconnectReason::Closed { code: 4000.into(), reason: "enough".to_owned() };
        assert_eq!(ended.next().await, reason);
        raw.send_close(4000, "").await;
        raw.expect_end().await;
    })
    .await;
}

#[tokio::test]
async fn a_client_that_violates_the_protocol_and_ends_its_side_still_receives_its_replies_and_1002()
{
    let (ends, ended) = ends();
    over_both(
        || ends.server(),
        async |server| {
            let mut raw = Raw::join(&server).await;
            let bytes = [crate::raw::masked(0x81, b"hello"), vec![0xf3, 0x80, 0, 0, 0, 0]].concat();
            raw.write(&bytes).await;
            raw.finish().await;
            raw.expect_text("hello").await;
            raw.read_close(1002).await;
            raw.expect_end().await;
            assert_eq!(ended.next().await, DisconnectReason::Protocol { code: 1002.into() });
        },
    )
    .await;
}

/// The client does not read, so the session cannot write the close frame before the forced stop.
#[tokio::test(start_paused = true)]
async fn a_forced_stop_cuts_a_connection_whose_client_does_not_read_its_last_frames() {
    let flood = Route::message("flood", |call: Call| async move {
        let text = "x".repeat(60_000);
        for _ in 0..4 {
            call.websocket().send_text(&text).await?;
        }
        call.websocket().close(4000, "enough");
        Ok::<_, HandlerError>(())
    });
    let (ends, ended) = ends();
    let server = TestServer::new(ends.watch(Router::new().route(flood)));
    let mut raw = Raw::join(&server).await;
    raw.send_text(r#"{"type":"flood"}"#).await;
    ended.next().await;
    let started = tokio::time::Instant::now();
    let within = Duration::from_millis(100);
    assert!(server.shutdown(within).await.unwrap_err().is_forced());
    let elapsed = started.elapsed();
    assert!(elapsed < within + Duration::from_millis(400), "{elapsed:?}");
}

/// Uses the default limits.
#[tokio::test(start_paused = true)]
async fn a_slow_client_that_resumes_seconds_later_receives_the_reason_it_was_closed_for() {
    for millis in [10, 1_500, 8_000] {
        let (ends, ended) = ends();
        let flood = Route::message("flood", |call: Call| async move {
            let text = "x".repeat(60_000);
            loop {
                call.websocket().send_text(&text).await?;
            }
            #[expect(unreachable_code, reason = "names the type")]
            Ok::<(), HandlerError>(())
        });
        let server = TestServer::new(ends.watch(Router::new().route(flood)));
        let mut raw = Raw::join(&server).await;
        raw.send_text(r#"{"type":"flood"}"#).await;
        assert_eq!(
            ended.next_within(Duration::from_secs(60)).await,
            DisconnectReason::SlowConsumer
        );
        sleep(Duration::from_millis(millis)).await;
        let close = loop {
            let frame = raw
                .read_frame()
                .await
                .unwrap_or_else(|| panic!("the stream ended without a close frame, {millis}"));
            if frame.first == 0x88 {
                break frame;
            }
        };
        assert_eq!(close.payload, b"\x03\xf0Slow client detected");
    }
}
