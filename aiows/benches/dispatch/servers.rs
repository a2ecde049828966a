//! Servers over a stream in memory.

use aiows::extract::Call;
use aiows::middleware::{Middleware, Next};
use aiows::routing::Outcome;
use aiows::testing::TestServer;
use aiows::{HandlerError, RawMessage, Router, WebSocket, fallback, message, routes};

use crate::chat::{Chat, ChatResponse};
use crate::exchange::ServerStream;

/// The number of passing middleware around the handlers.
#[derive(Clone, Copy)]
pub struct Layers(pub usize);

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

#[message("chat")]
async fn on_chat(chat: Chat) -> ChatResponse {
    ChatResponse { echo: chat }
}

#[fallback]
async fn on_other(ws: WebSocket, message: RawMessage) -> aiows::Result {
    ws.send_text(message.text()).await?;
    Ok(())
}

pub async fn typed(layers: Layers) -> ServerStream {
    serve(Router::new().routes(routes![on_chat]), layers).await
}

pub async fn echo(layers: Layers) -> ServerStream {
    serve(Router::new().routes(routes![on_other]), layers).await
}

async fn serve(router: Router, layers: Layers) -> ServerStream {
    let router = (0..layers.0).fold(router, |router, _| router.middleware(Passing));
    let server = TestServer::new(router);
    ServerStream { stream: Box::pin(server.stream().await), _keep: Box::new(server) }
}
