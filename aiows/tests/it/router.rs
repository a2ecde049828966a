//! The registration of handlers, routers and limits, and the mistakes that a build reports.

use std::time::Duration;

use aiows::extract::Call;
use aiows::routing::Route;
use aiows::{
    DisconnectReason, Limits, Local, Message, MessageId, Router, Server, State, connect,
    disconnect, fallback, message, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::kit::TestServer;

#[derive(Message, Deserialize, Serialize)]
struct Say {
    text: String,
}

#[message("say")]
async fn say(say: Say) -> Say {
    say
}

mod other {
    #[aiows::message("say")]
    pub(crate) async fn talk() {}
}

fn mistakes(server: Server) -> Vec<String> {
    let error = server.build().expect_err("the registration is wrong");
    assert!(error.is_registration());
    error.mistakes().to_vec()
}

fn line(text: &str) -> u32 {
    let source = include_str!("router.rs");
    let at = source.lines().position(|line| line.contains(text)).unwrap();
    u32::try_from(at).unwrap() + 1
}

#[tokio::test]
async fn included_routers_serve_alongside_the_including_one() {
    #[message("ping")]
    async fn ping() -> Value {
        json!({ "pong": true })
    }
    let inner = Router::new().include(Router::new().routes(routes![ping]));
    let server = TestServer::new(Router::new().routes(routes![say]).include(inner));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"ping"}"#).await;
    assert_eq!(client.recv_json().await, json!({ "pong": true }));
    client.send(&Say { text: "hi".into() }).await;
    assert_eq!(client.recv::<Say>().await.text, "hi");
}

