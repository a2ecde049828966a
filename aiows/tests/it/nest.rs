//! Routers whose message types get a prefix.

use aiows::{
    DisconnectReason, Message, Router, Server, State, Text, connect, disconnect, fallback, message,
    routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::kit::{TestServer, over_both};
use crate::raw::Raw;

const HERE: &str = module_path!();

#[derive(Clone)]
struct Name(&'static str);

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
#[aiows(type = "game.move")]
struct Move {
    to: String,
}

#[message("move")]
async fn play(step: Move) -> Move {
    step
}

#[message("name")]
async fn name(State(name): State<Name>) -> Value {
    json!({ "name": name.0 })
}

fn mistakes(router: Router) -> Vec<String> {
    Server::from(router).build().expect_err("the registration is wrong").mistakes().to_vec()
}

fn place(text: &str) -> String {
    let at = include_str!("nest.rs").lines().position(|line| line.contains(text)).unwrap();
    format!("(aiows/tests/it/nest.rs:{})", at + 1)
}

#[tokio::test]
async fn a_nested_handler_serves_its_type_with_the_prefix_only() {
    over_both(
        || Router::new().nest("game.", Router::new().routes(routes![play])).into(),
        async |server| {
            let mut raw = Raw::join(&server).await;
            raw.send_text(r#"{"type":"game.move","id":1,"to":"a1"}"#).await;
            raw.expect_text(r#"{"type":"game.move","correlation_id":1,"to":"a1"}"#).await;
            raw.send_text(r#"{"type":"move","to":"a1"}"#).await;
            let unknown = r#"{"type":"error","code":"unknown_type","message":"no handler serves this message type","message_type":"move"}"#;
            raw.expect_text(unknown).await;
        },
    )
    .await;
}

#[tokio::test]
async fn prefixes_add_up_and_states_are_those_of_an_include() {
    let named = || Router::new().routes(routes![name]);
    let inner = Router::new().nest("b.", named()).include(named().state(Name("own")));
    let router = Router::new().nest("a.", inner).include(named()).state(Name("outer"));
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    for (message_type, name) in [("a.b.name", "outer"), ("a.name", "own"), ("name", "outer")] {
        client.send_json(&json!({ "type": message_type })).await;
        assert_eq!(client.recv_json().await, json!({ "name": name }), "{message_type}");
    }
}

#[tokio::test]
async fn the_other_handlers_of_a_nested_router_serve_the_whole_connection() {
    #[connect]
    async fn greet() -> Value {
        json!({ "hello": true })
    }
    #[fallback]
    async fn other(text: Text) -> Value {
        json!({ "other": text.0 })
    }
    #[disconnect]
    async fn leave(State(ends): State<mpsc::Sender<DisconnectReason>>, reason: DisconnectReason) {
        ends.send(reason).await.unwrap();
    }
    let (ends, mut ended) = mpsc::channel(1);
    let nested = Router::new().routes(routes![greet, other, leave]).state(ends);
    let server = TestServer::new(Router::new().nest("game.", nested));
    let mut client = server.connect().await;
    assert_eq!(client.recv_json().await, json!({ "hello": true }));
    client.send_text("no json").await;
    assert_eq!(client.recv_json().await, json!({ "other": "no json" }));
    client.close(1000, "").await;
    let reason = DisconnectReason::Peer { code: Some(1000.into()), reason: String::new() };
    assert_eq!(ended.recv().await, Some(reason));
}

#[test]
fn a_prefixed_type_is_handled_once() {
    mod whole {
        #[aiows::message("game.move")]
        pub(crate) async fn play() {}
    }
    let nested = Router::new().routes(routes![play]);
    let router = Router::new().routes(routes![whole::play]).nest("game.", nested);
    let expected = format!(
        "message type \"game.move\" is handled by both \
         `{HERE}::whole::play` {} and `{HERE}::play` {}",
        place("pub(crate) async fn play() {}"),
        place("async fn play(step: Move)"),
    );
    assert_eq!(mistakes(router), [expected]);
}

#[test]
fn a_declared_type_is_the_whole_one() {
    let expected = format!(
        "handler `{HERE}::play` {} is registered for \"chess.move\", but its message \
         `{HERE}::Move` declares \"game.move\"",
        place("async fn play(step: Move)"),
    );
    assert_eq!(
        mistakes(Router::new().nest("chess.", Router::new().routes(routes![play]))),
        [expected]
    );
}

#[test]
fn a_prefix_is_part_of_a_valid_type() {
    #[message("k")]
    async fn ack() {}
    let place = place("async fn ack() {}");
    let title = format!("`{HERE}::ack` {place}");
    let nested = |prefix: &str| mistakes(Router::new().nest(prefix, routes_of(routes![ack])));
    assert_eq!(nested("ac"), [format!("handler {title} serves the reserved message type \"ack\"")]);
    let expected = format!(
        "handler {title} serves \"a k\", but a message type has at least one character, no white \
         space and no control character"
    );
    assert_eq!(nested("a "), [expected]);
}

fn routes_of(routes: aiows::Routes) -> Router {
    Router::new().routes(routes)
}
