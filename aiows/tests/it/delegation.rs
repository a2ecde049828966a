//! Middleware that passes a call on to a default method runs all the same.

use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aiows::middleware::from_fn;
use aiows::{
    Call, HandlerError, Handshake, Message, Middleware, Next, Outcome, Router, Server, message,
    routes,
};
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

/// Overrides nothing.
struct Plain;

impl Middleware for Plain {}

/// Notes each hook, then returns the future of another middleware's default.
struct Guard {
    log: Log,
    inner: Plain,
}

impl Guard {
    fn note(&self, hook: &'static str) {
        self.log.lock().unwrap().push(hook);
    }
}

impl Middleware for Guard {
    fn on_handshake(&self, handshake: &Handshake) -> impl Future<Output = aiows::Result> + Send {
        self.note("handshake");
        self.inner.on_handshake(handshake)
    }

    fn on_connect(&self, call: Call, next: Next) -> impl Future<Output = Returned> + Send {
        self.note("connect");
        self.inner.on_connect(call, next)
    }

    fn on_message(&self, call: Call, next: Next) -> impl Future<Output = Returned> + Send {
        self.note("message");
        self.inner.on_message(call, next)
    }

    fn on_disconnect(&self, call: Call, next: Next) -> impl Future<Output = Returned> + Send {
        self.note("disconnect");
        self.inner.on_disconnect(call, next)
    }

    fn on_error(
        &self,
        call: &Call,
        error: HandlerError,
    ) -> impl Future<Output = HandlerError> + Send {
        self.note("error");
        self.inner.on_error(call, error)
    }
}

/// Connects, sends one good and one failing message, leaves; returns what was noted.
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
async fn a_guard_that_returns_another_middleware_s_default_future_runs() {
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
async fn a_guard_refuses_although_it_returns_a_default_future() {
    #[derive(Message, Deserialize)]
    struct Secret {}
    #[message("secret")]
    async fn secret(_: Secret) -> Value {
        json!({ "type": "told" })
    }
    /// Spoils what the handler would decode.
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
async fn a_guard_that_returns_the_default_future_of_its_own_other_hook_runs() {
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
    let noted = Arc::clone(&log);
    let guard = from_fn(move |call, next| {
        noted.lock().unwrap().push("message");
        Plain.on_message(call, next)
    });
    assert_eq!(visit(Server::from(router().middleware(guard)), &log).await, ["message", "message"]);
}

#[tokio::test]
async fn a_generic_guard_around_its_own_kind_runs_at_every_level() {
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
#[expect(coherence_leak_check, reason = "the two types are what is tested")]
async fn a_guard_whose_type_differs_from_the_default_one_by_a_lifetime_runs() {
    // The first is a subtype of the second.
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
