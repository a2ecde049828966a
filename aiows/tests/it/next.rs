//! The handlers at both ends of a connection, whatever middleware does with `next`.

use std::mem::ManuallyDrop;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aiows::testing::socket;
use aiows::testing::{TestCall, TestServer};
use aiows::{
    Call, DisconnectReason, HandlerError, Middleware, Next, Outcome, Router, Server, State,
    connect, disconnect, routes,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

type Returned = Result<Outcome, HandlerError>;

/// What happened, in order.
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

/// Wakes when a handler has begun.
type Begun = Arc<Notify>;

#[disconnect]
async fn first(State(log): State<Log>, State(begun): State<Begun>, _: DisconnectReason) {
    log.add("first");
    begun.notify_one();
    sleep(Duration::from_secs(2)).await;
    log.add("first done");
}

#[disconnect]
async fn second(State(log): State<Log>) {
    log.add("second");
}

const ONCE: [&str; 3] = ["first", "first done", "second"];

/// What a middleware does with the end of a connection.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Drop,
    DropFuture,
    Forget,
    Foreign,
    Panic,
    PanicBegun,
    Pass,
    Select,
    Spawn,
    SpawnAndAbort,
    SpawnAndWait,
    TimeOut,
}

const ALL: [Deed; 12] = [
    Deed::Drop,
    Deed::DropFuture,
    Deed::Forget,
    Deed::Foreign,
    Deed::Panic,
    Deed::PanicBegun,
    Deed::Pass,
    Deed::Select,
    Deed::Spawn,
    Deed::SpawnAndAbort,
    Deed::SpawnAndWait,
    Deed::TimeOut,
];

struct Does(Deed, Begun);

impl Middleware for Does {
    async fn on_disconnect(&self, call: Call, next: Next) -> Returned {
        let Self(deed, begun) = self;
        match deed {
            Deed::Drop => drop(next),
            Deed::DropFuture => drop(next.run(call)),
            Deed::Forget => {
                let mut running = Box::pin(next.run(call));
                assert!((&mut running).now_or_never().is_none());
                let _forgotten = ManuallyDrop::new(running);
            }
            Deed::Foreign => {
                let (other, _sent) = socket();
                return next.run(TestCall::connect(&other).call()).await;
            }
            Deed::Panic => panic!("no luck"),
            Deed::PanicBegun => {
                assert!(Box::pin(next.run(call)).now_or_never().is_none());
                panic!("no luck");
            }
            Deed::Pass => return next.run(call).await,
            Deed::Select => tokio::select! {
                returned = next.run(call) => return returned,
                () = begun.notified() => {}
            },
            Deed::Spawn => drop(tokio::spawn(next.run(call))),
            Deed::SpawnAndAbort => {
                let task = tokio::spawn(next.run(call));
                begun.notified().await;
                task.abort();
            }
            Deed::SpawnAndWait => {
                tokio::spawn(next.run(call));
                begun.notified().await;
            }
            Deed::TimeOut => {
                let _ = timeout(Duration::from_secs(1), next.run(call)).await;
            }
        }
        Ok(Outcome::default())
    }
}

/// Connects and leaves; returns what the disconnect handlers did until everything is over.
async fn leave(server: Server, log: &Log) -> Vec<&'static str> {
    let server = TestServer::new(server);
    let client = server.connect().await;
    client.close(1000, "").await;
    server.shutdown(Duration::from_secs(60)).await.unwrap();
    // What a spawned task would do late.
    sleep(Duration::from_secs(10)).await;
    log.lines()
}

fn router(log: &Log, begun: &Begun) -> Router {
    Router::new().routes(routes![first, second]).state(log.clone()).state(Arc::clone(begun))
}

