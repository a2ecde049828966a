//! Custom middleware that times every message and refuses clients that have not logged in.
//!
//! Run `cargo run --example custom_middleware`, connect to `ws://127.0.0.1:8000` and send
//! `{"type": "balance", "id": 1}`, `{"type": "login", "name": "ann"}` and the first message again.

use std::time::Instant;

use aiows::extract::Call;
use aiows::middleware::{Middleware, Next, from_fn};
use aiows::routing::Outcome;
use aiows::{
    Context, Error, HandlerError, Message, Result, Router, Server, WebSocket, message, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The account that a connection has logged in to.
#[derive(Clone)]
struct Account(String);

#[derive(Message, Deserialize, Serialize)]
struct Login {
    name: String,
}

#[message("login")]
async fn login(ws: WebSocket, login: Login) -> Value {
    let answer = json!({ "type": "welcome", "name": login.name });
    ws.context().insert(Account(login.name));
    answer
}

#[message("balance")]
async fn balance(Context(Account(name)): Context<Account>) -> Value {
    json!({ "type": "balance", "account": name, "cents": 4200 })
}

/// Prints how long each message took.
struct Timing;

impl Middleware for Timing {
    async fn on_message(&self, call: Call, next: Next) -> Result<Outcome, HandlerError> {
        let started = Instant::now();
        let outcome = next.run(call.clone()).await;
        let message_type = call.message_type().unwrap_or_default();
        let how = if outcome.is_ok() { "handled" } else { "refused" };
        println!("{} {message_type} {how} in {:?}", call.websocket().id(), started.elapsed());
        outcome
    }
}

/// Refuses messages of connections that have no account.
struct MembersOnly;

impl Middleware for MembersOnly {
    async fn on_message(&self, call: Call, next: Next) -> Result<Outcome, HandlerError> {
        if call.websocket().context().get::<Account>().is_none() {
            return Err(HandlerError::new("unauthenticated", "log in first"));
        }
        next.run(call).await
    }
}

/// Adds a link to the documentation to every error.
struct Help;

impl Middleware for Help {
    async fn on_error(&self, _call: &Call, error: HandlerError) -> HandlerError {
        error.with("help", "https://example.com/errors")
    }
}

fn server() -> Server {
    // A closure is enough if the middleware handles messages only.
    let trimmed = from_fn(|call, next| async move {
        let text = call.text().unwrap_or_default().replace("  ", " ");
        next.run(call.with_text(text)).await
    });
    let members = Router::new().routes(routes![balance]).middleware(MembersOnly);
    let router = Router::new().routes(routes![login]).include(members).middleware(trimmed);
    Server::new().include_router(router).middleware(Timing).middleware(Help)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    server().run("127.0.0.1:8000").await
}

#[cfg(test)]
mod tests {
    use aiows::testing::TestServer;

    use super::*;

    #[tokio::test]
    async fn only_members_see_a_balance() {
        let server = TestServer::new(server());
        let mut client = server.connect().await;
        client.send_text(r#"{"type":"balance","id":1}"#).await;
        let refused = json!({
            "type": "error", "code": "unauthenticated", "message": "log in first",
            "correlation_id": 1, "message_type": "balance",
            "params": { "help": "https://example.com/errors" },
        });
        assert_eq!(client.recv_json().await, refused);
        client.send_text(r#"{"type":"login","name":"ann  lee"}"#).await;
        let welcome = json!({ "type": "welcome", "name": "ann lee" });
        assert_eq!(client.recv_json().await, welcome);
        client.send_text(r#"{"type":"balance","id":2}"#).await;
        let balance = json!({
            "type": "balance", "correlation_id": 2, "account": "ann lee", "cents": 4200,
        });
        assert_eq!(client.recv_json().await, balance);
    }

    #[tokio::test]
    async fn an_unknown_message_type_is_answered_with_the_help_link() {
        let server = TestServer::new(server());
        let mut client = server.connect().await;
        client.send_text(r#"{"type":"transfer"}"#).await;
        let unknown = json!({
            "type": "error", "code": "unknown_type", "message_type": "transfer",
            "message": "no handler serves this message type",
            "params": { "help": "https://example.com/errors" },
        });
        assert_eq!(client.recv_json().await, unknown);
    }
}
