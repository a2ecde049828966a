//! Namespaces: the connections of a route share rooms and names. All connections of a server share
//! users.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aiows::error::SendError;
use aiows::extract::{Call, FromCall};
use aiows::hub::Recipients;
use aiows::middleware::Next;
use aiows::middleware::from_fn;
use aiows::testing::TestClient;
use aiows::websocket::Departure;
use aiows::{
    ConnectionId, HandlerError, Hub, Message, Result, Router, Server, ServerHandle, WebSocket,
    connect, disconnect, fallback, message, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::time::timeout;

use super::kit::{TestServer, over_both};

const TIMEOUT: Duration = Duration::from_secs(10);

#[connect]
async fn welcome(ws: WebSocket) -> Value {
    json!({ "namespace": ws.namespace(), "you": ws.id() })
}

#[derive(Message, Deserialize)]
struct Enter {
    room: String,
    user: Option<String>,
    name: Option<String>,
}

#[message("enter")]
async fn enter(ws: WebSocket, enter: Enter) -> Result<Value> {
    if let Some(user) = &enter.user {
        ws.set_user(user)?;
    }
    if let Some(name) = &enter.name {
        ws.set_name(name)?;
    }
    ws.join(&enter.room).await?;
    Ok(json!({ "rooms": ws.rooms() }))
}

#[derive(Serialize)]
struct About<'a> {
    name: &'a str,
}

#[message("introduce")]
async fn introduce(ws: WebSocket, enter: Enter) -> Result {
    ws.join_as(&enter.room, &About { name: enter.name.as_deref().unwrap_or_default() }).await?;
    Ok(())
}

/// A send of a handler through its hub.
#[derive(Message, Deserialize)]
struct Say {
    selector: String,
    to: String,
    #[serde(default)]
    everywhere: bool,
    text: String,
}

#[message("say")]
async fn say(ws: WebSocket, hub: Hub, say: Say) -> Result<Value> {
    let target: Recipients = match say.selector.as_str() {
        "all" => hub.all(),
        "room" => hub.room(&say.to),
        "rooms" => hub.rooms([&say.to, "nowhere"]),
        "user" => hub.user(&say.to),
        "users" => hub.users([&say.to, "unknown"]),
        "others" => ws.to(&say.to),
        namespace => hub.namespace(namespace).ok_or("no such namespace")?.room(&say.to),
    };
    let target = if say.everywhere { target.everywhere() } else { target };
    Ok(match target.send_text(&say.text).await {
        Ok(delivery) => json!({ "accepted": delivery.accepted }),
        Err(error) => json!({ "failed": error.to_string() }),
    })
}

#[message("look")]
async fn look(hub: Hub, enter: Enter) -> Value {
    let (room, user) = (&enter.room, enter.user.unwrap_or_default());
    json!({
        "size": hub.size(),
        "room_size": hub.room_size(room),
        "members": hub.members(room).len(),
        "rooms": hub.room_names(),
        "named": hub.named(enter.name.unwrap_or_default()).is_some(),
        "connections": hub.connections_of(&user).len(),
        "users": hub.user_names(),
    })
}

fn router() -> Router {
    Router::new().routes(routes![welcome, enter, introduce, say, look])
}

/// A chat and a game that were written independently of each other.
fn two_routes() -> Server {
    Server::new().route("/chat/{room}", router()).route("/game/{room}", router())
}

struct Guest {
    client: TestClient,
    namespace: String,
    id: Value,
}

impl Guest {
    async fn connect(server: &TestServer, path: &str) -> Self {
        let mut client = server.connect_to(path).await;
        let welcome = client.recv_json().await;
        let namespace = welcome["namespace"].as_str().unwrap().to_owned();
        Self { client, namespace, id: welcome["you"].clone() }
    }

    async fn request(&mut self, request: Value) -> Value {
        self.client.send_json(&request).await;
        self.client.recv_json().await
    }

    async fn enter(&mut self, room: &str, user: &str) {
        let answer = self.request(json!({ "type": "enter", "room": room, "user": user })).await;
        assert_eq!(answer, json!({ "rooms": [room] }));
    }

