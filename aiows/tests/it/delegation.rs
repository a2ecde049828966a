//! Middleware also runs if its methods return the future of a default method.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aiows::extract::Call;
use aiows::middleware::from_fn;
use aiows::middleware::{Handshake, Middleware, Next};
use aiows::routing::Outcome;
use aiows::{HandlerError, Message, Router, Server, message, routes};
use serde::Deserialize;
use serde_json::{Value, json};

use super::kit::TestServer;

type Returned = Result<Outcome, HandlerError>;

/// The hooks that ran, in order.
type Log = Arc<Mutex<Vec<&'static str>>>;

#[message("hello")]
async fn hello() -> Value {
    json!({ "type": "hello" })
}

#[message("fail")]
async fn fail() -> Result<(), HandlerError> {
    Err(HandlerError::new("busy", "not now"))
}

/// Middleware without methods of its own.
struct Plain;

impl Middleware for Plain {}

/// Records each hook, then returns the future of another middleware's default method.
struct Guard {
    log: Log,
    inner: Plain,
}

impl Guard {
    fn record(&self, hook: &'static str) {
        self.log.lock().unwrap().push(hook);
    }
}

impl Middleware for Guard {
    fn on_handshake(&self, handshake: &Handshake) -> impl Future<Output = aiows::Result> + Send {
        self.record("handshake");
        self.inner.on_handshake(handshake)
    }

    fn on_connect(&self, call: Call, next: Next) -> impl Future<Output = Returned> + Send {
        self.record("connect");
        self.inner.on_connect(call, next)
    }

    fn on_message(&self, call: Call, next: Next) -> impl Future<Output = Returned> + Send {
        self.record("message");
        self.inner.on_message(call, next)
    }

    fn on_disconnect(&self, call: Call, next: Next) -> impl Future<Output = Returned> + Send {
        self.record("disconnect");
        self.inner.on_disconnect(call, next)
    }

    fn on_error(
        &self,
        call: &Call,
        error: HandlerError,
    ) -> impl Future<Output = HandlerError> + Send {
        self.record("error");
        self.inner.on_error(call, error)
    }
}

/// Connects, sends a message that succeeds and one that fails, and disconnects. Returns the
/// recorded hooks.
async fn visit(server: Server, log: &Log) -> Vec<&'static str> {
    let server = TestServer::new(server);
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"hello"}"#).await;
    assert_eq!(client.recv_json().await["type"], "hello");
    client.send_text(r#"{"type":"fail"}"#).await;
    assert_eq!(client.recv_json().await["code"], "busy");
    client.close(1000, "").await;
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    std::mem::take(&mut *log.lock().unwrap())
}

fn router() -> Router {
    Router::new().routes(routes![hello, fail])
}

const ALL: [&str; 6] = ["handshake", "connect", "message", "message", "error", "disconnect"];

#[tokio::test]
async fn a_guard_that_returns_the_default_future_of_another_middleware_runs() {
    let log = Log::default();
    let guard = || Guard { log: Arc::clone(&log), inner: Plain };
    let of_router = Server::from(router().middleware(guard()));
    assert_eq!(visit(of_router, &log).await, ALL, "middleware of a router");
    let of_server = Server::from(router()).middleware(guard());
    assert_eq!(visit(of_server, &log).await, ALL, "middleware of the server");
    let outer = Server::from(Router::new().include(router()).middleware(guard()));
    assert_eq!(visit(outer, &log).await, ALL, "middleware of an outer router");
}

#[tokio::test]
async fn a_guard_that_returns_a_default_future_can_still_change_the_call() {
    #[derive(Message, Deserialize)]
    struct Secret {}
    #[message("secret")]
    async fn secret(_: Secret) -> Value {
        json!({ "type": "secret" })
    }
    /// Replaces the text for the handler with invalid JSON.
    struct Closed;
    impl Middleware for Closed {
        fn on_message(&self, call: Call, next: Next) -> impl Future<Output = Returned> + Send {
            Plain.on_message(call.with_text("{"), next)
        }
    }
    let server = TestServer::new(Router::new().routes(routes![secret]).middleware(Closed));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"secret"}"#).await;
    assert_eq!(client.recv_json().await["code"], "invalid_json");
}

#[tokio::test]
async fn a_guard_that_returns_the_default_future_of_another_hook_of_its_own_runs() {
    struct Count(Log);
    impl Middleware for Count {
        fn on_message(&self, call: Call, next: Next) -> impl Future<Output = Returned> + Send {
            self.0.lock().unwrap().push("message");
            self.on_connect(call, next)
        }
    }
    let log = Log::default();
    let server = Server::from(router().middleware(Count(Arc::clone(&log))));
    assert_eq!(visit(server, &log).await, ["message", "message"]);
}

#[tokio::test]
async fn a_closure_that_returns_a_default_future_runs() {
    let log = Log::default();
    let recorded = Arc::clone(&log);
    let guard = from_fn(move |call, next| {
        recorded.lock().unwrap().push("message");
        Plain.on_message(call, next)
    });
    assert_eq!(visit(Server::from(router().middleware(guard)), &log).await, ["message", "message"]);
}

#[tokio::test]
async fn a_generic_guard_around_a_guard_of_the_same_type_runs_at_every_level() {
    struct Level<M>(Log, M);
    impl<M: Middleware> Middleware for Level<M> {
        fn on_message(&self, call: Call, next: Next) -> impl Future<Output = Returned> + Send {
            self.0.lock().unwrap().push("message");
            self.1.on_message(call, next)
        }
    }
    let log = Log::default();
    let inner = Level(Arc::clone(&log), Plain);
    let guard = Level(Arc::clone(&log), inner);
    let seen = visit(Server::from(router().middleware(guard)), &log).await;
    assert_eq!(seen, ["message"; 4]);
}

#[tokio::test]
#[expect(coherence_leak_check, reason = "the test needs both types")]
async fn a_guard_with_a_type_that_differs_from_the_default_by_a_lifetime_runs() {
    // `Any` is a subtype of `One`.
    type Any = for<'a> fn(&'a ());
    type One = fn(&'static ());
    struct Typed<F>(Option<Log>, PhantomData<F>);
    static ANY: Typed<Any> = Typed(None, PhantomData);
    impl Middleware for Typed<Any> {}
    impl Middleware for Typed<One> {
        fn on_message(&self, call: Call, next: Next) -> impl Future<Output = Returned> + Send {
            self.0.as_ref().unwrap().lock().unwrap().push("message");
            ANY.on_message(call, next)
        }
    }
    let log = Log::default();
    let guard = Typed::<One>(Some(Arc::clone(&log)), PhantomData);
    assert_eq!(visit(Server::from(router().middleware(guard)), &log).await, ["message", "message"]);
}
