//! Connect and disconnect handlers run correctly whatever middleware does with `next`.

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aiows::extract::Call;
use aiows::middleware::{Middleware, Next};
use aiows::routing::Outcome;
use aiows::testing::socket;
use aiows::testing::{TestCall, TestServer};
use aiows::{DisconnectReason, HandlerError, Router, Server, State, connect, disconnect, routes};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

type Returned = Result<Outcome, HandlerError>;

/// The events of a test, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    fn add(&self, line: &'static str) {
        self.0.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

/// Is notified when a handler has started.
type Started = Arc<Notify>;

#[disconnect]
async fn first(State(log): State<Log>, State(started): State<Started>, _: DisconnectReason) {
    log.add("first");
    started.notify_one();
    sleep(Duration::from_secs(2)).await;
    log.add("first done");
}

#[disconnect]
async fn second(State(log): State<Log>) {
    log.add("second");
}

const ONCE: [&str; 3] = ["first", "first done", "second"];

/// The action of a middleware when a connection ends.
#[derive(Clone, Copy, Debug)]
enum Action {
    Drop,
    DropFuture,
    Forget,
    Foreign,
    Panic,
    PanicAfterStart,
    Pass,
    Select,
    Spawn,
    SpawnAndAbort,
    SpawnAndWait,
    TimeOut,
}

const ALL: [Action; 12] = [
    Action::Drop,
    Action::DropFuture,
    Action::Forget,
    Action::Foreign,
    Action::Panic,
    Action::PanicAfterStart,
    Action::Pass,
    Action::Select,
    Action::Spawn,
    Action::SpawnAndAbort,
    Action::SpawnAndWait,
    Action::TimeOut,
];

struct Acts(Action, Started);

impl Middleware for Acts {
    async fn on_disconnect(&self, call: Call, next: Next) -> Returned {
        let Self(action, started) = self;
        match action {
            Action::Drop => drop(next),
            Action::DropFuture => drop(next.run(call)),
            Action::Forget => {
                let mut running = Box::pin(next.run(call));
                assert!((&mut running).now_or_never().is_none());
                let _forgotten = ManuallyDrop::new(running);
            }
            Action::Foreign => {
                let (other, _sent) = socket();
                return next.run(TestCall::connect(&other).call()).await;
            }
            Action::Panic => panic!("no luck"),
            Action::PanicAfterStart => {
                assert!(Box::pin(next.run(call)).now_or_never().is_none());
                panic!("no luck");
            }
            Action::Pass => return next.run(call).await,
            Action::Select => tokio::select! {
                returned = next.run(call) => return returned,
                () = started.notified() => {}
            },
            Action::Spawn => drop(tokio::spawn(next.run(call))),
            Action::SpawnAndAbort => {
                let task = tokio::spawn(next.run(call));
                started.notified().await;
                task.abort();
            }
            Action::SpawnAndWait => {
                tokio::spawn(next.run(call));
                started.notified().await;
            }
            Action::TimeOut => {
                let _ = timeout(Duration::from_secs(1), next.run(call)).await;
            }
        }
        Ok(Outcome::default())
    }
}

/// Connects, disconnects and stops the server; returns the log of the disconnect handlers.
async fn leave(server: Server, log: &Log) -> Vec<&'static str> {
    let server = TestServer::new(server);
    let client = server.connect().await;
    client.close(1000, "").await;
    server.shutdown(Duration::from_secs(60)).await.unwrap();
    // A spawned task would have time to run late.
    sleep(Duration::from_secs(10)).await;
    log.lines()
}

fn router(log: &Log, started: &Started) -> Router {
    Router::new().routes(routes![first, second]).state(log.clone()).state(Arc::clone(started))
}

