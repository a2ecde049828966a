//! Runs other test modules a second time, on servers inside middleware that passes every call on.
//! The behavior must not change.

// Some modules are left out: `middleware` adds its own middleware, `resources` and `restart` run a
// server in another process, and `transitions` needs no second run.
#[path = "client_disconnect.rs"]
mod client_disconnect;
#[path = "close.rs"]
mod close;
#[path = "connection_lifecycle.rs"]
mod connection_lifecycle;
#[path = "deadlines.rs"]
mod deadlines;
#[path = "errors.rs"]
mod errors;
#[path = "extract.rs"]
mod extract;
#[path = "failures.rs"]
mod failures;
#[path = "flush.rs"]
mod flush;
#[path = "handlers.rs"]
mod handlers;
#[path = "handshake.rs"]
mod handshake;
#[path = "hostile.rs"]
mod hostile;
#[cfg(feature = "axum")]
#[path = "http.rs"]
mod http;
#[path = "hub.rs"]
mod hub;
#[path = "isolation.rs"]
mod isolation;
#[path = "limits.rs"]
mod limits;
#[path = "log.rs"]
mod log;
#[cfg(feature = "axum")]
#[path = "mounted.rs"]
mod mounted;
#[path = "nest.rs"]
mod nest;
#[path = "per_route.rs"]
mod per_route;
#[path = "presence.rs"]
mod presence;
#[path = "protocol.rs"]
mod protocol;
#[path = "relay.rs"]
mod relay;
#[path = "request.rs"]
mod request;
#[path = "router.rs"]
mod router;
#[path = "server_requests.rs"]
mod server_requests;
#[path = "serving.rs"]
mod serving;
#[cfg(feature = "axum")]
#[path = "slow_http.rs"]
mod slow_http;
#[path = "socket.rs"]
mod socket;
#[path = "stop.rs"]
mod stop;
#[path = "stopping.rs"]
mod stopping;
#[path = "streams.rs"]
mod streams;
#[path = "unfinished.rs"]
mod unfinished;
#[path = "upgrade.rs"]
mod upgrade;

pub(crate) mod kit {
    use std::ops::Deref;
    use std::time::Duration;

    use aiows::extract::Call;
    use aiows::middleware::{Handshake, Middleware, Next};
    use aiows::routing::Outcome;
    use aiows::{Error, HandlerError, Server, testing};

    use crate::raw;

    struct Passing;

    impl Middleware for Passing {
        async fn on_handshake(&self, _handshake: &Handshake) -> Result<(), HandlerError> {
            Ok(())
        }

        async fn on_connect(&self, call: Call, next: Next) -> Result<Outcome, HandlerError> {
            next.run(call).await
        }

        async fn on_message(&self, call: Call, next: Next) -> Result<Outcome, HandlerError> {
            next.run(call).await
        }

        async fn on_disconnect(&self, call: Call, next: Next) -> Result<Outcome, HandlerError> {
            next.run(call).await
        }

        async fn on_error(&self, _call: &Call, error: HandlerError) -> HandlerError {
            error
        }
    }

    /// The server of the test kit inside the middleware.
    pub struct TestServer(testing::TestServer);

    impl TestServer {
        pub fn new(server: impl Into<Server>) -> Self {
            Self(testing::TestServer::new(wrapped(server.into())))
        }

        pub async fn bind(server: impl Into<Server>) -> Self {
            Self(testing::TestServer::bind(wrapped(server.into())).await)
        }

        pub async fn shutdown(self, timeout: Duration) -> Result<(), Error> {
            self.0.shutdown(timeout).await
        }
    }

    pub async fn over_both(server: impl Fn() -> Server, check: impl AsyncFn(TestServer)) {
        let check = async |server| check(TestServer(server)).await;
        raw::over_both(|| wrapped(server()), check).await;
    }

    /// Adds the middleware to a server that a test builds itself.
    pub fn wrapped(server: Server) -> Server {
        server.middleware(Passing)
    }

    impl Deref for TestServer {
        type Target = testing::TestServer;

        fn deref(&self) -> &testing::TestServer {
            &self.0
        }
    }
}
