//! The server of the test kit.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{Refused, TestClient};
use crate::error::Error;
use crate::server::{App, Listener, Server, ServerHandle};
use crate::transport::Stream;

/// The bytes that an in-memory stream holds in each direction.
const BUFFER: usize = 64 * 1024;

/// A running server for a test. Dropping it shuts the server down.
#[derive(Debug)]
pub struct TestServer {
    app: App,
    address: Option<SocketAddr>,
    running: JoinHandle<Result<(), Error>>,
}

impl TestServer {
    /// Serves in memory, without a port and without real time: `tokio::time::pause` works. The
    /// server is ready when this returns.
    ///
    /// # Panics
    ///
    /// Panics if the server cannot be built, and outside of a tokio runtime.
    #[track_caller]
    pub fn new(server: impl Into<Server>) -> Self {
        let app = build(server.into());
        app.begin();
        let running = tokio::spawn(app.clone().serve(Vec::<Listener>::new()));
        Self { app, address: None, running }
    }

    /// Serves a port of 127.0.0.1 that the system chooses.
    ///
    /// # Panics
    ///
    /// Panics if the server cannot be built, or if no port is free.
    pub async fn bind(server: impl Into<Server>) -> Self {
        let app = build(server.into());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port of 127.0.0.1 is free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let running = tokio::spawn(app.clone().serve(vec![listener]));
        app.handle().ready().await;
        Self { app, address: Some(address), running }
    }

    /// Returns the address of a server that you made with [`bind`](Self::bind).
    ///
    /// # Panics
    ///
    /// Panics for a server in memory, which has no address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address.expect("a server in memory has no address, use `TestServer::bind`")
    }

    /// Returns the handle of the server.
    #[must_use]
    pub fn handle(&self) -> &ServerHandle {
        self.app.handle()
    }

    /// Connects a client to the path `/`.
    ///
    /// # Panics
    ///
    /// Panics if the handshake is refused.
    pub async fn connect(&self) -> TestClient {
        self.connect_to("/").await
    }

    /// Connects a client to a path.
    ///
    /// # Panics
    ///
    /// Panics if the handshake is refused.
    pub async fn connect_to(&self, path: &str) -> TestClient {
        let connected = self.try_connect(path, &[]).await;
        connected.unwrap_or_else(|refused| panic!("the handshake was refused: {refused:?}"))
    }

    /// Connects a client to a path, with additional request headers.
    ///
    /// # Errors
    ///
    /// Returns the answer if the handshake is refused.
    pub async fn try_connect(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<TestClient, Refused> {
        let stream = self.open().await;
        TestClient::connect(stream, path, headers).await
    }

    /// Opens a connection without a handshake, for tests that write their own bytes.
    ///
    /// # Panics
    ///
    /// Panics if the server does not listen.
    pub async fn stream(&self) -> impl AsyncRead + AsyncWrite + Send + Unpin + use<> {
        self.open().await
    }

    async fn open(&self) -> Box<dyn Stream> {
        let Some(address) = self.address else {
            let (client, server) = tokio::io::duplex(BUFFER);
            self.app.serve_stream(server, None);
            return Box::new(client);
        };
        let stream = TcpStream::connect(address).await.expect("the server listens");
        Box::new(stream)
    }

    /// Shuts the server down, and returns when every connection has ended.
    ///
    /// # Errors
    ///
    /// Returns an error for which [`Error::is_forced`] is true if connections had to be cut after
    /// `timeout`.
    ///
    /// # Panics
    ///
    /// Panics if the server itself has panicked.
    pub async fn shutdown(mut self, timeout: Duration) -> Result<(), Error> {
        drop(self.handle().shutdown(timeout));
        (&mut self.running).await.expect("the server does not panic")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.app.handle().shutdown(Duration::ZERO));
    }
}

#[track_caller]
fn build(server: Server) -> App {
    server.build().unwrap_or_else(|error| panic!("{error}"))
}
