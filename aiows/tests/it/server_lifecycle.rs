//! The lifecycle of a server from its build to its shutdown, even if it is dropped on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aiows::extract::Call;
use aiows::routing::Route;
use aiows::server::{Listener, Shutdown};
use aiows::{
    App, DisconnectReason, HandlerError, Router, Server, ServerHandle, State, message, routes,
};
use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::kit::{TestServer, over_both};
use crate::raw::{REQUEST, Raw, echo_server, ends};

/// The longest that an expected event may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Expects that `ready` and `shutdown` of a handle complete, and returns the addresses.
async fn expect_ended(handle: &ServerHandle) -> Vec<std::net::SocketAddr> {
    let over = async {
        let addresses = handle.ready().await;
        handle.shutdown(Duration::from_secs(60)).await;
        addresses
    };
    timeout(TIMEOUT, over).await.expect("the server has ended")
}

/// Lets every task that is ready run.
async fn run_ready_tasks() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_silent_connection_does_not_force_a_shutdown() {
    over_both(echo_server, async |server| {
        let mut silent = Raw::reach(&server).await;
        // Connections are accepted in order, so the silent one is accepted as well.
        let mut other = Raw::join(&server).await;
        let handle = server.handle().clone();
        let stopped = tokio::spawn(server.shutdown(Duration::from_millis(500)));
        assert_eq!(other.read_close(1001).await, "Server shutdown");
        other.send_close(1001, "").await;
        other.expect_end().await;
        let stopped = stopped.await.unwrap();
        assert!(stopped.is_ok(), "{stopped:?}");
        assert!(handle.is_shutting_down());
        assert_eq!(silent.read_answer().await.0, 503);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_that_does_not_read_does_not_force_a_shutdown() {
    let app = echo_server().build().unwrap();
    let serving = tokio::spawn(app.clone().serve(Vec::<Listener>::new()));
    let (client, stream) = tokio::io::duplex(REQUEST.len());
    app.serve_stream(stream, None);
    let mut raw = Raw::over(client);
    raw.write(&REQUEST.as_bytes()[..REQUEST.len() - 2]).await;
    run_ready_tasks().await;
    app.handle().shutdown(Duration::from_millis(10)).await;
    let stopped = serving.await.unwrap();
    assert!(stopped.is_ok(), "{stopped:?}");
    drop(raw);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_with_a_zero_timeout_is_graceful_if_only_refusals_are_left() {
    let server = TestServer::new(echo_server());
    let mut silent = Raw::reach(&server).await;
    silent.write(b"GET / HT").await;
    run_ready_tasks().await;
    let stopped = server.shutdown(Duration::ZERO).await;
    assert!(stopped.is_ok(), "{stopped:?}");
    assert_eq!(silent.read_answer().await.0, 503);
}

#[tokio::test]
async fn a_shutdown_during_the_checks_of_the_application_answers_503_and_is_graceful() {
    let (started, mut starts) = mpsc::channel(4);
    let server = || {
        let started = started.clone();
        let check = move |_: String, _: aiows::WebSocket| {
            let started = started.clone();
            async move {
                started.send(()).await?;
                std::future::pending::<Result<(), HandlerError>>().await
            }
        };
        let router = Router::new().join_from_path("room");
        Server::new().route("/rooms/{room}", router).check_rooms(check)
    };
    for _ in 0..2 {
        let server = TestServer::bind(server()).await;
        let mut raw = Raw::dial(&server).await;
        raw.write(REQUEST.replace("GET / ", "GET /rooms/a ").as_bytes()).await;
        starts.recv().await.unwrap();
        let stopped = tokio::spawn(server.shutdown(Duration::from_secs(5)));
        assert_eq!(raw.read_answer().await.0, 503);
        drop(raw);
        let stopped = stopped.await.unwrap();
        assert!(stopped.is_ok(), "{stopped:?}");
    }
}

/// Serves in a task. Aborting the task drops the serve future.
fn serve(app: App, listeners: Vec<TcpListener>) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move { drop(app.serve(listeners).await) })
}

async fn bound(app: &App) -> (tokio::task::JoinHandle<()>, std::net::SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = serve(app.clone(), vec![listener]);
    app.handle().ready().await;
    (serving, address)
}

#[tokio::test]
async fn dropping_the_serve_future_closes_every_connection_gracefully() {
    let (ends, ended) = ends();
    let app = ends.server().build().unwrap();
    let (serving, address) = bound(&app).await;
    let mut raw = Raw::dial_at(address).await;
    raw.handshake().await;
    serving.abort();
    assert_eq!(raw.read_close(1001).await, "Server shutdown");
    raw.send_close(1001, "").await;
    raw.expect_end().await;
    assert_eq!(ended.next().await, DisconnectReason::Shutdown);
    assert!(app.handle().is_shutting_down());
    assert_eq!(expect_ended(app.handle()).await, [address]);
    assert_eq!(app.handle().stats().active, 0);
}

#[tokio::test]
async fn dropping_the_run_future_closes_every_connection_gracefully() {
    let (ends, ended) = ends();
    let server = ends.server();
    let handle = server.handle();
    let running = tokio::spawn(server.run("127.0.0.1:0"));
    let address = handle.ready().await[0];
    let mut raw = Raw::dial_at(address).await;
    raw.handshake().await;
    running.abort();
    assert_eq!(raw.read_close(1001).await, "Server shutdown");
    drop(raw);
    assert_eq!(ended.next().await, DisconnectReason::Shutdown);
    assert_eq!(expect_ended(&handle).await, [address]);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_shutdown_timeout_holds_after_the_serve_future_was_dropped() {
    let (ends, ended) = ends();
    let (started, mut starts) = mpsc::channel(1);
    let hang = Route::message("hang", move |_: Call| {
        let started = started.clone();
        async move {
            started.send(()).await.unwrap();
            std::future::pending::<()>().await;
        }
    });
    let server = ends.watch(Router::new().route(hang));
    let app = server.shutdown_timeout(Duration::from_millis(50)).build().unwrap();
    let (serving, address) = bound(&app).await;
    let mut raw = Raw::dial_at(address).await;
    raw.handshake().await;
    raw.send_text(r#"{"type":"hang"}"#).await;
    starts.recv().await.unwrap();
    serving.abort();
    raw.read_to_end().await;
    assert_eq!(ended.next().await, DisconnectReason::Shutdown);
    expect_ended(app.handle()).await;
}

#[tokio::test]
async fn a_handle_does_not_wait_for_a_server_that_is_gone() {
    // The server is dropped before its build.
    let server = echo_server();
    let handle = server.handle();
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.ready().await }
    });
    run_ready_tasks().await;
    drop(server);
    assert_eq!(timeout(TIMEOUT, waiting).await.unwrap().unwrap(), []);
    assert_eq!(expect_ended(&handle).await, []);

    // The build fails.
    let server = Server::new();
    let handle = server.handle();
    server.build().unwrap_err();
    assert_eq!(expect_ended(&handle).await, []);

    // The application is dropped before it is served.
    let app = echo_server().build().unwrap();
    let handle = app.handle().clone();
    drop(app);
    assert_eq!(expect_ended(&handle).await, []);

    // The address cannot be bound.
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = echo_server();
    let handle = server.handle();
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { expect_ended(&handle).await }
    });
    run_ready_tasks().await;
    assert!(server.run(taken.local_addr().unwrap().to_string()).await.is_err());
    assert_eq!(waiting.await.unwrap(), []);
    assert!(!handle.is_ready());
}

