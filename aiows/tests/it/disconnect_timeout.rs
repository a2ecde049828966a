//! Each disconnect handler has its own timeout, so one that hangs takes no time from the next.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aiows::extract::Call;
use aiows::middleware::{Middleware, Next};
use aiows::routing::Outcome;
use aiows::{Result, Router, Server, State, disconnect, routes};
use tokio::time::{Instant, sleep};
use tracing::Level;

use super::kit::TestServer;
use super::log::{Lines, levels, log};
use crate::raw::limits;

const SECOND: Duration = Duration::from_secs(1);

/// Records each handler that ran, and how many seconds after the start of the test.
#[derive(Clone)]
struct Log {
    begun: Instant,
    lines: Arc<Mutex<Vec<(&'static str, u64)>>>,
}

impl Log {
    fn new() -> Self {
        Self { begun: Instant::now(), lines: Arc::default() }
    }

    fn add(&self, line: &'static str) {
        self.lines.lock().unwrap().push((line, self.begun.elapsed().as_secs()));
    }

    fn lines(&self) -> Vec<(&'static str, u64)> {
        self.lines.lock().unwrap().clone()
    }
}

#[disconnect]
async fn hang(State(log): State<Log>) {
    log.add("hang");
    std::future::pending().await
}

#[disconnect]
async fn quick(State(log): State<Log>) {
    log.add("quick");
}

#[disconnect]
async fn slow(State(log): State<Log>) {
    log.add("slow");
    sleep(6 * SECOND).await;
    log.add("slow done");
}

/// Opens and closes a connection, and returns the handlers that ran.
async fn end(router: Router) -> Vec<(&'static str, u64)> {
    let log = Log::new();
    let server = TestServer::new(Server::from(router).state(log.clone()));
    server.connect().await.close(1000, "").await;
    server.shutdown(600 * SECOND).await.unwrap();
    log.lines()
}

fn cut(lines: &Lines, handler: &str) -> usize {
    let lines = lines.lock().unwrap();
    let cut = lines.iter().filter(|(_, line)| line.contains("was cut") && line.contains(handler));
    cut.inspect(|(level, line)| {
        assert_eq!(*level, Level::WARN);
        assert!(line.contains("connection=0000"), "{line}");
    })
    .count()
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_handler_that_hangs_takes_no_time_from_the_next_one() {
    let (lines, _guard) = log();
    let ran = end(Router::new().routes(routes![slow, hang, quick])).await;
    assert_eq!(ran, [("slow", 0), ("slow done", 6), ("hang", 6), ("quick", 16)]);
    assert_eq!((cut(&lines, ""), cut(&lines, "::hang`")), (1, 1));
    assert!(!levels(&lines, "").contains(&Level::ERROR));
}

/// The behavior of middleware around disconnect handlers.
#[derive(Clone, Copy)]
enum Around {
    Passes,
    HangsBefore,
    HangsAfter,
    Spawns,
}

impl Middleware for Around {
    async fn on_disconnect(&self, call: Call, next: Next) -> Result<Outcome> {
        match self {
            Self::Passes => next.run(call).await,
            Self::HangsBefore => std::future::pending().await,
            Self::HangsAfter => {
                let _ = next.run(call).await;
                std::future::pending().await
            }
            Self::Spawns => {
                tokio::spawn(next.run(call));
                std::future::pending().await
            }
        }
    }
}

fn router(around: Around) -> Router {
    let inner = Router::new().routes(routes![hang, quick]).middleware(around);
    Router::new().include(inner).include(Router::new().routes(routes![slow]))
}

#[tokio::test(start_paused = true)]
async fn each_disconnect_handler_inside_middleware_has_its_own_timeout_too() {
    let (lines, _guard) = log();
    let ran = end(router(Around::Passes)).await;
    assert_eq!(ran, [("hang", 0), ("quick", 10), ("slow", 10), ("slow done", 16)]);
    let ran = end(router(Around::Passes).middleware(Around::Passes)).await;
    assert_eq!(ran, [("hang", 0), ("quick", 10), ("slow", 10), ("slow done", 16)]);
    assert_eq!((cut(&lines, ""), cut(&lines, "::hang` (")), (2, 2));
    assert_eq!(cut(&lines, "the middleware around"), 0);
}

#[tokio::test(start_paused = true)]
async fn middleware_that_hangs_takes_no_time_from_disconnect_handlers() {
    for (around, start) in [(Around::HangsBefore, 10), (Around::HangsAfter, 0), (Around::Spawns, 0)]
    {
        let (lines, _guard) = log();
        let ran = end(router(around)).await;
        let expected = [("hang", start), ("quick", start + 10), ("slow", 20), ("slow done", 26)];
        assert_eq!(ran, expected);
        assert_eq!((cut(&lines, ""), cut(&lines, "the middleware around")), (2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn nested_middleware_that_hangs_takes_no_time_from_disconnect_handlers() {
    let (lines, _guard) = log();
    let ran = end(router(Around::HangsBefore).middleware(Around::HangsBefore)).await;
    let expected = [("hang", 20), ("quick", 30), ("slow", 30), ("slow done", 36)];
    assert_eq!(ran, expected);
    assert_eq!((cut(&lines, ""), cut(&lines, "the middleware around")), (3, 2));
}

#[tokio::test(start_paused = true)]
async fn all_disconnect_handlers_together_have_less_than_a_second_after_a_forced_shutdown() {
    for around in [Around::Passes, Around::HangsBefore, Around::HangsAfter, Around::Spawns] {
        for later in [false, true] {
            let (lines, _guard) = log();
            let log = Log::new();
            let always = Router::new().routes(routes![hang, hang_too, quick]);
            let router = Router::new().include(always).include(router(around));
            let server = TestServer::new(Server::from(router).state(log.clone()));
            let client = server.connect().await;
            if later {
                // The disconnect handlers already run when the shutdown cuts the connection.
                drop(client);
                sleep(SECOND / 2).await;
            }
            let started = Instant::now();
            assert!(server.shutdown(2 * SECOND).await.unwrap_err().is_forced());
            let took = started.elapsed();
            assert!(took < 3 * SECOND, "{took:?}");
            // Every handler was called, even without any time left for it.
            let ran = log.lines();
            let called = |name| ran.iter().filter(|(line, _)| *line == name).count();
            assert_eq!((called("hang too"), called("quick")), (1, 2), "{ran:?}");
            assert_eq!((called("hang"), called("slow")), (2, 1), "{ran:?}");
            assert_eq!((cut(&lines, "::hang_too`"), cut(&lines, "::slow`")), (1, 1));
            assert_eq!(cut(&lines, "") - cut(&lines, "the middleware around"), 4);
        }
    }
}

#[disconnect]
async fn hang_too(State(log): State<Log>) {
    log.add("hang too");
    std::future::pending().await
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_handler_has_the_timeout_that_is_configured() {
    let log = Log::new();
    let router = Router::new().routes(routes![hang, hang_too, quick]);
    let server = Server::from(router).state(log.clone());
    let limits = limits(|limits| limits.disconnect_timeout = 2 * SECOND);
    let server = TestServer::new(server.limits(limits));
    server.connect().await.close(1000, "").await;
    server.shutdown(600 * SECOND).await.unwrap();
    assert_eq!(log.lines(), [("hang", 0), ("hang too", 2), ("quick", 4)]);
}