#[tokio::test]
async fn each_path_has_its_own_router() {
    #[message("where")]
    async fn chat() -> Value {
        json!({ "at": "chat" })
    }
    #[message("where")]
    async fn room() -> Value {
        json!({ "at": "room" })
    }
    let server = Server::new()
        .route("/chat", Router::new().routes(routes![chat]))
        .route("/rooms/{room}", Router::new().routes(routes![room]));
    let server = TestServer::bind(server).await;
    for (path, at) in [("/chat", "chat"), ("/chat?token=1", "chat"), ("/rooms/7", "room")] {
        let mut client = server.connect_to(path).await;
        client.send_text(r#"{"type":"where"}"#).await;
        assert_eq!(client.recv_json().await, json!({ "at": at }), "{path}");
    }
    for path in ["/", "/rooms", "/rooms/7/8", "/chat/"] {
        let refused = server.try_connect(path, &[]).await.unwrap_err();
        assert_eq!(refused.status, 404, "{path}");
    }
}

#[tokio::test]
async fn an_included_router_serves_every_other_path() {
    let server = Server::new()
        .include_router(Router::new().routes(routes![say]))
        .route("/none", Router::new());
    let server = TestServer::new(server);
    let mut client = server.connect_to("/any/path").await;
    client.send(&Say { text: "hi".into() }).await;
    assert_eq!(client.recv::<Say>().await.text, "hi");
    let mut client = server.connect_to("/none").await;
    client.send(&Say { text: "hi".into() }).await;
    assert_eq!(client.recv_json().await["code"], "unknown_type");
}

#[tokio::test]
async fn a_tag_changes_the_key_in_both_directions() {
    let server = TestServer::new(Router::new().tag("action").routes(routes![say]));
    let mut client = server.connect().await.tag("action");
    client.send_text(r#"{"action":"say","text":"hi","id":1}"#).await;
    assert_eq!(client.recv_text().await, r#"{"action":"say","correlation_id":1,"text":"hi"}"#);
    client.send_text(r#"{"type":"say","text":"hi"}"#).await;
    let expected = json!({
        "action": "error", "code": "invalid_message", "message": "the message has no `action`",
    });
    assert_eq!(client.recv_json().await, expected);
    client.send(&Say { text: "x".into() }).await;
    assert_eq!(client.recv::<Say>().await.text, "x");
}

#[tokio::test]
async fn closures_work_as_handlers() {
    let router = Router::new()
        .route(Route::connect(|_: Call| async { json!({ "hello": true }) }))
        .route(Route::message("say", |call: Call| async move { call.payload::<Say>() }))
        .fallback(
            |call: Call| async move { json!({ "other": call.message_type(), "id": call.id() }) },
        );
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    assert_eq!(client.recv_json().await, json!({ "hello": true }));
    client.send_text(r#"{"type":"say","text":"hi","id":1}"#).await;
    let expected = json!({ "type": "say", "correlation_id": 1, "text": "hi" });
    assert_eq!(client.recv_json().await, expected);
    client.send_text(r#"{"type":"say","id":1}"#).await;
    assert_eq!(client.recv_json().await["code"], "invalid_payload");
    client.send_text(r#"{"type":"x"}"#).await;
    assert_eq!(client.recv_json().await, json!({ "other": "x", "id": null }));
}

#[test]
fn a_build_error_lists_all_mistakes_with_names_and_locations() {
    #[message("list")]
    async fn list(State(_items): State<Vec<u8>>) {}
    let server = Server::new()
        .include_router(Router::new().routes(routes![say, list]))
        .include_router(Router::new().routes(routes![other::talk]))
        .state(1_u8)
        .state(2_u8);
    let mut found = mistakes(server);
    found.sort();
    let [needs, duplicate, state] = &found[..] else { panic!("three mistakes, not {found:#?}") };
    let location = |text: &str| format!("{}:{})", file!(), line(text));
    let here = module_path!();
    assert!(needs.starts_with(&format!("handler `{here}::")), "{needs}");
    assert!(needs.contains("::list` ("), "{needs}");
    assert!(needs.contains(&location("async fn list")), "{needs}");
    assert!(
        needs.ends_with(
            "needs `State<alloc::vec::Vec<u8>>`, which neither its router nor the server \
             has: add it with `Server::state` or `Router::state`"
        ),
        "{needs}"
    );
    assert_eq!(
        *duplicate,
        format!(
            "message type \"say\" is handled by both `{here}::say` ({} and \
             `{here}::other::talk` ({}: remove one of them",
            location("async fn say"),
            location("async fn talk"),
        )
    );
    assert_eq!(
        state,
        "the server has two states of type `u8`: wrap one in a type of your own, or use `replace_state`"
    );
}

#[test]
fn two_fallbacks_of_a_router_are_a_mistake() {
    #[fallback]
    async fn first() {}
    #[fallback]
    async fn second() {}
    let router =
        Router::new().routes(routes![first]).include(Router::new().routes(routes![second]));
    let [found] = &mistakes(router.into())[..] else { panic!("one mistake") };
    assert!(found.contains("::first`") && found.contains("::second`"), "{found}");
    assert!(found.ends_with("are both fallback handlers: keep one of them"), "{found}");
}

#[test]
fn a_handler_whose_type_contradicts_its_message_is_a_mistake() {
    #[derive(Message, Deserialize)]
    #[aiows(type = "room.join")]
    struct Join;
    #[message("join")]
    async fn join(_join: Join) {}
    let [found] = &mistakes(Router::new().routes(routes![join]).into())[..] else { panic!("one") };
    assert!(found.contains("is registered for \"join\", but its message"), "{found}");
    assert!(found.ends_with("declares \"room.join\""), "{found}");
}

#[test]
fn an_argument_that_the_kind_of_handler_cannot_have_is_a_mistake() {
    #[connect]
    async fn arrive(_id: MessageId) {}
    #[disconnect]
    async fn leave(_text: aiows::Text) {}
    #[message("why")]
    async fn why(_reason: DisconnectReason) {}
    #[message("twice")]
    async fn twice(_a: Local<u8>, _b: Local<u8>) {}
    let found = mistakes(Router::new().routes(routes![arrive, leave, why, twice]).into());
    let ends = [
        "takes `aiows::id::message::MessageId`, which only message handlers have",
        "takes `aiows::extract::builtin::Text`, which only message handlers have",
        "takes `DisconnectReason`, which only disconnect handlers have",
        "takes `Local<u8>` twice",
    ];
    assert_eq!(found.len(), ends.len(), "{found:#?}");
    for (found, end) in found.iter().zip(ends) {
        assert!(found.ends_with(end), "{found}");
    }
}

#[test]
fn message_types_of_closures_are_checked() {
    let route = |name: &str| Route::message(name, |_: Call| async {});
    let router = Router::new().route(route("ack")).route(route("")).route(route("a b"));
    let found = mistakes(router.into());
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].contains("handles the reserved message type \"ack\""), "{}", found[0]);
    assert!(found[1].contains("handles \"\", but"), "{}", found[1]);
    assert!(found[2].contains("handles \"a b\", but"), "{}", found[2]);
}

#[test]
fn the_needs_of_a_closure_are_checked() {
    let route = Route::message("x", |_: Call| async {}).needing::<State<String>>();
    let [found] = &mistakes(Router::new().route(route).into())[..] else { panic!("one") };
    assert!(found.contains("needs `State<alloc::string::String>`"), "{found}");
}

#[test]
fn a_build_reports_mistakes_in_paths_tags_limits_and_origins() {
    assert_eq!(mistakes(Server::new()), ["the server has no router"]);
    let server = Server::new()
        .route("chat", Router::new())
        .route("/a/{x}", Router::new())
        .route("/a/{y}", Router::new())
        .route("/b", Router::new())
        .route("/b", Router::new())
        .route("/{", Router::new());
    let found = mistakes(server);
    assert_eq!(found.len(), 4, "{found:#?}");
    assert_eq!(found[0], "path `chat` does not start with `/`");
    assert_eq!(found[1], "paths `/a/{y}` and `/a/{x}` match the same requests");
    assert_eq!(found[2], "path `/b` is routed twice");
    assert!(found[3].starts_with("path `/{` is not valid: "), "{}", found[3]);

    let tags = Router::new().tag("action").include(Router::new().tag("kind"));
    assert_eq!(
        mistakes(tags.into()),
        [
            "one connection has one tag, but its routers set `action` and `kind`: set it once, on the \
          outermost router"
        ]
    );
    assert_eq!(
        mistakes(Router::new().tag("id").into()),
        ["the tag of a router must not be `id`: the framework uses that key, choose another"]
    );
    let mut limits = Limits::default();
    limits.fragments = 0;
    let server = Server::from(Router::new()).limits(limits).allow_origins(["example.com"]);
    assert_eq!(
        mistakes(server),
        [
            "limit `fragments` must not be zero",
            "allowed origin `example.com` is not an origin, write scheme, host and port only: \
             `https://example.com`",
        ]
    );
}

#[test]
fn setting_a_server_option_twice_is_a_mistake() {
    let once = |method: &str| {
        format!(
            "`Server::{method}` is called more than once, and each call would replace the one \
             before: combine them into one call"
        )
    };
    let server = || Server::from(Router::new());
    let origins = ["https://app.example"];
    let twice = "allow_origins` or `Server::allow_any_origin";
    let open = async |_: String, _: aiows::WebSocket| Ok::<_, aiows::HandlerError>(());
    for (server, method) in [
        (server().limits(Limits::default()).limits(Limits::default()), "limits"),
        (server().allow_origins(origins).allow_origins(origins), twice),
        (server().allow_origins(origins).allow_any_origin(), twice),
        (server().allow_any_origin().allow_origins(origins), twice),
        (server().check_rooms(open).check_rooms(open), "check_rooms"),
        (server().subprotocols(["a"]).subprotocols(["b"]), "subprotocols"),
        (
            server().shutdown_timeout(Duration::ZERO).shutdown_timeout(Duration::ZERO),
            "shutdown_timeout",
        ),
    ] {
        assert_eq!(mistakes(server), [once(method)]);
    }
    #[cfg(feature = "axum")]
    {
        let server = server().http(axum::Router::new()).http(axum::Router::new());
        assert_eq!(mistakes(server), [once("http")]);
    }
    assert!(server().require_room().require_room().build().is_ok());
}

#[test]
fn a_router_with_two_tags_or_two_rooms_is_a_mistake() {
    let tags = Router::new().tag("kind").tag("event");
    assert_eq!(
        mistakes(tags.into()),
        [
            "one connection has one tag, but its routers set `kind` and `event`: set it once, on the \
          outermost router"
        ]
    );
    let rooms = Router::new().join_from_path("room").join_from_path("hall");
    assert_eq!(
        mistakes(Server::new().route("/{room}/{hall}", rooms)),
        [
            "a connection joins one room of its path, but its routers name the parameters `room` and \
          `hall`: call `Router::join_from_path` once"
        ]
    );
    let same = Router::new().tag("kind").tag("kind").join_from_path("room").join_from_path("room");
    assert!(Server::new().route("/{room}", same).build().is_ok());
}

#[tokio::test]
async fn a_test_replaces_the_state_of_a_server_and_of_a_router() {
    #[derive(Clone)]
    struct Database(&'static str);
    #[derive(Clone)]
    struct Clock(&'static str);
    #[message("which")]
    async fn which(State(database): State<Database>, State(clock): State<Clock>) -> Value {
        json!({ "database": database.0, "clock": clock.0 })
    }
    let router = || Router::new().routes(routes![which]).state(Clock("of the wall"));
    let server = |router| Server::from(router).state(Database("of the program"));
    for (server, expected) in [
        (server(router()), json!({ "database": "of the program", "clock": "of the wall" })),
        (
            server(router().replace_state(Clock("paused"))).replace_state(Database("in memory")),
            json!({ "database": "in memory", "clock": "paused" }),
        ),
        (
            // The router keeps its own state, and the server adds one that it did not have.
            Server::from(router()).replace_state(Clock("paused")).replace_state(Database("new")),
            json!({ "database": "new", "clock": "of the wall" }),
        ),
    ] {
        let server = TestServer::new(server);
        let mut client = server.connect().await;
        client.send_text(r#"{"type":"which"}"#).await;
        assert_eq!(client.recv_json().await, expected);
    }
    // A state that is given twice before stays a mistake.
    let twice = Server::from(router()).state(Database("a")).state(Database("b"));
    assert_eq!(mistakes(twice.replace_state(Database("c"))).len(), 1);
}