    async fn say(&mut self, selector: &str, to: &str, text: &str) -> Value {
        self.request(json!({ "type": "say", "selector": selector, "to": to, "text": text })).await
    }

    async fn say_everywhere(&mut self, selector: &str, to: &str, text: &str) -> Value {
        let say = json!({ "type": "say", "selector": selector, "to": to, "text": text, "everywhere": true });
        self.client.send_json(&say).await;
        // The guest's own copy may come first.
        loop {
            let got = self.client.recv_text().await;
            if got != text {
                return serde_json::from_str(&got).unwrap();
            }
        }
    }

    async fn look(&mut self, room: &str) -> Value {
        self.request(json!({ "type": "look", "room": room, "user": "ann", "name": "seat" })).await
    }

    /// Expects no message: the answer to a request comes next.
    async fn expect_no_message(&mut self) {
        assert_eq!(self.look("nowhere").await["room_size"], 0);
    }

    fn id_in(&self, hub: &Hub) -> ConnectionId {
        let sockets = hub.connections_of("ann");
        sockets.iter().map(WebSocket::id).find(|id| json!(id) == self.id).unwrap()
    }
}

fn accepted(number: usize) -> Value {
    json!({ "accepted": number })
}

/// The answer to a send to a room that could be in several namespaces.
fn unnamed() -> Value {
    json!({ "failed": SendError::NoNamespace.to_string() })
}

fn set(names: Vec<String>) -> BTreeSet<String> {
    let (length, set) = (names.len(), BTreeSet::from_iter(names));
    assert_eq!(set.len(), length, "each once: {set:?}");
    set
}

fn strings<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn two_routes_do_not_share_rooms() {
    over_both(two_routes, async |server| {
        let mut chat = Guest::connect(&server, "/chat/red").await;
        let mut other = Guest::connect(&server, "/chat/red").await;
        let mut game = Guest::connect(&server, "/game/red").await;
        assert_eq!((&*chat.namespace, &*game.namespace), ("/chat/{room}", "/game/{room}"));
        for guest in [&mut chat, &mut other, &mut game] {
            guest.enter("red", "ann").await;
        }
        for (selector, to) in
            [("all", ""), ("room", "red"), ("rooms", "red"), ("user", "ann"), ("users", "ann")]
        {
            chat.client
                .send_json(
                    &json!({ "type": "say", "selector": selector, "to": to, "text": selector }),
                )
                .await;
            assert_eq!(
                (chat.client.recv_text().await, other.client.recv_text().await),
                (selector.into(), selector.into())
            );
            assert_eq!(chat.client.recv_json().await, accepted(2), "{selector}");
        }
        assert_eq!(chat.say("others", "red", "psst").await, accepted(1));
        assert_eq!(other.client.recv_text().await, "psst");
        game.expect_no_message().await;
        assert_eq!(game.say("others", "red", "alone").await, accepted(0));
        let seen = game.look("red").await;
        assert_eq!(
            (&seen["size"], &seen["room_size"], &seen["members"]),
            (&json!(1), &json!(1), &json!(1))
        );
        // The same handlers reach the other namespace if they name it.
        assert_eq!(game.say("/chat/{room}", "red", "hello").await, accepted(2));
        assert_eq!(
            (chat.client.recv_text().await, other.client.recv_text().await),
            ("hello".into(), "hello".into())
        );
    })
    .await;
}