#[tokio::test]
async fn a_shutdown_before_the_server_is_served_is_final() {
    let app = echo_server().build().unwrap();
    let handle = app.handle().clone();
    timeout(TIMEOUT, handle.shutdown(Duration::MAX)).await.unwrap();
    assert_eq!(timeout(TIMEOUT, handle.ready()).await.unwrap(), []);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    timeout(TIMEOUT, app.serve([listener])).await.unwrap().unwrap();
    assert!(!handle.is_ready());
}

#[tokio::test]
async fn a_shutdown_closes_the_connections_of_a_server_that_never_listened() {
    let (ends, ended) = ends();
    let app = ends.server().build().unwrap();
    let (client, stream) = tokio::io::duplex(64 * 1024);
    app.serve_stream(stream, None);
    let mut raw = Raw::over(client);
    raw.handshake().await;
    let shutdown = app.handle().shutdown(Duration::from_secs(60));
    assert_eq!(raw.read_close(1001).await, "Server shutdown");
    drop(raw);
    timeout(TIMEOUT, shutdown).await.unwrap();
    assert_eq!(ended.next().await, DisconnectReason::Shutdown);
}

#[test]
fn a_shutdown_can_be_awaited_after_the_runtime_of_the_server_has_ended() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let app = echo_server().build().unwrap();
    let handle = app.handle().clone();
    first.block_on(async {
        let (_, address) = bound(&app).await;
        Raw::dial_at(address).await.handshake().await;
    });
    drop(first);
    second.block_on(expect_ended(&handle));
}

