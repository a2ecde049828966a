//! Panics where nobody expects one, and refusals before anything was served: they cost one handler
//! or one connection, and nothing that belongs to the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use aiows::{
    Call, DisconnectReason, HandlerError, Limits, Message, Middleware, Next, Outcome, Route,
    Router, Server,
};

use super::kit::{TestServer, over_both};
use crate::probe::Probe;
use crate::raw::{REQUEST, Raw, ends, limits};

const SOON: Duration = Duration::from_secs(5);

#[derive(Message, Serialize)]
struct Hello {}

/// Panics when it is dropped, without the words of a panic on the standard error.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("dropped"));
    }
}

/// Holds a bomb for ever, and tells when it has begun.
async fn hold(started: mpsc::Sender<()>) {
    let _bomb = Bomb;
    started.send(()).await.unwrap();
    std::future::pending::<()>().await;
}

/// Middleware that holds a bomb around every handler.
struct Mined;

impl Middleware for Mined {
    async fn on_message(&self, call: Call, next: Next) -> Result<Outcome, HandlerError> {
        let _bomb = Bomb;
        next.run(call).await
    }
}

fn hasty() -> Limits {
    limits(|limits| {
        limits.connections = 1;
        limits.close_timeout = Duration::from_millis(50);
        limits.disconnect_timeout = Duration::from_millis(50);
    })
}

/// Joins once the place of the connection before is free.
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
    timeout(SOON, join).await.expect("a place")
}

/// A client leaves while something that panics when it is dropped is pending: its disconnect
/// handlers run, what it spawned ends, and its place is free.
async fn expect_survival(mined: impl Fn(mpsc::Sender<()>) -> Router) {
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
                let _guard = Fewer(held);
                std::future::pending::<()>().await;
            });
            async {}
        });
        Server::from(ends.router().route(spawns).include(mined(started.clone()))).limits(hasty())
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
        timeout(SOON, spawned).await.expect("what was spawned ends");
        drop(join_after(&server).await);
        ended.next().await;
    })
    .await;
    drop(ends);
    ended.expect_no_more().await;
}

struct Fewer(Arc<AtomicUsize>);

impl Drop for Fewer {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn holding(started: mpsc::Sender<()>) -> Route {
    Route::message("hold", move |_: Call| hold(started.clone()))
}

#[tokio::test]
async fn a_panic_in_the_drop_of_a_cancelled_handler_costs_that_handler_alone() {
    expect_survival(|started| Router::new().route(holding(started))).await;
}

#[tokio::test]
async fn panics_in_the_drops_of_cancelled_middleware_and_its_handler_cost_them_alone() {
    expect_survival(|started| Router::new().route(holding(started)).middleware(Mined)).await;
}

#[tokio::test]
async fn a_panic_in_the_drop_of_a_spawned_future_costs_that_future_alone() {
    expect_survival(|started| {
        Router::new().route(Route::message("hold", move |call: Call| {
            call.websocket().spawn(hold(started.clone()));
            async {}
        }))
    })
    .await;
}

#[tokio::test]
async fn a_panic_in_the_drop_of_a_late_disconnect_handler_frees_the_place() {
    expect_survival(|started| {
        let begin = Route::message("hold", move |_: Call| {
            let begun = started.clone();
            async move { begun.send(()).await.unwrap() }
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
async fn a_panic_of_a_spawned_future_that_carries_something_that_panics_costs_that_future_alone() {
    expect_survival(|started| {
        Router::new().route(Route::message("hold", move |call: Call| {
            let started = started.clone();
            call.websocket().spawn(async move {
                started.send(()).await.unwrap();
                std::panic::resume_unwind(Box::new(Bomb));
            });
            // Pending until the connection ends, so that nothing is spawned beside it.
            std::future::pending::<()>()
        }))
    })
    .await;
}

#[tokio::test]
async fn what_the_panic_of_a_spawned_future_carries_is_dropped_outside_of_the_lock() {
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
            // It is dropped by the first spawn that finds the future ended.
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
async fn a_panic_that_carries_something_that_panics_is_one_failed_handler() {
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
async fn who_finds_the_room_of_the_path_full_is_not_admitted() {
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
async fn a_connect_handler_that_refuses_closes_with_its_code_as_the_reason() {
    let (ends, ended) = ends();
    let server = || {
        ends.watch(Router::new().route(Route::connect(|_: Call| async {
            Err::<(), _>(HandlerError::new("not_today", "come back tomorrow"))
        })))
    };
    over_both(server, async |server| {
        let mut raw = Raw::join(&server).await;
        let told = json!({ "type": "error", "code": "not_today", "message": "come back tomorrow" });
        assert_eq!(raw.read_json().await, told);
        assert_eq!(raw.read_close(1008).await, "not_today");
        assert_eq!(ended.next().await, DisconnectReason::ConnectFailed);
    })
    .await;
}

/// A connection that was closed before its connect handler fails stays closed for that reason.
#[tokio::test]
async fn a_connect_handler_that_fails_after_the_close_changes_nothing() {
    let (ends, ended) = ends();
    let server = || {
        ends.watch(Router::new().route(Route::connect(|call: Call| async move {
            let ws = call.websocket().clone();
            ws.close(4000, "enough");
            // The close frame is on its way meanwhile.
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
async fn a_client_that_breaks_the_protocol_and_ends_its_side_still_gets_its_answers_and_1002() {
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

/// The client does not read: its close frame cannot be written before the server is cut.
#[tokio::test(start_paused = true)]
async fn a_stop_cuts_a_connection_that_waits_for_its_last_frames_to_be_read() {
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

/// The limits of a server that has not set any.
#[tokio::test(start_paused = true)]
async fn a_slow_client_that_resumes_seconds_later_learns_why_it_was_closed() {
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
            let frame = raw.read_frame().await.unwrap_or_else(|| panic!("a bare end, {millis}"));
            if frame.first == 0x88 {
                break frame;
            }
        };
        assert_eq!(close.payload, b"\x03\xf0Slow client detected");
    }
}