#[tokio::test]
async fn every_hub_of_a_server_with_one_namespace_sends_to_its_rooms() {
    for (server, path, name) in [
        (Server::from(router()), "/", "root"),
        (Server::new().route("/ws", router()), "/ws", "/ws"),
        (Server::new().include_router(router()).include_router(Router::new()), "/", "root"),
        (Server::from(router().namespace("play")), "/", "play"),
        (
            Server::from(router().namespace("play")).route("/b", router().namespace("play")),
            "/b",
            "play",
        ),
    ] {
        let handle = server.handle();
        let early = handle.hub();
        assert!(early.namespace(name).is_none(), "no namespace exists before the build");
        assert_eq!(early.room("red").send_text("early").await.unwrap().accepted, 0);
        let server = TestServer::new(server);
        let mut ann = server.connect_to(path).await;
        assert_eq!(ann.recv_json().await["namespace"], name);
        ann.send_json(&json!({ "type": "enter", "room": "red", "name": "seat" })).await;
        assert_eq!(ann.recv_json().await, json!({ "rooms": ["red"] }));
        for hub in [early, handle.hub(), handle.hub().namespace(name).unwrap()] {
            for target in [
                hub.room("red"),
                hub.rooms(["red", "blue"]),
                hub.room("red").everywhere(),
                hub.all().everywhere(),
            ] {
                assert_eq!(target.send_text("hi").await.unwrap().accepted, 1);
                assert_eq!(ann.recv_text().await, "hi");
            }
            assert_eq!((hub.size(), hub.room_size("red"), hub.members("red").len()), (1, 1, 1));
            assert_eq!((hub.room_names(), hub.named("seat").is_some()), (vec!["red".into()], true));
            for unknown in ["", "/", "root2", "/chat/{room}", "Play"] {
                assert!(hub.namespace(unknown).is_none(), "{unknown}");
            }
        }
    }
}

/// One user in the room `red` of each of two routes.
async fn two_in_red(server: &TestServer) -> (Guest, Guest) {
    let mut chat = Guest::connect(server, "/chat/1").await;
    let mut game = Guest::connect(server, "/game/1").await;
    chat.enter("red", "ann").await;
    game.enter("red", "ann").await;
    (chat, game)
}