/// Opens a connection in memory. Its session runs on the runtime of the caller.
async fn open_here(app: &App) -> Raw {
    let (client, stream) = tokio::io::duplex(64 * 1024);
    app.serve_stream(stream, None);
    let mut raw = Raw::over(client).boxed();
    raw.handshake().await;
    raw
}

#[test]
fn a_shutdown_closes_the_connections_of_the_remaining_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for stops_before in [false, true] {
        let (first, second) = (runtime(), runtime());
        let (ends, ended) = ends();
        let app = ends.server().build().unwrap();
        let _earlier = first.block_on(open_here(&app));
        let mut raw = second.block_on(open_here(&app));
        if stops_before {
            drop(app.handle().shutdown(Duration::from_secs(60)));
        }
        drop(first);
        second.block_on(async {
            let shutdown = tokio::spawn(app.handle().shutdown(Duration::from_secs(60)));
            assert_eq!(raw.read_close(1001).await, "Server shutdown");
            raw.send_close(1001, "").await;
            timeout(TIMEOUT, shutdown).await.unwrap().unwrap();
            assert_eq!(ended.next().await, DisconnectReason::Shutdown);
        });
    }
}

/// A thread without a runtime shuts the server down after the server's first runtime has ended.
#[test]
fn a_shutdown_from_outside_any_runtime_uses_the_remaining_one() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let (ends, ended) = ends();
    let app = ends.server().build().unwrap();
    let _earlier = first.block_on(open_here(&app));
    let mut raw = second.block_on(open_here(&app));
    drop(first);
    let mut shutdown = app.handle().shutdown(Duration::from_secs(60));
    second.block_on(async {
        assert_eq!(raw.read_close(1001).await, "Server shutdown");
        // The shutdown waits for the closing handshake of this client.
        run_ready_tasks().await;
        assert!((&mut shutdown).now_or_never().is_none());
        raw.send_close(1001, "").await;
        timeout(TIMEOUT, shutdown).await.unwrap();
        assert_eq!(ended.next().await, DisconnectReason::Shutdown);
    });
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_may_have_the_longest_timeout() {
    let (ends, ended) = ends();
    let server = TestServer::new(ends.server().shutdown_timeout(Duration::MAX));
    let mut raw = Raw::join(&server).await;
    let stopped = tokio::spawn(server.shutdown(Duration::MAX));
    assert_eq!(raw.read_close(1001).await, "Server shutdown");
    raw.send_close(1001, "").await;
    stopped.await.unwrap().unwrap();
    assert_eq!(ended.next().await, DisconnectReason::Shutdown);
}

#[tokio::test]
async fn an_awaited_shutdown_ends_after_the_disconnect_handlers_have_run() {
    let done = Arc::new(AtomicBool::new(false));
    let slow = {
        let done = Arc::clone(&done);
        Route::disconnect(move |_: Call| {
            let done = Arc::clone(&done);
            async move {
                run_ready_tasks().await;
                done.store(true, Ordering::SeqCst);
            }
        })
    };
    let server = TestServer::bind(Router::new().route(slow)).await;
    let raw = Raw::open(&server).await;
    let shutdown = server.handle().shutdown(Duration::from_secs(5));
    drop(raw);
    timeout(TIMEOUT, shutdown).await.unwrap();
    assert!(done.load(Ordering::SeqCst));
}

/// Returns a handler that reports its start and returns when the test lets it.
fn slow(started: mpsc::Sender<()>, release: Arc<Notify>, done: Arc<AtomicBool>) -> Route {
    Route::message("slow", move |_: Call| {
        let (started, release, done) = (started.clone(), release.clone(), done.clone());
        async move {
            started.send(()).await.unwrap();
            release.notified().await;
            done.store(true, Ordering::SeqCst);
        }
    })
}

