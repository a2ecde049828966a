//! The server as a route of an axum application.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::ConnectInfo;
use axum::http::Request;
use axum::response::Response;
use tower_service::Service;

use super::upgrade::upgrade;
use crate::error::Error;
use crate::handshake;
use crate::server::{App, ServerHandle};

/// A server as a tower service, for a route of an axum application. [`App::into_service`] makes it.
#[derive(Clone, Debug)]
pub struct WebSocketService {
    app: App,
}

impl App {
    /// Makes a service of the server, for `axum::Router::route_service` and any other HTTP server
    /// that hands over its connections as hyper does.
    ///
    /// Requests pass the same checks as on a port of the server, the check of the path included. A
    /// server that has only [`Server::include_router`](crate::Server::include_router) answers every
    /// path that you mount it under. [`Server::http`](crate::Server::http) has no effect on a
    /// service. [`ServerHandle::shutdown`] closes the connections, and
    /// [`WebSocketService::stopped`] waits for their end.
    ///
    /// If the host sets `ConnectInfo<SocketAddr>`, the address of the client is known during the
    /// handshake. Over a TCP listener of `axum::serve`, connect handlers have it in any case.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use aiows::{Result, Router, Server, message, routes};
    /// use tokio::net::TcpListener;
    ///
    /// #[message("ping")]
    /// async fn ping() {}
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let server = Server::from(Router::new().routes(routes![ping]));
    /// let sockets = server.build()?.into_service();
    /// let application = axum::Router::new().route_service("/ws", sockets.clone());
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let handle = sockets.handle().clone();
    /// let stop = async move { handle.shutdown(Duration::from_secs(5)).await };
    /// axum::serve(listener, application).with_graceful_shutdown(stop).await?;
    /// sockets.stopped().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn into_service(self) -> WebSocketService {
        // The host listens on its own addresses.
        self.handle().lifecycle().listen(Vec::new());
        WebSocketService { app: self }
    }
}

impl WebSocketService {
    /// Returns the handle on the server.
    #[must_use]
    pub fn handle(&self) -> &ServerHandle {
        self.app.handle()
    }

    /// Waits for [`ServerHandle::shutdown`] and the end of every connection.
    ///
    /// # Errors
    ///
    /// [`Error::is_forced`] if connections had to be cut.
    ///
    /// # Cancel safety
    ///
    /// If you drop the future or never call this, connections are closed all the same.
    pub async fn stopped(&self) -> Result<(), Error> {
        self.app.ended().await
    }
}

impl<B> Service<Request<B>> for WebSocketService {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let app = self.app.clone();
        app.spawn_drain();
        let (mut parts, _) = request.into_parts();
        let peer_addr = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
        Box::pin(async move {
            let limit = app.inner.admission.rules.limits.connections;
            let permit = || Ok(app.handle().take_permit(limit)?);
            let answer = upgrade(&app, &mut parts, peer_addr, permit).await;
            Ok(answer.unwrap_or_else(|refusal| handshake::refused(&refusal)))
        })
    }
}