#[tokio::test]
async fn the_hub_of_the_server_sends_to_all_namespaces() {
    over_both(two_routes, async |server| {
        let (mut chat, mut game) = two_in_red(&server).await;
        game.request(json!({ "type": "enter", "room": "blue", "name": "seat" })).await;
        let hub = server.handle().hub();
        let id = game.id_in(&hub);
        for (target, reached) in [
            (hub.all(), 2),
            (hub.user("ann"), 2),
            (hub.users(["ann", "bob"]), 2),
            (hub.all().except(id), 1),
            (hub.all().filter(|ws| ws.namespace() == "/game/{room}"), 1),
            (hub.connection(id), 1),
            (hub.user("bob"), 0),
        ] {
            assert_eq!(target.send_text("to all").await.unwrap().accepted, reached);
        }
        for (guest, number) in [(&mut chat, 4), (&mut game, 5)] {
            for _ in 0..number {
                assert_eq!(guest.client.recv_text().await, "to all");
            }
            guest.expect_no_message().await;
        }
        for target in [hub.room("red"), hub.rooms(["red", "blue"]), hub.room("red").everywhere()] {
            let error = target.send_text("ambiguous").await.unwrap_err();
            assert!(matches!(error, SendError::NoNamespace), "{error:?}");
            assert_eq!(
                error.to_string(),
                "this server has several namespaces with rooms of their own, write \
                 `hub.namespace(\"..\")` to name one"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn the_hub_of_the_server_sums_over_its_namespaces() {
    over_both(two_routes, async |server| {
        let (mut chat, mut game) = two_in_red(&server).await;
        game.request(json!({ "type": "enter", "room": "blue", "name": "seat" })).await;
        let hub = server.handle().hub();
        let id = game.id_in(&hub);
        assert_eq!((hub.size(), hub.room_size("red"), hub.room_size("blue")), (2, 2, 1));
        let members: BTreeSet<_> =
            hub.members("red").iter().map(|ws| ws.namespace().to_owned()).collect();
        assert_eq!(members, strings(["/chat/{room}", "/game/{room}"]));
        assert_eq!(set(hub.room_names()), strings(["red", "blue"]));
        assert_eq!((hub.user_names(), hub.connections_of("ann").len()), (vec!["ann".into()], 2));
        assert_eq!(hub.get(id).map(|ws| ws.id()), Some(id));
        // A connection's name is unique within its namespace.
        assert_eq!(hub.named("seat").map(|ws| ws.id()), Some(id));
        chat.request(json!({ "type": "enter", "room": "red", "name": "seat" })).await;
        assert!(hub.named("seat").is_none());
        assert!(hub.namespace("/chat/{room}").unwrap().named("seat").is_some());

        for (name, room, reached) in
            [("/chat/{room}", "red", 1), ("/game/{room}", "blue", 1), ("/chat/{room}", "blue", 0)]
        {
            let hub = hub.namespace(name).unwrap();
            assert_eq!(hub.room(room).send_text("here").await.unwrap().accepted, reached);
            assert_eq!((hub.size(), hub.room_size(room)), (1, reached));
            assert!(hub.get(id).is_some());
        }
        assert_eq!(
            (chat.client.recv_text().await, game.client.recv_text().await),
            ("here".into(), "here".into())
        );
        for unknown in ["root", "/chat", "/chat/{name}", "chat"] {
            assert!(hub.namespace(unknown).is_none(), "{unknown}");
        }
        assert!(hub.disconnect(id, 4000, "you"));
        game.client.expect_closed(4000).await;
    })
    .await;
}

#[tokio::test]
async fn users_and_connections_are_known_to_the_whole_server() {
    over_both(two_routes, async |server| {
        let mut chat = Guest::connect(&server, "/chat/1").await;
        let mut game = Guest::connect(&server, "/game/1").await;
        let mut eve = Guest::connect(&server, "/game/1").await;
        chat.enter("red", "ann").await;
        game.enter("red", "ann").await;
        eve.enter("red", "eve").await;
        for (selector, to, reached) in [("user", "ann", 2), ("users", "ann", 2), ("all", "", 3)] {
            assert_eq!(
                chat.say_everywhere(selector, to, selector).await,
                accepted(reached),
                "{selector}"
            );
            assert_eq!(game.client.recv_text().await, selector);
        }
        assert_eq!(eve.client.recv_text().await, "all");
        for selector in ["room", "rooms", "others"] {
            assert_eq!(
                chat.say_everywhere(selector, "red", "ambiguous").await,
                unnamed(),
                "{selector}"
            );
        }
        eve.expect_no_message().await;
        let seen = chat.look("red").await;
        assert_eq!((&seen["size"], &seen["connections"]), (&json!(1), &json!(2)));
        let users: Vec<String> = serde_json::from_value(seen["users"].clone()).unwrap();
        assert_eq!(set(users), strings(["ann", "eve"]));

        let hub = server.handle().hub();
        let of_chat = hub.namespace("/chat/{room}").unwrap();
        let id = game.id_in(&hub);
        assert_eq!(of_chat.connection(id).send_text("by id").await.unwrap().accepted, 1);
        assert_eq!(game.client.recv_text().await, "by id");
        assert_eq!(of_chat.get(id).map(|ws| ws.id()), Some(id));
        assert_eq!(of_chat.disconnect_user("ann", 4001, "signed out"), 2);
        for guest in [&mut chat, &mut game] {
            assert_eq!(guest.client.expect_closed(4001).await, "signed out");
        }
        assert!(!of_chat.disconnect(id, 4002, "again"));
        assert_eq!(hub.user_names(), ["eve"]);
        assert!(of_chat.disconnect(hub.connections_of("eve")[0].id(), 4003, "too"));
        eve.client.expect_closed(4003).await;
        assert_eq!((hub.user_names(), hub.room_names()), (vec![], vec![]));
    })
    .await;
}

#[tokio::test]
async fn routers_with_the_same_namespace_name_share_it() {
    let server = || {
        Server::new()
            .include_router(router())
            .route("/play", router().namespace("play"))
            .route("/watch/{table}", router().namespace("play"))
            .route("/chat", router())
    };
    over_both(server, async |server| {
        let mut player = Guest::connect(&server, "/play").await;
        let mut watcher = Guest::connect(&server, "/watch/1").await;
        let mut chat = Guest::connect(&server, "/chat").await;
        let mut root = Guest::connect(&server, "/any").await;
        let guests = [&mut player, &mut watcher, &mut chat, &mut root];
        assert_eq!(guests.map(|guest| guest.namespace.clone()), ["play", "play", "/chat", "root"]);
        for guest in [&mut player, &mut watcher, &mut chat, &mut root] {
            guest.enter("red", "ann").await;
        }
        assert_eq!(player.say("others", "red", "move").await, accepted(1));
        assert_eq!(watcher.client.recv_text().await, "move");
        chat.expect_no_message().await;
        root.expect_no_message().await;
        let answer =
            watcher.request(json!({ "type": "enter", "room": "red", "name": "seat" })).await;
        assert_eq!(answer, json!({ "rooms": ["red"] }));
        let taken = player.request(json!({ "type": "enter", "room": "red", "name": "seat" })).await;
        assert_eq!(taken["code"], "name_taken");
        // The name is available in another namespace.
        chat.request(json!({ "type": "enter", "room": "red", "name": "seat" })).await;
        let hub = server.handle().hub();
        for (name, size) in [("play", 2), ("/chat", 1), ("root", 1)] {
            assert_eq!(hub.namespace(name).unwrap().room_size("red"), size, "{name}");
        }
        for unknown in ["/play", "/watch/{table}"] {
            assert!(hub.namespace(unknown).is_none(), "{unknown}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_router_at_two_paths_is_in_two_namespaces() {
    let server = || {
        let shared = router();
        Server::new().route("/a", shared.clone()).route("/räume/{b}", shared)
    };
    over_both(server, async |server| {
        let mut a = Guest::connect(&server, "/a").await;
        let mut b = Guest::connect(&server, "/r%C3%A4ume/1").await;
        // A namespace is named by the path as the program spells it.
        assert_eq!((&*a.namespace, &*b.namespace), ("/a", "/räume/{b}"));
        a.enter("red", "ann").await;
        b.enter("red", "ann").await;
        assert_eq!(a.say("others", "red", "hi").await, accepted(0));
        assert!(server.handle().hub().namespace("/räume/{b}").is_some());
    })
    .await;
}

#[tokio::test]
async fn the_room_of_the_path_and_its_check_belong_to_the_route() {
    let server = || {
        let rooms = || router().join_from_path("room");
        Server::new().route("/chat/{room}", rooms()).route("/game/{room}", rooms()).check_rooms(
            async |room: String, ws: WebSocket| match ws.namespace() {
                "/chat/{room}" => Ok(()),
                "/game/{room}" if room == "red" => Ok(()),
                other => Err(HandlerError::new("forbidden", "not here").with("namespace", other)),
            },
        )
    };
    over_both(server, async |server| {
        let refused = server.try_connect("/game/blue", &[]).await.unwrap_err();
        assert_eq!(refused.status, 403);
        assert!(refused.body.contains(r#""namespace":"/game/{room}""#), "{}", refused.body);
        let mut chat = Guest::connect(&server, "/chat/red").await;
        let mut game = Guest::connect(&server, "/game/red").await;
        for guest in [&mut chat, &mut game] {
            assert_eq!(guest.look("red").await["room_size"], 1);
            assert_eq!(guest.say("others", "red", "alone").await, accepted(0));
        }
        assert_eq!(
            game.request(json!({ "type": "enter", "room": "blue" })).await["code"],
            "forbidden"
        );
        assert_eq!(server.handle().hub().room_size("red"), 2);
    })
    .await;
}

#[tokio::test]
async fn a_server_that_requires_rooms_refuses_to_send_to_all() {
    let server = || two_routes().require_room();
    over_both(server, async |server| {
        let mut chat = Guest::connect(&server, "/chat/1").await;
        chat.enter("red", "ann").await;
        for answer in [chat.say("all", "", "x").await, chat.say_everywhere("all", "", "x").await] {
            assert_eq!(answer, json!({ "failed": SendError::NoRoom.to_string() }));
        }
        let hub = server.handle().hub();
        assert!(matches!(hub.all().send_text("x").await, Err(SendError::NoRoom)));
        assert_eq!(hub.user("ann").send_text("to ann").await.unwrap().accepted, 1);
        assert_eq!(chat.client.recv_text().await, "to ann");
    })
    .await;
}

#[tokio::test]
async fn members_are_announced_only_within_their_namespace() {
    over_both(two_routes, async |server| {
        let mut chat = Guest::connect(&server, "/chat/1").await;
        let mut game = Guest::connect(&server, "/game/1").await;
        let introduce = |name: &str| json!({ "type": "introduce", "room": "red", "name": name });
        chat.client.send_json(&introduce("ann")).await;
        let list = chat.client.recv_json().await;
        assert_eq!(
            (&list["type"], &list["members"][0]["name"]),
            (&json!("room.members"), &json!("ann"))
        );
        game.client.send_json(&introduce("bob")).await;
        let list = game.client.recv_json().await;
        assert_eq!(
            (&list["members"][0]["name"], &list["members"][1]),
            (&json!("bob"), &json!(null))
        );
        let hub = server.handle().hub();
        let names = |hub: &Hub| -> BTreeSet<_> {
            let infos = hub.member_infos("red").into_iter();
            infos.map(|info| info["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&hub), strings(["ann", "bob"]));
        assert_eq!(names(&hub.namespace("/game/{room}").unwrap()), strings(["bob"]));
        // The announcement about the third client has been sent, but not to the chat.
        let mut cid = Guest::connect(&server, "/game/1").await;
        cid.client.send_json(&introduce("cid")).await;
        assert_eq!(game.client.recv_json().await["members"][0]["name"], "cid");
        chat.expect_no_message().await;
    })
    .await;
}

#[tokio::test]
async fn shutdown_and_statistics_cover_all_namespaces_of_the_server() {
    let handle = |server: &TestServer| ServerHandle::clone(server.handle());
    over_both(two_routes, async |server| {
        let mut guests = Vec::new();
        for path in ["/chat/1", "/game/1", "/game/2"] {
            guests.push(Guest::connect(&server, path).await);
        }
        let handle = handle(&server);
        assert_eq!(handle.hub().all().send_text("hi").await.unwrap().accepted, 3);
        for guest in &mut guests {
            assert_eq!(guest.client.recv_text().await, "hi");
        }
        let stats = handle.stats();
        assert_eq!((stats.active, stats.total), (3, 3));
        assert_eq!((stats.outbound.queued, stats.outbound.pending), (6, 0));
        handle.hub().disconnect_user("unknown", 4000, "");
        guests.remove(0).client.close(1000, "").await;
        let stopping = handle.shutdown(TIMEOUT);
        for guest in &mut guests {
            guest.client.expect_closed(1001).await;
        }
        stopping.await;
        let stats = handle.stats();
        assert_eq!((stats.active, stats.total, stats.outbound.queued), (0, 3, 6));
    })
    .await;
}

/// Sends the size of a handler's hub and of the hub of its `ServerHandle` to the watcher.
async fn sizes(of: &str, ws: &WebSocket, hub: &Hub, server: &ServerHandle) -> Result {
    let sizes = json!({ "of": of, "own": hub.size(), "server": server.hub().size() });
    Ok(hub.user("watcher").everywhere().except(ws.id()).send_json(&sizes).await.map(drop)?)
}

#[tokio::test]
async fn first_and_last_refer_to_the_server_for_a_user_and_to_the_namespace_for_a_room() {
    #[connect]
    async fn arrive(ws: WebSocket) -> Result<Value> {
        let (user, room) = (ws.set_user("ann")?.is_first(), ws.join("red").await?.is_first());
        Ok(json!({ "first": [user, room] }))
    }
    #[disconnect]
    async fn depart(ws: WebSocket, hub: Hub, departure: Departure) -> Result {
        let last = json!({ "last": [departure.is_last_of_user(), departure.is_last_in("red")] });
        hub.user("watcher").everywhere().except(ws.id()).send_json(&last).await?;
        Ok(())
    }
    let server = || {
        let rooms = || Router::new().routes(routes![arrive, depart]);
        Server::new().route("/chat", rooms()).route("/game", rooms()).route("/watch", router())
    };
    over_both(server, async |server| {
        let mut watcher = Guest::connect(&server, "/watch").await;
        watcher.enter("any", "watcher").await;
        let mut clients = Vec::new();
        for (path, first) in
            [("/chat", [true, true]), ("/game", [false, true]), ("/game", [false; 2])]
        {
            let mut client = server.connect_to(path).await;
            assert_eq!(client.recv_json().await, json!({ "first": first }));
            clients.push(client);
        }
        for last in [[false, true], [false, false], [true, true]] {
            clients.remove(0).close(1000, "").await;
            assert_eq!(watcher.client.recv_json().await, json!({ "last": last }));
        }
    })
    .await;
}

#[tokio::test]
async fn every_kind_of_handler_has_the_hub_of_its_namespace() {
    #[connect]
    async fn came(ws: WebSocket, hub: Hub, server: ServerHandle) -> Result {
        sizes("connect", &ws, &hub, &server).await
    }
    #[fallback]
    async fn other(ws: WebSocket, hub: Hub, server: ServerHandle) -> Result {
        sizes("fallback", &ws, &hub, &server).await
    }
    #[disconnect]
    async fn left(ws: WebSocket, hub: Hub, server: ServerHandle) -> Result {
        sizes("disconnect", &ws, &hub, &server).await
    }
    let server = || {
        let layer = from_fn(async |call: Call, next: Next| {
            let (hub, server) =
                (Hub::from_call(&call).await?, ServerHandle::from_call(&call).await?);
            sizes("middleware", call.websocket(), &hub, &server).await?;
            next.run(call).await
        });
        let inner = Router::new().routes(routes![other]).state(7_u8).middleware(layer);
        let game = Router::new().routes(routes![came, left]).include(inner);
        Server::new().route("/game", game).route("/watch", router())
    };
    over_both(server, async |server| {
        let mut watcher = Guest::connect(&server, "/watch").await;
        watcher.enter("any", "watcher").await;
        let mut game = server.connect_to("/game").await;
        let sizes = |of: &str, own: usize| json!({ "of": of, "own": own, "server": own + 1 });
        assert_eq!(watcher.client.recv_json().await, sizes("connect", 0));
        game.send_json(&json!({ "type": "any" })).await;
        assert_eq!(watcher.client.recv_json().await, sizes("middleware", 1));
        assert_eq!(watcher.client.recv_json().await, sizes("fallback", 1));
        game.close(1000, "").await;
        assert_eq!(watcher.client.recv_json().await, sizes("disconnect", 0));
    })
    .await;
}

fn mistakes(server: Server) -> Vec<String> {
    let error = server.build().unwrap_err().to_string();
    error.lines().skip(1).map(|line| line.trim_start_matches([' ', '-']).to_owned()).collect()
}

#[test]
fn a_connection_in_two_namespaces_or_a_reserved_or_invalid_name_is_a_mistake() {
    let named = |name: &str| Router::new().namespace(name);
    let inner = |name| {
        format!(
            "a router sets the namespace `{name}`, but the router that includes it sets none: set it \
             there, since a connection is in one namespace"
        )
    };
    let contrary = "a router sets the namespace `b`, but the router that includes it sets `a`, and a \
                    connection is in one: remove it from the inner router, or bind that router to a \
                    path of its own";
    let reserved = "names that begin with `/` belong to routes without a name: choose another name, \
                    and set it on every router of the namespace";
    for (server, mistake) in [
        (Server::from(named("")), "a router sets the namespace ``, but a name must have at least one character".to_owned()),
        (
            Server::from(named("a b")),
            "a router sets the namespace `a b`, but a name must not have white space or control \
             characters"
                .to_owned(),
        ),
        (
            Server::from(named("root")),
            "a router sets the namespace `root`, but that is the namespace of `Server::include_router`: choose \
             another name"
                .to_owned(),
        ),
        // The name of another route would merge the two namespaces.
        (
            Server::new().route("/chat", Router::new()).route("/game", named("/chat")),
            format!("a router sets the namespace `/chat`, but {reserved}"),
        ),
        (
            Server::from(named("a").namespace("b")),
            "one connection is in one namespace, but its routers set `a` and `b`: set one of them".to_owned(),
        ),
        (
            Server::from(named("a")).include_router(Router::new()).include_router(named("b")),
            "one connection is in one namespace, but its routers set `a` and `b`: set one of them".to_owned(),
        ),
        (Server::from(named("a").include(named("b"))), contrary.to_owned()),
        (Server::from(Router::new().include(named("b"))), inner("b")),
        (Server::new().route("/x", Router::new().nest("x.", named("b"))), inner("b")),
        (
            Server::new().route("/x", named("a").include(Router::new().include(named("b")))),
            contrary.to_owned(),
        ),
    ] {
        assert_eq!(mistakes(server), [mistake]);
    }
    for server in [
        Server::from(named("a").include(named("a")).namespace("a")),
        Server::from(Router::new()).include_router(named("a")).include_router(named("a")),
        Server::new().route("/x", named("a")).route("/y", named("a")).route("/a", Router::new()),
    ] {
        assert!(server.build().is_ok());
    }
}

const ROUNDS: usize = 1_000;

/// Joins and leaves rooms and sends in all ways. Checks that it receives only the texts of its own
/// namespace.
async fn use_namespace(mut client: TestClient, mine: &'static str, start: Arc<Barrier>) {
    let room = |round: usize| format!("room-{}", round % 3);
    start.wait().await;
    let mut received = 0;
    for round in 0..ROUNDS {
        let selector = ["room", "all", "user", "others", "rooms"][round % 5];
        let to = if selector == "user" { "ann".to_owned() } else { room(round) };
        let enter = json!({ "type": "enter", "room": room(round), "user": "ann" });
        let say = json!({ "type": "say", "selector": selector, "to": to, "text": mine });
        let leave = json!({ "type": "leave", "room": room(round) });
        for request in [&enter, &say, &leave] {
            client.send_json(request).await;
            loop {
                let got = client.recv_text().await;
                if got.starts_with('{') {
                    assert!(!got.contains("error") && !got.contains("failed"), "{got}");
                    break;
                }
                assert_eq!(got, mine, "in round {round}");
                received += 1;
            }
        }
    }
    assert!(received >= ROUNDS / 2, "only {received}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_join_and_send_at_once_receive_no_message_of_another_namespace() {
    #[message("leave")]
    async fn leave(ws: WebSocket, enter: Enter) -> Value {
        let _ = ws.leave(&enter.room);
        json!({ "rooms": ws.rooms() })
    }
    let router = || router().routes(routes![leave]);
    let server = || Server::new().route("/chat", router()).route("/game", router());
    over_both(server, async |server| {
        let start = Arc::new(Barrier::new(6));
        let mut tasks = Vec::new();
        for (path, text) in [("/chat", "of the chat"), ("/game", "of the game")].repeat(3) {
            let client = Guest::connect(&server, path).await.client;
            tasks.push(tokio::spawn(use_namespace(client, text, Arc::clone(&start))));
        }
        for task in tasks {
            timeout(Duration::from_secs(120), task).await.unwrap().unwrap();
        }
        let handle = server.handle().clone();
        handle.shutdown(TIMEOUT).await;
        let hub = handle.hub();
        assert_eq!((hub.size(), hub.room_names(), hub.user_names()), (0, vec![], vec![]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn disconnecting_a_user_closes_its_connections_in_all_namespaces_while_they_are_set_up() {
    let server = TestServer::new(two_routes());
    let hub = server.handle().hub();
    for round in 0..100 {
        let mut guests = Vec::new();
        for path in ["/chat/1", "/game/1", "/chat/2", "/game/2"] {
            guests.push(Guest::connect(&server, path).await);
        }
        let closing = tokio::spawn({
            let hub = hub.namespace("/chat/{room}").unwrap();
            async move {
                let mut closed = 0;
                while closed < 4 {
                    closed += hub.disconnect_user("ann", 4001, "out");
                    tokio::task::yield_now().await;
                }
                closed
            }
        });
        for guest in &mut guests {
            guest.client.send_json(&json!({ "type": "enter", "room": "red", "user": "ann" })).await;
        }
        assert_eq!(timeout(TIMEOUT, closing).await.unwrap().unwrap(), 4, "round {round}");
        assert_eq!((hub.user_names(), hub.room_size("red")), (vec![], 0), "round {round}");
    }
}
