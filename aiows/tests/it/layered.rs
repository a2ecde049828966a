//! The behaviour of a server does not change when all of it runs inside of middleware that passes
//! everything on: the same tests, once more.

#[path = "errors.rs"]
mod errors;
#[path = "extract.rs"]
mod extract;
#[path = "handlers.rs"]
mod handlers;
#[path = "life.rs"]
mod life;
#[path = "stop.rs"]
mod stop;

pub(crate) mod kit {
    use std::ops::Deref;
    use std::time::Duration;

    use aiows::{Call, Error, HandlerError, Middleware, Next, Outcome, Server, testing};

    struct Passing;

    impl Middleware for Passing {
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

    /// The server of the test kit, with the middleware around everything.
    pub struct TestServer(testing::TestServer);

    impl TestServer {
        pub fn new(server: impl Into<Server>) -> Self {
            Self(testing::TestServer::new(server.into().middleware(Passing)))
        }

        pub async fn bind(server: impl Into<Server>) -> Self {
            Self(testing::TestServer::bind(server.into().middleware(Passing)).await)
        }

        pub async fn shutdown(self, timeout: Duration) -> Result<(), Error> {
            self.0.shutdown(timeout).await
        }
    }

    impl Deref for TestServer {
        type Target = testing::TestServer;

        fn deref(&self) -> &testing::TestServer {
            &self.0
        }
    }
}
