//! Rooms, users, names and broadcasts.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use aiows::error::SendError;
use aiows::testing::TestClient;
use aiows::{
    ConnectionId, HandlerError, Hub, Message, Result, Router, Server, State, WebSocket, connect,
    disconnect, message, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::kit::{TestServer, over_both};
use crate::raw::limits;

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Join {
    room: String,
}

#[derive(Clone, Debug, PartialEq, Message, Deserialize, Serialize)]
struct Say {
    room: String,
    text: String,
}

#[connect]
async fn welcome(ws: WebSocket) -> Value {
    json!({ "you": ws.id() })
}

#[message("join")]
async fn join(ws: WebSocket, join: Join) -> Result<Value> {
    ws.join(&join.room).await?;
    Ok(json!({ "rooms": ws.rooms() }))
}

#[message("leave")]
async fn leave(ws: WebSocket, join: Join) -> Value {
    json!({ "left": ws.leave(&join.room).was_member(), "rooms": ws.rooms() })
}

#[message("say")]
async fn say(ws: WebSocket, say: Say) -> Result<Value> {
    let delivery = ws.to(&say.room).send(&say).await?;
    Ok(json!({ "delivery": delivery }))
}

#[message("user")]
async fn user(ws: WebSocket, join: Join) -> Result<Value> {
    ws.set_user(&join.room)?;
    Ok(json!({ "user": ws.user().as_deref() }))
}

fn router() -> Router {
    Router::new().routes(routes![welcome, join, leave, say, user])
}

fn server() -> Server {
    Server::from(router())
}

/// A client and the id of its connection.
struct Guest {
    client: TestClient,
    id: Value,
}

async fn enter(server: &TestServer) -> Guest {
    let mut client = server.connect().await;
    let id = client.recv_json().await["you"].take();
    Guest { client, id }
}

impl Guest {
    async fn request(&mut self, request: Value) -> Value {
        self.client.send_json(&request).await;
        self.client.recv_json().await
    }

    async fn join(&mut self, room: &str) {
        let answer = self.request(json!({ "type": "join", "room": room })).await;
        assert!(answer["rooms"].as_array().unwrap().contains(&json!(room)), "{answer}");
    }

    async fn expect_nothing(&mut self) {
        // The answer proves that no other message was queued before it.
        let answer = self.request(json!({ "type": "leave", "room": "nowhere" })).await;
        assert_eq!(answer["left"], false, "{answer}");
    }
}

fn say_message(room: &str, text: &str) -> Value {
    json!({ "type": "say", "room": room, "text": text })
}

fn id_of(hub: &Hub, guest: &Guest) -> ConnectionId {
    let members = hub.members("lobby");
    members.iter().map(WebSocket::id).find(|id| json!(id) == guest.id).unwrap()
}

#[tokio::test]
async fn a_message_to_a_room_reaches_its_other_members() {
    over_both(server, async |server| {
        let (mut ann, mut bob, mut eve) =
            (enter(&server).await, enter(&server).await, enter(&server).await);
        ann.join("lobby").await;
        bob.join("lobby").await;
        eve.join("elsewhere").await;
        let answer = ann.request(say_message("lobby", "hi")).await;
        assert_eq!(answer["delivery"], json!({ "accepted": 1, "refused": 0 }));
        assert_eq!(bob.client.recv_json().await, say_message("lobby", "hi"));
        eve.expect_nothing().await;
        ann.expect_nothing().await;
        // A client outside the room cannot send to it.
        let answer = eve.request(say_message("lobby", "psst")).await;
        assert_eq!(answer["code"], "forbidden");
        ann.expect_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn a_member_that_has_left_receives_no_message_and_an_empty_room_is_removed() {
    over_both(server, async |server| {
        let hub = server.handle().hub();
        let (mut ann, mut bob) = (enter(&server).await, enter(&server).await);
        ann.join("lobby").await;
        ann.join("lobby").await;
        bob.join("lobby").await;
        assert_eq!((hub.room_size("lobby"), hub.members("lobby").len()), (2, 2));
        let left = bob.request(json!({ "type": "leave", "room": "lobby" })).await;
        assert_eq!(left, json!({ "left": true, "rooms": [] }));
        let again = bob.request(json!({ "type": "leave", "room": "lobby" })).await;
        assert_eq!(again["left"], false);
        let delivery = hub.room("lobby").send_text("for ann").await.unwrap();
        assert_eq!((delivery.accepted, delivery.refused), (1, 0));
        assert_eq!(ann.client.recv_text().await, "for ann");
        bob.expect_nothing().await;
        ann.request(json!({ "type": "leave", "room": "lobby" })).await;
        assert_eq!(hub.room_names(), [""; 0]);
        assert_eq!(hub.room("lobby").send_text("empty").await.unwrap().accepted, 0);
    })
    .await;
}

#[tokio::test]
async fn a_room_loses_a_disconnected_member_but_its_disconnect_handler_still_sees_its_rooms() {
    let (sender, gone) = mpsc::channel::<Value>(4);
    let gone = tokio::sync::Mutex::new(gone);
    #[disconnect]
    async fn note(ws: WebSocket, hub: Hub, State(gone): State<mpsc::Sender<Value>>) -> Result {
        let sent = ws.to("lobby").send_text("farewell").await?;
        let joined = ws.join("late").await.is_err();
        let state = json!({
            "rooms": ws.rooms(), "left": hub.room_size("lobby"), "sent": sent.accepted,
            "user": ws.user().as_deref(), "of_user": hub.connections_of("ann").len(),
            "leave": ws.leave("lobby").was_member(), "joined": joined,
        });
        Ok(gone.send(state).await?)
    }
    let server = || Server::from(router().routes(routes![note]).state(sender.clone()));
    over_both(server, async |server| {
        let (mut ann, mut bob) = (enter(&server).await, enter(&server).await);
        ann.join("lobby").await;
        ann.join("bar").await;
        ann.request(json!({ "type": "user", "room": "ann" })).await;
        bob.join("lobby").await;
        ann.client.close(1000, "").await;
        let state = gone.lock().await.recv().await.unwrap();
        let expected = json!({
            "rooms": ["lobby", "bar"], "left": 1, "sent": 1, "user": "ann", "of_user": 0,
            "leave": false, "joined": true,
        });
        assert_eq!(state, expected);
        assert_eq!(bob.client.recv_text().await, "farewell");
        assert_eq!(server.handle().hub().room_names(), ["lobby"]);
        bob.client.close(1000, "").await;
        gone.lock().await.recv().await.unwrap();
        let hub = server.handle().hub();
        assert_eq!((hub.room_names().len(), hub.user_names().len(), hub.size()), (0, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_broadcast_reaches_each_recipient_once_and_skips_the_excluded_ones() {
    over_both(server, async |server| {
        let hub = server.handle().hub();
        let (mut ann, mut bob, mut eve) =
            (enter(&server).await, enter(&server).await, enter(&server).await);
        for guest in [&mut ann, &mut bob, &mut eve] {
            guest.join("lobby").await;
        }
        bob.join("bar").await;
        let (a, b, e) = (id_of(&hub, &ann), id_of(&hub, &bob), id_of(&hub, &eve));
        let accepted = async |target: aiows::hub::Recipients, text: &str| {
            let delivery = target.send_text(text).await.unwrap();
            assert_eq!(delivery.refused, 0);
            delivery.accepted
        };
        assert_eq!(accepted(hub.all(), "all").await, 3);
        assert_eq!(accepted(hub.rooms(["lobby", "bar"]), "both").await, 3);
        assert_eq!(accepted(hub.all().except(a), "but ann").await, 2);
        assert_eq!(accepted(hub.room("lobby").except_all([a, b]), "eve").await, 1);
        assert_eq!(accepted(hub.all().except(a).except(e), "bob").await, 1);
        let in_bar = hub.all().filter(|member| member.is_in("bar"));
        assert_eq!(accepted(in_bar, "in the bar").await, 1);
        let none = hub.all().filter(|member| member.is_in("bar")).filter(move |m| m.id() != b);
        assert_eq!(accepted(none, "none").await, 0);
        assert_eq!(accepted(hub.connection(e), "only eve").await, 1);
        for (guest, texts) in [
            (&mut ann, &["all", "both"][..]),
            (&mut bob, &["all", "both", "but ann", "bob", "in the bar"]),
            (&mut eve, &["all", "both", "but ann", "eve", "only eve"]),
        ] {
            for text in texts {
                assert_eq!(guest.client.recv_text().await, *text);
            }
            guest.expect_nothing().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_message_to_a_user_reaches_every_connection_of_the_user() {
    over_both(server, async |server| {
        let hub = server.handle().hub();
        let (mut phone, mut desk, mut other) =
            (enter(&server).await, enter(&server).await, enter(&server).await);
        for (guest, name) in [(&mut phone, "ann"), (&mut desk, "ann"), (&mut other, "bob")] {
            let answer = guest.request(json!({ "type": "user", "room": name })).await;
            assert_eq!(answer["user"], name);
        }
        assert_eq!(hub.connections_of("ann").len(), 2);
        assert_eq!(hub.user("ann").send(&Join { room: "r".into() }).await.unwrap().accepted, 2);
        for guest in [&mut phone, &mut desk] {
            assert_eq!(guest.client.recv::<Join>().await, Join { room: "r".into() });
        }
        assert_eq!(hub.users(["ann", "bob", "ann"]).send_binary(b"x").await.unwrap().accepted, 3);
        for guest in [&mut phone, &mut desk, &mut other] {
            assert_eq!(guest.client.recv_binary().await, b"x");
        }
        // A connection belongs to one user at a time.
        desk.request(json!({ "type": "user", "room": "bob" })).await;
        assert_eq!((hub.connections_of("ann").len(), hub.connections_of("bob").len()), (1, 2));
        assert_eq!(hub.disconnect_user("bob", 4001, "out"), 2);
        for mut guest in [desk, other] {
            assert_eq!(guest.client.expect_closed(4001).await, "out");
        }
        phone.expect_nothing().await;
    })
    .await;
}

#[message("name")]
async fn name(ws: WebSocket, join: Join) -> Result<Value> {
    ws.set_name(&join.room)?;
    Ok(json!({ "name": ws.name().as_deref() }))
}

#[tokio::test]
async fn a_name_belongs_to_one_connection_until_that_ends() {
    let server = || Server::from(router().routes(routes![name]));
    over_both(server, async |server| {
        let hub = server.handle().hub();
        let (mut ann, mut bob) = (enter(&server).await, enter(&server).await);
        let name = |name: &str| json!({ "type": "name", "room": name });
        assert_eq!(ann.request(name("host")).await["name"], "host");
        assert_eq!(ann.request(name("host")).await["name"], "host");
        assert_eq!(bob.request(name("host")).await["code"], "name_taken");
        assert_eq!(hub.named("host").map(|ws| json!(ws.id())), Some(ann.id.clone()));
        // A connection that takes another name releases the first one.
        assert_eq!(ann.request(name("guest")).await["name"], "guest");
        assert_eq!(bob.request(name("host")).await["name"], "host");
        bob.client.close(1000, "").await;
        let free = async {
            while hub.named("host").is_some() {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(5), free).await.unwrap();
        assert_eq!(ann.request(name("host")).await["name"], "host");
    })
    .await;
}

#[tokio::test]
async fn an_invalid_name_of_a_user_or_connection_is_refused_with_the_allowed_length() {
    let server = || {
        Server::from(router().routes(routes![name])).limits(limits(|limits| limits.name_size = 8))
    };
    over_both(server, async |server| {
        let mut ann = enter(&server).await;
        let hub = server.handle().hub();
        for kind in ["user", "name"] {
            let mut set =
                async |name: &str| ann.request(json!({ "type": kind, "room": name })).await;
            assert_eq!(set("8 bytes.").await[kind], "8 bytes.");
            let long = "x".repeat(100_000);
            for name in ["9 bytes..", "", " ", "\t \u{2003}", "a\nb", "a\0", "\u{85}", &long] {
                let refused = set(name).await;
                assert_eq!(refused["code"], "invalid_name", "{kind} {name:.20}");
                assert_eq!(refused["params"], json!({ "max_bytes": 8 }));
            }
        }
        // The refused names have not replaced the accepted ones.
        assert_eq!(hub.user_names(), ["8 bytes."]);
        assert!(hub.named("8 bytes.").is_some());
    })
    .await;
}

#[tokio::test]
async fn the_hub_closes_a_connection_by_its_id() {
    over_both(server, async |server| {
        let hub = server.handle().hub();
        let mut ann = enter(&server).await;
        ann.join("lobby").await;
        let id = id_of(&hub, &ann);
        assert_eq!(hub.get(id).map(|ws| ws.id()), Some(id));
        assert!(hub.disconnect(id, 4002, "you"));
        assert_eq!(ann.client.expect_closed(4002).await, "you");
        server.handle().shutdown(Duration::from_secs(5)).await;
        assert!(!hub.disconnect(id, 4002, "you") && hub.get(id).is_none());
        assert_eq!(hub.connection(id).send_text("late").await.unwrap().accepted, 0);
    })
    .await;
}

#[tokio::test]
async fn a_broadcast_has_the_tag_of_the_router_of_each_recipient() {
    let server = || {
        let old = Router::new().routes(routes![join, welcome]).tag("action");
        Server::new().route("/old", old).route("/new", router())
    };
    over_both(server, async |server| {
        let mut old = server.connect_to("/old").await.tag("action");
        old.recv_json().await;
        let mut new = server.connect_to("/new").await;
        new.recv_json().await;
        let join = Join { room: "x".into() };
        let delivery = server.handle().hub().all().send(&join).await.unwrap();
        assert_eq!(delivery.accepted, 2);
        assert_eq!(old.recv_json().await, json!({ "action": "join", "room": "x" }));
        assert_eq!(new.recv_json().await, json!({ "type": "join", "room": "x" }));
    })
    .await;
}

#[tokio::test]
async fn a_join_beyond_a_limit_is_refused_with_the_matching_code() {
    let server = || {
        server().limits(limits(|limits| {
            (limits.rooms, limits.room_members, limits.room_name_size) = (2, 1, 8);
        }))
    };
    over_both(server, async |server| {
        let (mut ann, mut bob) = (enter(&server).await, enter(&server).await);
        ann.join("one").await;
        let join = |room: &str| json!({ "type": "join", "room": room });
        for (room, code) in [
            ("", "invalid_room"),
            ("  ", "invalid_room"),
            ("a\r\nb", "invalid_room"),
            ("\u{1b}[2J", "invalid_room"),
            ("ninechars", "invalid_room"),
            ("one", "room_full"),
        ] {
            let answer = bob.request(join(room)).await;
            assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(code)));
        }
        ann.join("two").await;
        assert_eq!(ann.request(join("three")).await["code"], "too_many_rooms");
        // Joining the same room again does not count, and leaving a room makes room for another.
        ann.join("two").await;
        ann.request(json!({ "type": "leave", "room": "one" })).await;
        bob.join("one").await;
        ann.join("three").await;
    })
    .await;
}

#[tokio::test]
async fn the_application_decides_which_clients_may_join() {
    let server = || {
        server().check_rooms(async |room: String, ws: WebSocket| match room.as_str() {
            "open" => Ok(()),
            "broken" => Err("the database is gone")?,
            _ if ws.user().as_deref() == Some("root") => Ok(()),
            _ => Err(HandlerError::new("forbidden", "not for you").with("room", room)),
        })
    };
    over_both(server, async |server| {
        let mut ann = enter(&server).await;
        ann.join("open").await;
        let refused = ann.request(json!({ "type": "join", "room": "vault" })).await;
        assert_eq!(
            (&refused["code"], &refused["params"]["room"]),
            (&json!("forbidden"), &json!("vault"))
        );
        let broken = ann.request(json!({ "type": "join", "room": "broken" })).await;
        assert_eq!(
            (&broken["code"], &broken["message"]),
            (&json!("internal"), &json!("internal error"))
        );
        ann.request(json!({ "type": "user", "room": "root" })).await;
        ann.join("vault").await;
        assert_eq!(server.handle().hub().room_size("vault"), 1);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_requires_a_room_does_not_send_to_all() {
    let server = TestServer::new(server().require_room());
    let mut ann = enter(&server).await;
    ann.join("lobby").await;
    let hub = server.handle().hub();
    let error = hub.all().send_text("hello").await.unwrap_err();
    assert!(matches!(error, SendError::NoRoom), "{error:?}");
    assert_eq!(hub.room("lobby").send_text("hello").await.unwrap().accepted, 1);
    assert_eq!(ann.client.recv_text().await, "hello");
}

/// Uses the hub of a server before the build, as a ticker does that starts before the server.
async fn built_after_use(server: Server) -> TestServer {
    let hub = server.handle().hub();
    let early = hub.all().send_text("no client is connected yet").await.unwrap();
    assert_eq!((early.accepted, early.refused), (0, 0));
    assert_eq!(hub.room("lobby").send_text("nor here").await.unwrap().accepted, 0);
    assert!(hub.members("lobby").is_empty() && hub.named("host").is_none());
    TestServer::new(server)
}

#[tokio::test]
async fn a_hub_used_before_the_build_still_requires_a_room() {
    let server = built_after_use(server().require_room()).await;
    let mut ann = enter(&server).await;
    ann.join("lobby").await;
    let error = server.handle().hub().all().send_text("hello").await.unwrap_err();
    assert!(matches!(error, SendError::NoRoom), "{error:?}");
}

#[tokio::test]
async fn a_hub_used_before_the_build_still_checks_rooms() {
    let refuse = async |_: String, _: WebSocket| -> Result {
        Err(HandlerError::new("forbidden", "this is not your room"))
    };
    let server = built_after_use(server().check_rooms(refuse)).await;
    let mut ann = enter(&server).await;
    let answer = ann.request(json!({ "type": "join", "room": "vault" })).await;
    assert_eq!(answer["code"], "forbidden");
    assert_eq!(server.handle().hub().room_size("vault"), 0);
}

#[tokio::test]
async fn a_hub_used_before_the_build_still_has_the_limits_of_rooms() {
    let limits = limits(|limits| (limits.rooms, limits.room_name_size) = (1, 8));
    let server = built_after_use(server().limits(limits)).await;
    let mut ann = enter(&server).await;
    ann.join("one").await;
    for (room, code) in [("two", "too_many_rooms"), ("ninechars", "invalid_room")] {
        let answer = ann.request(json!({ "type": "join", "room": room })).await;
        assert_eq!(answer["code"], code);
    }
}

mod from_path {
    use super::*;
    use crate::raw::{REQUEST, Raw};

    #[connect]
    async fn enter(ws: WebSocket, hub: Hub) -> Value {
        json!({ "rooms": ws.rooms(), "size": hub.room_size("the hall") })
    }

    fn rooms() -> Server {
        let router = Router::new().routes(routes![enter, join]).join_from_path("room");
        Server::new().route("/rooms/{room}", router)
    }

    #[tokio::test]
    async fn a_client_joins_the_room_in_its_path_after_the_connect_handlers() {
        over_both(rooms, async |server| {
            let mut ann = server.connect_to("/rooms/the%20hall").await;
            assert_eq!(ann.recv_json().await, json!({ "rooms": [], "size": 0 }));
            ann.send_json(&json!({ "type": "join", "room": "the hall" })).await;
            assert_eq!(ann.recv_json().await["rooms"], json!(["the hall"]));
            let mut bob = server.connect_to("/rooms/the%20hall").await;
            assert_eq!(bob.recv_json().await["size"], 1);
            bob.send_json(&json!({ "type": "join", "room": "the hall" })).await;
            assert_eq!(bob.recv_json().await["rooms"], json!(["the hall"]));
            let hub = server.handle().hub();
            assert_eq!(hub.room("the hall").send_text("hi").await.unwrap().accepted, 2);
            assert_eq!(ann.recv_text().await, "hi");
            assert_eq!(bob.recv_text().await, "hi");
        })
        .await;
    }

    #[tokio::test]
    async fn a_client_that_may_not_join_is_refused_before_the_upgrade() {
        let server = || {
            rooms().check_rooms(async |room: String, ws: WebSocket| match room.as_str() {
                "open" => ws.send_text("from the check").await.map_err(HandlerError::from),
                "paid" => Err(HandlerError::new("payment", "pay first").status(402)),
                _ => Err(HandlerError::new("forbidden", "not for you")),
            })
        };
        over_both(server, async |server| {
            let long = format!("/rooms/{}", "x".repeat(200));
            for (path, status, code) in [
                ("/rooms/vault", 403, "forbidden"),
                ("/rooms/paid", 402, "payment"),
                (&long, 403, "invalid_room"),
                ("/rooms/%20", 403, "invalid_room"),
                ("/rooms/a%0Ab", 403, "invalid_room"),
            ] {
                let refused = server.try_connect(path, &[]).await.unwrap_err();
                assert_eq!(refused.status, status, "{path}");
                assert!(refused.body.contains(&format!(r#""code":"{code}""#)), "{}", refused.body);
            }
            let stats = server.handle().stats();
            assert_eq!((stats.total, stats.rejected), (0, 5));
            // Messages of the room check arrive after the answer to the handshake.
            let mut raw = Raw::reach(&server).await;
            raw.write(REQUEST.replace("GET / ", "GET /rooms/open ").as_bytes()).await;
            assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
            raw.expect_text("from the check").await;
            assert_eq!(raw.read_json().await["rooms"], json!([]));
        })
        .await;
    }

    #[tokio::test]
    async fn a_refused_client_leaves_no_user_room_or_name_behind() {
        let server = || {
            rooms().check_rooms(async |_: String, ws: WebSocket| {
                ws.set_user("ann")?;
                ws.set_name("host")?;
                Err::<(), _>(HandlerError::new("forbidden", "not for you"))
            })
        };
        over_both(server, async |server| {
            for _ in 0..2 {
                let refused = server.try_connect("/rooms/vault", &[]).await.unwrap_err();
                assert!(refused.body.contains("forbidden"), "{}", refused.body);
            }
            let hub = server.handle().hub();
            assert_eq!((hub.user_names(), hub.room_names()), (Vec::new(), Vec::new()));
            assert!(hub.named("host").is_none());
        })
        .await;
    }

    #[tokio::test]
    async fn a_client_that_joins_a_full_room_by_its_path_is_closed() {
        let server = || rooms().limits(limits(|limits| limits.room_members = 1));
        over_both(server, async |server| {
            let mut ann = server.connect_to("/rooms/r").await;
            ann.recv_json().await;
            let mut bob = server.connect_to("/rooms/r").await;
            assert_eq!(bob.recv_json().await["rooms"], json!([]));
            assert_eq!(bob.recv_json().await["code"], "room_full");
            bob.expect_closed(1013).await;
        })
        .await;
    }

    #[test]
    fn a_room_without_its_path_parameter_is_a_build_error() {
        let router = || Router::new().join_from_path("room");
        for (server, text) in [
            (
                Server::new().route("/rooms/{hall}", router()),
                "a router joins the room `{room}` of its path, but is bound to no path with that \
                 parameter",
            ),
            (
                Server::new().include_router(router()),
                "a router joins the room `{room}` of its path, but is bound to no path with that \
                 parameter",
            ),
            (
                Server::new().route("/{room}", router().include(Router::new().join_from_path("b"))),
                "a connection joins one room of its path, but its routers name the parameters `room` \
                 and `b`: call `Router::join_from_path` once",
            ),
        ] {
            let error = server.build().unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }
}

/// Wakes the thread that runs a future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future without any runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

#[tokio::test]
async fn a_thread_without_a_runtime_can_send_more_than_a_queue_holds() {
    const MESSAGES: usize = 100;
    let server = || server().limits(limits(|limits| limits.outbound_messages = 1));
    over_both(server, async |server| {
        let mut guest = enter(&server).await;
        let hub = server.handle().hub();
        let (done, accepted) = oneshot::channel();
        thread::spawn(move || {
            let send_all = async {
                let mut accepted = 0;
                for n in 0..MESSAGES {
                    accepted += hub.all().send_text(&n.to_string()).await.unwrap().accepted;
                }
                accepted
            };
            done.send(block_on(send_all)).unwrap();
        });
        for n in 0..MESSAGES {
            assert_eq!(guest.client.recv_text().await, n.to_string());
        }
        assert_eq!(accepted.await, Ok(MESSAGES));
    })
    .await;
}