/// Reports whether the slow handler had returned at the end of a shutdown.
#[derive(Clone)]
struct AfterShutdown {
    done: Arc<AtomicBool>,
    results: mpsc::Sender<bool>,
}

impl AfterShutdown {
    async fn report(self, shutdown: Shutdown) {
        shutdown.await;
        self.results.send(self.done.load(Ordering::SeqCst)).await.unwrap();
    }
}

/// Expects that a shutdown by the message `shut_down` waits for the handler of another connection.
async fn expect_shutdown_waits_for_others(router: Router) {
    let (started, mut starts) = mpsc::channel(1);
    let (results, mut received) = mpsc::channel(1);
    let (release, done) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let router = router.route(slow(started, release.clone(), done.clone()));
    let server = TestServer::new(router.state(AfterShutdown { done, results }));
    let (mut other, mut raw) = (Raw::join(&server).await, Raw::join(&server).await);
    other.send_text(r#"{"type":"slow","id":1}"#).await;
    starts.recv().await.unwrap();
    raw.send_text(r#"{"type":"shut_down"}"#).await;
    run_ready_tasks().await;
    drop(raw);
    run_ready_tasks().await;
    release.notify_one();
    assert_eq!(other.read_json().await["type"], "ack");
    other.read_close(1001).await;
    drop(other);
    assert_eq!(timeout(TIMEOUT, received.recv()).await.unwrap(), Some(true));
}

#[tokio::test]
async fn a_task_of_an_ended_connection_awaits_the_shutdown_of_all_others() {
    #[message("shut_down")]
    async fn shut_down(server: ServerHandle, State(after): State<AfterShutdown>) {
        tokio::spawn(async move { after.report(server.shutdown(Duration::from_secs(60))).await });
    }
    expect_shutdown_waits_for_others(Router::new().routes(routes![shut_down])).await;
}

#[tokio::test]
async fn a_handler_that_shuts_the_server_down_twice_waits_for_all_others() {
    #[message("shut_down")]
    async fn shut_down(server: ServerHandle, State(after): State<AfterShutdown>) {
        let _first = server.shutdown(Duration::from_secs(60));
        after.report(server.shutdown(Duration::from_secs(60))).await;
    }
    expect_shutdown_waits_for_others(Router::new().routes(routes![shut_down])).await;
}

#[cfg(feature = "axum")]
mod pages {
    use axum::extract::State;
    use axum::routing::get;
    use tokio::sync::Semaphore;

    use super::*;

    const PAGE: &[u8] = b"GET /page HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

    #[tokio::test]
    async fn an_awaited_shutdown_ends_after_the_pages_in_flight_are_answered() {
        let (release, requested) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let answered = Arc::new(AtomicBool::new(false));
        let page = {
            let (release, requested, answered) =
                (release.clone(), requested.clone(), answered.clone());
            async move || {
                requested.notify_one();
                release.notified().await;
                answered.store(true, Ordering::SeqCst);
                "late"
            }
        };
        let server = echo_server().http(axum::Router::new().route("/page", get(page)));
        let server = TestServer::bind(server).await;
        let mut raw = Raw::dial(&server).await;
        raw.write(PAGE).await;
        requested.notified().await;
        let shutdown = server.handle().shutdown(Duration::from_secs(60));
        let waiting = tokio::spawn(async move {
            shutdown.await;
            answered.load(Ordering::SeqCst)
        });
        run_ready_tasks().await;
        release.notify_one();
        assert_eq!(raw.read_answer().await.2, "late");
        assert!(timeout(TIMEOUT, waiting).await.unwrap().unwrap());
    }

    #[tokio::test]
    async fn a_websocket_that_was_a_page_still_answers_after_the_run_future_was_dropped() {
        let (started, mut starts) = mpsc::channel(1);
        let (release, done) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let router = Router::new().route(slow(started, release.clone(), done.clone()));
        let server = Server::from(router);
        let handle = server.handle();
        let app = server.http(axum::Router::new().route("/page", get(async || "a page")));
        let serving = tokio::spawn(app.run("127.0.0.1:0"));
        let mut raw = Raw::dial_at(handle.ready().await[0]).await;
        raw.write(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n").await;
        raw.read_head().await;
        raw.read_exactly("a page".len()).await;
        raw.handshake().await;
        raw.send_text(r#"{"type":"slow","id":1}"#).await;
        starts.recv().await.unwrap();
        serving.abort();
        assert!(serving.await.is_err());
        let shutdown = handle.shutdown(Duration::from_secs(60));
        let waiting = tokio::spawn(async move {
            shutdown.await;
            done.load(Ordering::SeqCst)
        });
        run_ready_tasks().await;
        release.notify_one();
        assert_eq!(raw.read_json().await["type"], "ack");
        raw.read_close(1001).await;
        drop(raw);
        assert!(timeout(TIMEOUT, waiting).await.unwrap().unwrap());
    }

    async fn shut_down(State(server): State<ServerHandle>) -> &'static str {
        server.shutdown(Duration::from_secs(60)).await;
        "stopped"
    }

    #[tokio::test]
    async fn pages_and_handlers_can_await_the_shutdown_of_their_own_server() {
        let server = Server::new();
        let handle = server.handle();
        let (started, mut starts) = mpsc::channel(1);
        let handler = Route::message("shut_down", move |_: Call| {
            // This handle is not the one that a handler gets as its argument.
            let (handle, started) = (handle.clone(), started.clone());
            async move {
                let shutdown = handle.shutdown(Duration::from_secs(60));
                started.send(()).await.unwrap();
                shutdown.await;
                serde_json::json!({ "stopped": true })
            }
        });
        let server = server.include_router(Router::new().route(handler));
        let (requested, handle) = (Arc::new(Semaphore::new(0)), server.handle());
        let page = {
            let (requested, handle) = (requested.clone(), handle.clone());
            async move || {
                requested.add_permits(1);
                while !handle.is_shutting_down() {
                    tokio::task::yield_now().await;
                }
                handle.shutdown(Duration::from_secs(60)).await;
                "stopped"
            }
        };
        let pages = axum::Router::new().route("/page", get(page));
        let server = TestServer::bind(server.http(pages)).await;
        let mut other = Raw::open(&server).await;
        let mut socket = Raw::open(&server).await;
        // The server already serves these connections when the shutdown begins.
        let mut first = Raw::dial(&server).await;
        let mut second = Raw::dial(&server).await;
        for raw in [&mut first, &mut second] {
            raw.write(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").await;
            raw.read_head().await;
            raw.write(PAGE).await;
        }
        requested.acquire_many(2).await.unwrap().forget();
        socket.send_text(r#"{"type":"shut_down"}"#).await;
        starts.recv().await.unwrap();
        assert_eq!(other.read_close(1001).await, "Server shutdown");
        drop(other);
        assert_eq!(first.read_answer().await.2, "stopped");
        assert_eq!(second.read_answer().await.2, "stopped");
        socket.expect_text(r#"{"stopped":true}"#).await;
        socket.read_close(1001).await;
        drop(socket);
        let stopped = timeout(TIMEOUT, server.shutdown(Duration::from_secs(60))).await;
        assert!(stopped.unwrap().is_ok());
        assert_eq!(handle.stats().active, 0);
    }

    #[tokio::test]
    async fn an_incomplete_request_does_not_force_a_shutdown() {
        let pages = axum::Router::new().route("/page", get(async || "a page"));
        over_both(
            || echo_server().http(pages.clone()),
            async |server| {
                let mut raw = Raw::reach(&server).await;
                raw.write(b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n").await;
                raw.read_head().await;
                raw.read_exactly(6).await;
                raw.write(b"GET /page HTTP/1.1\r\n").await;
                run_ready_tasks().await;
                let stopped = server.shutdown(Duration::from_secs(2)).await;
                assert!(stopped.is_ok(), "{stopped:?}");
            },
        )
        .await;
    }

    #[tokio::test]
    async fn a_page_that_awaits_the_shutdown_of_another_server_waits_for_all_its_connections() {
        let other = TestServer::bind(echo_server()).await;
        let mut member = Raw::open(&other).await;
        let pages = axum::Router::new().route("/page", get(shut_down));
        let pages = pages.with_state(other.handle().clone());
        let server = TestServer::bind(echo_server().http(pages)).await;
        let mut raw = Raw::dial(&server).await;
        raw.write(PAGE).await;
        assert_eq!(member.read_close(1001).await, "Server shutdown");
        raw.expect_silence(Duration::from_millis(50)).await;
        member.send_close(1001, "").await;
        assert_eq!(raw.read_answer().await.2, "stopped");
    }
}