#[tokio::test(start_paused = true)]
async fn disconnect_handlers_run_once_whatever_middleware_does_with_next() {
    for deed in ALL {
        let (log, begun) = (Log::default(), Begun::default());
        let router = router(&log, &begun).middleware(Does(deed, begun));
        assert_eq!(leave(router.into(), &log).await, ONCE, "{deed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn disconnect_handlers_run_once_inside_of_two_middleware() {
    for outer in ALL {
        for inner in ALL {
            let (log, begun) = (Log::default(), Begun::default());
            let router = router(&log, &begun);
            // Of the same group, and of the group around.
            let same = router
                .middleware(Does(outer, Arc::clone(&begun)))
                .middleware(Does(inner, Arc::clone(&begun)));
            // Both wait for the begin.
            let waking = Arc::clone(&begun);
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
            let (log, begun) = (Log::default(), Begun::default());
            let nested = router(&log, &begun).middleware(Does(inner, Arc::clone(&begun)));
            let server = Server::from(nested).middleware(Does(outer, Arc::clone(&begun)));
            let waking = Arc::clone(&begun);
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
async fn a_kept_next_does_not_run_the_disconnect_handlers_again() {
    struct Keeps(mpsc::Sender<BoxFuture<'static, Returned>>);
    impl Middleware for Keeps {
        async fn on_disconnect(&self, call: Call, next: Next) -> Returned {
            self.0.try_send(next.run(call).boxed()).unwrap();
            Ok(Outcome::default())
        }
    }
    let (keeps, mut kept) = mpsc::channel(1);
    let (log, begun) = (Log::default(), Begun::default());
    let router = router(&log, &begun).middleware(Keeps(keeps));
    assert_eq!(leave(router.into(), &log).await, ONCE);
    assert!(kept.recv().await.unwrap().await.unwrap().is_empty());
    assert_eq!(log.lines(), ONCE);
}

#[tokio::test(start_paused = true)]
async fn a_spawned_next_returns_when_the_disconnect_handlers_have() {
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
    let (log, begun) = (Log::default(), Begun::default());
    let router = router(&log, &begun).middleware(Spawns(log.clone()));
    assert_eq!(leave(router.into(), &log).await, ["first", "first done", "second", "next"]);
}

#[tokio::test(start_paused = true)]
async fn disconnect_handlers_see_what_middleware_scopes_around_next() {
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
    let (log, begun) = (Log::default(), Begun::default());
    let router = Router::new().routes(routes![slow]).state(log.clone());
    let server = Server::from(router.middleware(Does(Deed::Spawn, begun)));
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

/// A number that differs from call to call.
fn rand_below(bound: u64) -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(()) % bound
}

#[tokio::test(start_paused = true)]
async fn connect_handlers_that_middleware_has_spawned_do_not_outlive_the_connection() {
    #[connect]
    async fn enter(State(log): State<Log>, State(begun): State<Begun>) {
        log.add("enter");
        begun.notify_one();
        sleep(Duration::from_secs(1)).await;
        log.add("entered");
    }
    #[disconnect(always)]
    async fn exit(State(log): State<Log>) {
        log.add("exit");
    }
    struct Spawns(Option<Begun>);
    impl Middleware for Spawns {
        async fn on_connect(&self, call: Call, next: Next) -> Returned {
            tokio::spawn(next.run(call));
            if let Some(begun) = &self.0 {
                begun.notified().await;
            }
            Ok(Outcome::default())
        }
    }
    for (waits, expected) in [(true, &["enter", "exit"][..]), (false, &["exit"])] {
        let (log, begun) = (Log::default(), Begun::default());
        let spawns = Spawns(waits.then(|| Arc::clone(&begun)));
        let router = Router::new().routes(routes![enter, exit]).state(log.clone()).state(begun);
        let server = TestServer::new(router.middleware(spawns));
        let mut client = server.connect().await;
        assert_eq!(client.expect_closed(1008).await, "the connection was refused");
        server.shutdown(Duration::from_secs(60)).await.unwrap();
        sleep(Duration::from_secs(10)).await;
        assert_eq!(log.lines(), expected);
    }
}
