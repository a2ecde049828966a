//! Nested routers, which prefix the message types of their handlers.

use aiows::{
    DisconnectReason, Message, RawMessage, Router, Server, State, Text, connect, disconnect,
    fallback, message, routes,
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

fn location(text: &str) -> String {
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
async fn prefixes_add_up_and_nested_routers_inherit_state_as_included_ones_do() {
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
async fn connect_and_disconnect_handlers_of_a_nested_router_run_for_every_connection() {
    #[connect]
    async fn greet() -> Value {
        json!({ "hello": true })
    }
    #[disconnect]
    async fn leave(State(ends): State<mpsc::Sender<DisconnectReason>>, reason: DisconnectReason) {
        ends.send(reason).await.unwrap();
    }
    let (ends, mut ended) = mpsc::channel(1);
    let nested = Router::new().routes(routes![greet, leave]).state(ends);
    let server = TestServer::new(Router::new().nest("game.", nested));
    let mut client = server.connect().await;
    assert_eq!(client.recv_json().await, json!({ "hello": true }));
    client.close(1000, "").await;
    let reason = DisconnectReason::Peer { code: Some(1000.into()), reason: String::new() };
    assert_eq!(ended.recv().await, Some(reason));
}

#[fallback]
async fn other(State(Name(of)): State<Name>, message: RawMessage) -> Value {
    json!({ "other": message.message_type(), "of": of })
}

/// A router with a fallback that answers with the router's name.
fn with_fallback(name: &'static str) -> Router {
    Router::new().routes(routes![other]).state(Name(name))
}

async fn answer(raw: &mut Raw, text: &str) -> Value {
    raw.send_text(text).await;
    raw.read_json().await
}

#[tokio::test]
async fn every_prefix_may_have_a_fallback_that_receives_messages_with_the_prefix() {
    let router = || {
        let game = with_fallback("game").routes(routes![play]);
        let game = game.nest("chess.", Router::new().include(with_fallback("chess")));
        Router::new().nest("game.", game).nest("chat.", with_fallback("chat"))
    };
    let cases = [
        ("game.other", "game"),
        ("game.", "game"),
        ("game.chess", "game"),
        ("game.chess.other", "chess"),
        ("chat.game.other", "chat"),
    ];
    over_both(
        || router().into(),
        async |server| {
            let mut raw = Raw::join(&server).await;
            for (message_type, of) in cases {
                let text = json!({ "type": message_type }).to_string();
                let expected = json!({ "other": message_type, "of": of });
                assert_eq!(answer(&mut raw, &text).await, expected);
            }
            let moved = answer(&mut raw, r#"{"type":"game.move","to":"a1"}"#).await;
            assert_eq!(moved, json!({ "type": "game.move", "to": "a1" }));
            for unknown in ["other", "game", "chats.other", "Game.other"] {
                let text = json!({ "type": unknown }).to_string();
                assert_eq!(answer(&mut raw, &text).await["code"], "unknown_type", "{unknown}");
            }
        },
    )
    .await;
    let server = TestServer::new(router().include(with_fallback("all")));
    let mut raw = Raw::join(&server).await;
    for (message_type, of) in cases.into_iter().chain([("other", "all"), ("game", "all")]) {
        let text = json!({ "type": message_type }).to_string();
        let expected = json!({ "other": message_type, "of": of });
        assert_eq!(answer(&mut raw, &text).await, expected);
    }
}

#[tokio::test]
async fn frames_that_are_not_messages_reach_no_nested_fallback() {
    #[fallback]
    async fn relay(State(Name(of)): State<Name>, text: Text) -> Value {
        json!({ "text": text.0, "of": of })
    }
    let relaying = |name| Router::new().routes(routes![relay]).state(Name(name));
    let server = TestServer::new(Router::new().nest("game.", relaying("game")));
    let mut raw = Raw::join(&server).await;
    assert_eq!(answer(&mut raw, "game.no json").await["code"], "invalid_json");
    let text = r#"{"type":"game.x"}"#;
    assert_eq!(answer(&mut raw, text).await, json!({ "text": text, "of": "game" }));

    let both = Router::new().nest("game.", relaying("game")).include(relaying("all"));
    let server = TestServer::new(both);
    let mut raw = Raw::join(&server).await;
    let expected = json!({ "text": "game.no json", "of": "all" });
    assert_eq!(answer(&mut raw, "game.no json").await, expected);
    assert_eq!(answer(&mut raw, text).await, json!({ "text": text, "of": "game" }));
}

#[test]
fn a_prefix_with_two_fallbacks_is_a_mistake() {
    let twice = Router::new().include(with_fallback("one")).include(with_fallback("two"));
    let title = format!("`{HERE}::other` {}", location("async fn other(State(Name(of))"));
    assert_eq!(
        mistakes(Router::new().nest("game.", twice.clone())),
        [format!(
            "{title} and {title} are both fallback handlers of the prefix \"game.\": keep one of them"
        )]
    );
    let expected = format!("{title} and {title} are both fallback handlers: keep one of them");
    assert_eq!(mistakes(twice.clone()), [expected.as_str()]);
    assert_eq!(mistakes(Router::new().nest("", twice)), [expected]);
    let apart = Router::new().nest("a.", with_fallback("a")).nest("a.", with_fallback("b"));
    assert_eq!(mistakes(apart).len(), 1);
}

#[test]
fn a_prefixed_type_with_two_handlers_is_a_mistake() {
    mod whole {
        #[aiows::message("game.move")]
        pub(crate) async fn play() {}
    }
    let nested = Router::new().routes(routes![play]);
    let router = Router::new().routes(routes![whole::play]).nest("game.", nested);
    let expected = format!(
        "message type \"game.move\" is handled by both \
         `{HERE}::whole::play` {} and `{HERE}::play` {}: remove one of them",
        location("pub(crate) async fn play() {}"),
        location("async fn play(step: Move)"),
    );
    assert_eq!(mistakes(router), [expected]);
}

#[test]
fn a_message_declares_its_type_with_the_prefix() {
    let expected = format!(
        "handler `{HERE}::play` {} is registered for \"chess.move\", but its message \
         `{HERE}::Move` declares \"game.move\"",
        location("async fn play(step: Move)"),
    );
    assert_eq!(
        mistakes(Router::new().nest("chess.", Router::new().routes(routes![play]))),
        [expected]
    );
}

#[test]
fn the_prefix_and_the_type_together_are_checked_as_one_message_type() {
    #[message("k")]
    async fn ack() {}
    let location = location("async fn ack() {}");
    let title = format!("`{HERE}::ack` {location}");
    let nested = |prefix: &str| mistakes(Router::new().nest(prefix, routes_of(routes![ack])));
    assert_eq!(
        nested("ac"),
        [format!("handler {title} handles the reserved message type \"ack\": choose another")]
    );
    let expected = format!(
        "handler {title} handles \"a k\", but a message type must have at least one character, and no \
         white space or control character"
    );
    assert_eq!(nested("a "), [expected]);
}

fn routes_of(routes: aiows::routing::Routes) -> Router {
    Router::new().routes(routes)
}