#[tokio::test(start_paused = true)]
async fn disconnect_handlers_run_once_whatever_middleware_does_with_next() {
    for action in ALL {
        let (log, started) = (Log::default(), Started::default());
        let router = router(&log, &started).middleware(Acts(action, started));
        assert_eq!(leave(router.into(), &log).await, ONCE, "{action:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn disconnect_handlers_run_once_inside_two_middleware() {
    for outer in ALL {
        for inner in ALL {
            let (log, started) = (Log::default(), Started::default());
            let router = router(&log, &started);
            // Both middleware wrap the same group of handlers.
            let same = router
                .middleware(Acts(outer, Arc::clone(&started)))
                .middleware(Acts(inner, Arc::clone(&started)));
            // Both middleware may wait for the start of the handler.
            let waking = Arc::clone(&started);
            let wakes = tokio::spawn(async move {
                loop {
                    sleep(Duration::from_millis(100)).await;
                    waking.notify_waiters();
                }
            });
            assert_eq!(leave(same.into(), &log).await, ONCE, "{outer:?} around {inner:?}");
            wakes.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn disconnect_handlers_of_a_nested_router_run_once() {
    for outer in ALL {
        for inner in ALL {
            let (log, started) = (Log::default(), Started::default());
            let nested = router(&log, &started).middleware(Acts(inner, Arc::clone(&started)));
            let server = Server::from(nested).middleware(Acts(outer, Arc::clone(&started)));
            let waking = Arc::clone(&started);
            let wakes = tokio::spawn(async move {
                loop {
                    sleep(Duration::from_millis(100)).await;
                    waking.notify_waiters();
                }
            });
            assert_eq!(leave(server, &log).await, ONCE, "{outer:?} around {inner:?}");
            wakes.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_next_that_middleware_keeps_does_not_run_the_disconnect_handlers_again() {
    struct Keeps(mpsc::Sender<BoxFuture<'static, Returned>>);
    impl Middleware for Keeps {
        async fn on_disconnect(&self, call: Call, next: Next) -> Returned {
            self.0.try_send(next.run(call).boxed()).unwrap();
            Ok(Outcome::default())
        }
    }
    let (keeps, mut kept) = mpsc::channel(1);
    let (log, started) = (Log::default(), Started::default());
    let router = router(&log, &started).middleware(Keeps(keeps));
    assert_eq!(leave(router.into(), &log).await, ONCE);
    assert!(kept.recv().await.unwrap().await.unwrap().is_empty());
    assert_eq!(log.lines(), ONCE);
}

#[tokio::test(start_paused = true)]
async fn a_spawned_next_returns_after_the_disconnect_handlers_have_returned() {
    struct Spawns(Log);
    impl Middleware for Spawns {
        async fn on_disconnect(&self, call: Call, next: Next) -> Returned {
            let log = self.0.clone();
            tokio::spawn(async move {
                assert!(next.run(call).await.unwrap().is_empty());
                log.add("next");
            });
            Ok(Outcome::default())
        }
    }
    let (log, started) = (Log::default(), Started::default());
    let router = router(&log, &started).middleware(Spawns(log.clone()));
    assert_eq!(leave(router.into(), &log).await, ["first", "first done", "second", "next"]);
}

#[tokio::test(start_paused = true)]
async fn disconnect_handlers_see_the_task_locals_that_middleware_scopes_around_next() {
    tokio::task_local!(static TENANT: &'static str);
    #[disconnect]
    async fn note(State(log): State<Log>) {
        log.add(TENANT.get());
    }
    struct Scoped;
    impl Middleware for Scoped {
        async fn on_disconnect(&self, call: Call, next: Next) -> Returned {
            TENANT.scope("acme", next.run(call)).await
        }
    }
    let log = Log::default();
    let router = Router::new().routes(routes![note]).state(log.clone()).middleware(Scoped);
    assert_eq!(leave(router.into(), &log).await, ["acme"]);
}

#[tokio::test(start_paused = true)]
async fn a_spawned_next_cannot_outlast_the_disconnect_timeout() {
    #[disconnect]
    async fn slow(State(log): State<Log>) {
        log.add("slow");
        sleep(Duration::from_secs(15)).await;
        log.add("never");
    }
    let (log, started) = (Log::default(), Started::default());
    let router = Router::new().routes(routes![slow]).state(log.clone());
    let server = Server::from(router.middleware(Acts(Action::Spawn, started)));
    assert_eq!(leave(server, &log).await, ["slow"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_next_that_other_threads_run_or_drop_runs_the_disconnect_handlers_once() {
    #[disconnect]
    async fn yields(State(log): State<Log>) {
        log.add("first");
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        log.add("first done");
    }
    struct Races;
    impl Middleware for Races {
        async fn on_disconnect(&self, call: Call, next: Next) -> Returned {
            let task = tokio::spawn(next.run(call));
            for turn in 0..rand_below(20) {
                if turn == 15 {
                    task.abort();
                }
                tokio::task::yield_now().await;
            }
            Ok(Outcome::default())
        }
    }
    for _ in 0..200 {
        let log = Log::default();
        let router = Router::new().routes(routes![yields, second]).state(log.clone());
        let server = TestServer::new(router.middleware(Races));
        server.connect().await.close(1000, "").await;
        server.shutdown(Duration::from_secs(60)).await.unwrap();
        assert_eq!(log.lines(), ONCE);
    }
}

/// Returns a random number.
fn rand_below(bound: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(()) % bound
}

#[tokio::test(start_paused = true)]
async fn connect_handlers_that_middleware_spawned_do_not_outlive_the_connection() {
    #[connect]
    async fn enter(State(log): State<Log>, State(started): State<Started>) {
        log.add("enter");
        started.notify_one();
        sleep(Duration::from_secs(1)).await;
        log.add("entered");
    }
    #[disconnect(always)]
    async fn exit(State(log): State<Log>) {
        log.add("exit");
    }
    struct Spawns(Option<Started>);
    impl Middleware for Spawns {
        async fn on_connect(&self, call: Call, next: Next) -> Returned {
            tokio::spawn(next.run(call));
            if let Some(started) = &self.0 {
                started.notified().await;
            }
            Ok(Outcome::default())
        }
    }
    for (waits, expected) in [(true, &["enter", "exit"][..]), (false, &["exit"])] {
        let (log, started) = (Log::default(), Started::default());
        let spawns = Spawns(waits.then(|| Arc::clone(&started)));
        let router = Router::new().routes(routes![enter, exit]).state(log.clone()).state(started);
        let server = TestServer::new(router.middleware(spawns));
        let mut client = server.connect().await;
        assert_eq!(client.expect_closed(1008).await, "the connection was refused");
        server.shutdown(Duration::from_secs(60)).await.unwrap();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(log.lines(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_spawned_next_fails_once_its_connect_handlers_are_dropped() {
    #[connect]
    async fn enter(State(started): State<Started>) {
        started.notify_one();
        std::future::pending().await
    }
    struct Spawns(Started, mpsc::Sender<Returned>);
    impl Middleware for Spawns {
        async fn on_connect(&self, call: Call, next: Next) -> Returned {
            let (started, returned) = (Arc::clone(&self.0), self.1.clone());
            tokio::spawn(async move { returned.try_send(next.run(call).await).unwrap() });
            started.notified().await;
            Ok(Outcome::default())
        }
    }
    let started = Started::default();
    let (sender, mut returned) = mpsc::channel(1);
    let router = Router::new().routes(routes![enter]).state(Arc::clone(&started));
    let server = TestServer::new(router.middleware(Spawns(started, sender)));
    server.connect().await.expect_closed(1008).await;
    let returned = timeout(Duration::from_secs(60), returned.recv()).await.unwrap().unwrap();
    assert_eq!(returned.unwrap_err().to_string(), "the connection has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_connection_ends_after_the_poll_of_its_connect_handlers_on_another_thread() {
    type Exits = Arc<(std::sync::mpsc::Sender<()>, Mutex<std::sync::mpsc::Receiver<()>>)>;
    #[connect]
    async fn enter(
        State(started): State<Started>,
        State(log): State<Log>,
        State(it): State<Exits>,
    ) {
        started.notify_one();
        // The middleware has returned, but this poll has not.
        let exit = tokio::task::block_in_place(|| {
            it.1.lock().unwrap().recv_timeout(Duration::from_millis(200))
        });
        log.add(if exit.is_ok() { "exit in the poll" } else { "polled" });
        std::future::pending().await
    }
    #[disconnect(always)]
    async fn exit(State(log): State<Log>, State(it): State<Exits>) {
        log.add("exit");
        it.0.send(()).unwrap();
    }
    struct Spawns(Started);
    impl Middleware for Spawns {
        async fn on_connect(&self, call: Call, next: Next) -> Returned {
            tokio::spawn(next.run(call));
            self.0.notified().await;
            Ok(Outcome::default())
        }
    }
    let (log, started) = (Log::default(), Started::default());
    let (sender, receiver) = std::sync::mpsc::channel();
    let router = Router::new().routes(routes![enter, exit]).state(log.clone());
    let router =
        router.state(Arc::clone(&started)).state::<Exits>(Arc::new((sender, Mutex::new(receiver))));
    let server = TestServer::new(router.middleware(Spawns(started)));
    server.connect().await.expect_closed(1008).await;
    server.shutdown(Duration::from_secs(60)).await.unwrap();
    assert_eq!(log.lines(), ["polled", "exit"]);
}
