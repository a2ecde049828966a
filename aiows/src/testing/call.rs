//! Calls of handlers, middleware and extractors without a server.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::close::DisconnectReason;
use crate::extract::{Call, DisconnectTime, Received, RequestId, Stage};
use crate::handler::Route;
use crate::handler::{IntoOutcome, Outcome};
use crate::middleware::Next;
use crate::protocol::Inbound;
use crate::state::StateMap;
use crate::websocket::WebSocket;

/// Makes the [`Call`] that a middleware, an extractor or the handler of a route receives.
///
/// ```
/// use aiows::testing::{TestCall, answer, next, socket};
/// use aiows::extract::Call;
/// use aiows::middleware::{Middleware, Next};
/// use aiows::routing::Outcome;
/// use aiows::{HandlerError, Result};
/// use serde_json::json;
///
/// #[derive(Clone)]
/// struct Longest(usize);
///
/// struct Brief;
///
/// impl Middleware for Brief {
///     async fn on_message(&self, call: Call, next: Next) -> Result<Outcome> {
///         let longest = call.state::<Longest>().map_or(usize::MAX, |Longest(longest)| longest);
///         match call.text() {
///             Some(text) if text.len() > longest => Err(HandlerError::new("too_long", "be brief")),
///             _ => next.run(call).await,
///         }
///     }
/// }
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() -> Result {
///     let (ws, _sent) = socket();
///     let call = TestCall::message(&ws, r#"{"type":"ping","id":1}"#).call();
///     let passed = Brief.on_message(call, next(async |_| json!({ "pong": true }))).await?;
///     assert_eq!(answer(&passed), Some(json!({ "pong": true, "correlation_id": 1 })));
///
///     let call = TestCall::message(&ws, r#"{"type":"ping"}"#).state(Longest(10)).call();
///     let refused = Brief.on_message(call, next(async |_| ())).await;
///     assert_eq!(refused.unwrap_err().code(), "too_long");
///     Ok(())
/// }
/// ```
#[derive(Debug)]
#[must_use = "`call` makes the call"]
pub struct TestCall {
    socket: WebSocket,
    state: StateMap,
    stage: Stage,
}

impl TestCall {
    /// Starts the call of a connect handler.
    pub fn connect(socket: &WebSocket) -> Self {
        Self::at(socket, Stage::Connect)
    }

    /// Starts the call for a message, with any text.
    pub fn message(socket: &WebSocket, text: impl Into<String>) -> Self {
        Self::at(
            socket,
            Stage::Message(Received::new(Inbound::text(text.into()), RequestId::Unread)),
        )
    }

    /// Starts the call of a disconnect handler.
    pub fn disconnect(socket: &WebSocket, reason: DisconnectReason) -> Self {
        Self::at(socket, Stage::Disconnect(reason, DisconnectTime::new(Duration::MAX)))
    }

    fn at(socket: &WebSocket, stage: Stage) -> Self {
        Self { socket: socket.clone(), state: StateMap::default(), stage }
    }

    /// Adds a state to the call, as a server or a router does.
    pub fn state<T: Clone + Send + Sync + 'static>(mut self, state: T) -> Self {
        self.state.insert(state);
        self
    }

    /// Returns the call.
    #[must_use]
    pub fn call(self) -> Call {
        Call::new(self.socket, Arc::new(self.state), self.stage)
    }
}

/// Makes the rest of a call, for a middleware to continue with.
pub fn next<F, Fut>(handler: F) -> Next
where
    F: Fn(Call) -> Fut + Send + Sync + 'static,
    Fut: Future + Send + 'static,
    Fut::Output: IntoOutcome,
{
    Next::to(Arc::clone(Route::fallback(handler).run()))
}

/// Returns the answer of an outcome as JSON, or `None` if it has none.
///
/// # Panics
///
/// Never, because an answer is JSON.
#[must_use]
pub fn answer(outcome: &Outcome) -> Option<Value> {
    let answer = outcome.answer()?;
    Some(serde_json::from_slice(answer).expect("an answer is JSON"))
}
