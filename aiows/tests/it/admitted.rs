//! The hub knows a connection from its admission until it is closed or its client leaves.

use std::sync::Arc;
use std::time::Duration;

use aiows::extract::Call;
use aiows::middleware::Next;
use aiows::routing::{Outcome, Route};
use aiows::testing::{TestClient, TestServer};
use aiows::websocket::Departure;
use aiows::{
    DisconnectReason, HandlerError, Hub, Limits, Message, Result, Router, Server, State, WebSocket,
    connect, disconnect, message, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use crate::raw::{Raw, ends, limits, over_both};

const SOON: Duration = Duration::from_secs(5);

/// A handler waits here until the test opens the gate.
#[derive(Clone, Default)]
struct Gate {
    reached: Arc<Notify>,
    open: Arc<Notify>,
}

impl Gate {
    async fn pass(&self) {
        self.reached.notify_one();
        self.open.notified().await;
    }

    async fn reached(&self) {
        timeout(SOON, self.reached.notified()).await.expect("a handler at the gate");
    }

    fn open(&self) {
        self.open.notify_one();
    }
}

#[derive(Message, Deserialize, Serialize)]
struct Enter {
    name: String,
}

#[message("enter")]
async fn enter(ws: WebSocket, enter: Enter) -> Result<Value> {
    ws.join_as("lobby", &json!({ "name": enter.name })).await?;
    ws.set_user(&enter.name)?;
    ws.set_name(&enter.name)?;
    Ok(json!({ "entered": true }))
}

async fn entered(server: &TestServer, name: &str) -> TestClient {
    let mut client = server.connect_to("/lobby").await;
    client.send(&Enter { name: name.into() }).await;
    while client.recv_json().await != json!({ "entered": true }) {}
    client
}

/// Returns a server with a connect handler that lets the first connection pass and holds all later
/// ones at the gate.
fn gated(gate: &Gate, refuses: bool) -> Server {
    let (gate, first) = (gate.clone(), Arc::new(std::sync::atomic::AtomicBool::new(true)));
    let check = Route::connect(move |_: Call| {
        let is_first = first.swap(false, std::sync::atomic::Ordering::Relaxed);
        let gate = gate.clone();
        async move {
            if is_first {
                return Ok(json!({ "welcome": true }));
            }
            gate.pass().await;
            match refuses {
                true => Err(HandlerError::new("no_token", "who are you?")),
                false => Ok(json!({ "welcome": true })),
            }
        }
    });
    let router = Router::new().route(check).routes(routes![enter]).join_from_path("room");
    Server::new().route("/{room}", router)
}

#[tokio::test]
async fn a_connection_in_its_connect_handler_receives_no_broadcast_and_is_not_counted() {
    let gate = Gate::default();
    over_both(
        || gated(&gate, false),
        async |server| {
            let mut ann = entered(&server, "ann").await;
            let mut bob = server.connect_to("/lobby").await;
            gate.reached().await;
            let hub = server.handle().hub();
            assert_eq!((hub.size(), hub.room_size("lobby"), hub.members("lobby").len()), (1, 1, 1));
            assert_eq!(hub.all().send_text("for all").await.unwrap().accepted, 1);
            assert_eq!(hub.room("lobby").send_text("for the room").await.unwrap().accepted, 1);
            gate.open();
            assert_eq!(bob.recv_json().await, json!({ "welcome": true }));
            while hub.size() < 2 {
                tokio::task::yield_now().await;
            }
            assert_eq!(hub.room("lobby").send_text("together").await.unwrap().accepted, 2);
            // The announcement that Ann has joined may still reach Bob.
            let mut first = bob.recv_text().await;
            while first.starts_with('{') {
                first = bob.recv_text().await;
            }
            assert_eq!(first, "together");
            let mut received = Vec::new();
            while received.last().is_none_or(|text| text != "together") {
                received.push(ann.recv_text().await);
            }
            received.retain(|text| !text.starts_with('{'));
            assert_eq!(received, ["for all", "for the room", "together"]);
        },
    )
    .await;
}

#[tokio::test]
async fn a_refused_connection_never_appears_in_the_hub() {
    let gate = Gate::default();
    over_both(
        || gated(&gate, true),
        async |server| {
            let _ann = entered(&server, "ann").await;
            let mut eve = server.connect_to("/lobby").await;
            gate.reached().await;
            let hub = server.handle().hub();
            let sent = hub.all().send_text("secret").await.unwrap();
            assert_eq!(sent.accepted, 1);
            gate.open();
            assert_eq!(eve.recv_json().await["code"], "no_token");
            assert_eq!(eve.expect_closed(1008).await, "no_token");
            assert_eq!(hub.size(), 1);
        },
    )
    .await;
}

#[tokio::test]
async fn a_connection_is_admitted_when_its_on_connect_middleware_has_returned() {
    struct Slow(Gate);

    impl aiows::middleware::Middleware for Slow {
        async fn on_connect(&self, call: Call, next: Next) -> Result<Outcome, HandlerError> {
            let outcome = next.run(call).await?;
            self.0.pass().await;
            Ok(outcome)
        }
    }
    let gate = Gate::default();
    let server = TestServer::new(Router::new().middleware(Slow(gate.clone())));
    let mut client = server.connect().await;
    gate.reached().await;
    let hub = server.handle().hub();
    assert_eq!((hub.size(), hub.all().send_text("early").await.unwrap().accepted), (0, 0));
    gate.open();
    while hub.size() == 0 {
        tokio::task::yield_now().await;
    }
    hub.all().send_text("now").await.unwrap();
    assert_eq!(client.recv_text().await, "now");
}

#[tokio::test]
async fn a_connection_that_joins_in_its_connect_handler_is_a_member_at_once() {
    #[connect]
    async fn join(ws: WebSocket, hub: Hub) -> Result<Value> {
        ws.join("mine").await?;
        ws.set_user("ann")?;
        Ok(json!({ "room": hub.room_size("mine"), "user": hub.connections_of("ann").len() }))
    }
    let server = TestServer::new(Router::new().routes(routes![join]));
    let mut client = server.connect().await;
    assert_eq!(client.recv_json().await, json!({ "room": 1, "user": 1 }));
}

#[derive(Clone)]
struct Case {
    how: &'static str,
    calls: mpsc::Sender<&'static str>,
}

impl Case {
    fn note(&self, handler: &'static str) {
        self.calls.try_send(handler).unwrap();
    }
}

#[connect]
async fn close_here(ws: WebSocket, hub: Hub, State(case): State<Case>) -> Result<Value> {
    match case.how {
        "close" => ws.close(4001, "enough"),
        "hub" => assert!(hub.disconnect(ws.id(), 4001, "enough")),
        _ => return Err(HandlerError::new("enough", "enough").close(4001)),
    }
    Ok(json!({ "never": "sent" }))
}

#[connect]
async fn connect_next(State(case): State<Case>) {
    case.note("second");
}

#[message("work")]
async fn message_next(State(case): State<Case>) {
    case.note("message");
}

#[disconnect]
async fn end(State(case): State<Case>) {
    case.note("disconnect");
}

#[disconnect(always)]
async fn always(State(case): State<Case>) {
    case.note("always");
}

fn closing(case: &Case, is_layered: bool) -> Router {
    let handlers = routes![close_here, connect_next, message_next, end, always];
    let router = Router::new().routes(handlers).state(case.clone());
    if is_layered { router.middleware(Passing) } else { router }
}

struct Passing;

impl aiows::middleware::Middleware for Passing {
    async fn on_connect(&self, call: Call, next: Next) -> Result<Outcome, HandlerError> {
        next.run(call).await
    }
}

#[tokio::test]
async fn only_always_handlers_run_after_a_connect_handler_that_closes() {
    for (how, is_layered) in [
        ("close", false),
        ("close", true),
        ("hub", false),
        ("hub", true),
        ("error", false),
        ("error", true),
    ] {
        let (calls, mut called) = mpsc::channel(8);
        let case = Case { how, calls };
        over_both(
            || Server::from(closing(&case, is_layered)),
            async |server| {
                let mut raw = Raw::join(&server).await;
                raw.send_text(r#"{"type":"work"}"#).await;
                if how == "error" {
                    assert_eq!(raw.read_json().await["code"], "enough");
                }
                assert_eq!(raw.read_close(4001).await, "enough", "{how} {is_layered}");
                raw.send_close(4001, "").await;
                raw.expect_end().await;
            },
        )
        .await;
        drop(case);
        let mut all = Vec::new();
        while let Some(call) = timeout(SOON, called.recv()).await.unwrap() {
            all.push(call);
        }
        // One call for each of the two servers.
        assert_eq!(all, ["always", "always"], "{how} {is_layered}");
    }
}

#[derive(Message, Deserialize, Serialize)]
struct Work {}

/// Waits at the gate, then tries to join rooms and take names again, and reports each result.
#[message("work")]
async fn work(ws: WebSocket, State(work): State<Station>, _: Work) -> Result {
    work.gate.pass().await;
    let tried = json!({
        "join": ws.join("lobby").await.is_ok(),
        "join_as": ws.join_as("lobby", &json!({ "name": "again" })).await.is_ok(),
        "user": ws.set_user("ann").is_ok(),
        "name": ws.set_name("ann").is_ok(),
        "rooms": ws.rooms(),
        "is_in": ws.is_in("lobby"),
        "current_user": ws.user().as_deref(),
        "send": ws.to("lobby").send_text("again").await.is_ok(),
    });
    work.tried.try_send(tried).unwrap();
    Ok(())
}

#[derive(Clone)]
struct Station {
    gate: Gate,
    tried: mpsc::Sender<Value>,
}

struct Tries(tokio::sync::Mutex<mpsc::Receiver<Value>>);

impl Tries {
    async fn next(&self) -> Value {
        timeout(SOON, self.0.lock().await.recv()).await.unwrap().unwrap()
    }
}

fn station() -> (Station, Tries) {
    let (tried, tries) = mpsc::channel(4);
    (Station { gate: Gate::default(), tried }, Tries(tries.into()))
}

fn lobby(station: &Station) -> Server {
    Server::new()
        .route("/{room}", Router::new().routes(routes![enter, work]).state(station.clone()))
}

/// Expects that the server has no connections, rooms or users left, and that the name `ann` is
/// free.
async fn expect_gone(server: &TestServer) {
    let hub = server.handle().hub();
    while hub.size() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((hub.room_names(), hub.user_names()), (Vec::new(), Vec::new()));
    assert_eq!(hub.member_infos("lobby"), Vec::<Value>::new());
    assert!(hub.named("ann").is_none());
    let _again = entered(server, "ann").await;
}

#[tokio::test]
async fn a_closed_connection_leaves_the_hub_at_once_and_cannot_join_again() {
    for how in ["close", "disconnect", "user"] {
        let (station, tries) = station();
        over_both(
            || lobby(&station),
            async |server| {
                let mut ann = entered(&server, "ann").await;
                ann.send(&Work {}).await;
                station.gate.reached().await;
                let hub = server.handle().hub();
                let socket = hub.named("ann").unwrap();
                match how {
                    "close" => socket.close(4000, "out"),
                    "disconnect" => assert!(hub.disconnect(socket.id(), 4000, "out")),
                    _ => assert_eq!(hub.disconnect_user("ann", 4000, "out"), 1),
                }
                assert_eq!((hub.size(), hub.room_size("lobby")), (0, 0), "{how}");
                assert!(hub.get(socket.id()).is_none() && hub.named("ann").is_none(), "{how}");
                assert_eq!(hub.all().send_text("x").await.unwrap().accepted, 0);
                expect_gone(&server).await;
                station.gate.open();
                let tried = tries.next().await;
                let refused = json!({
                    "join": false, "join_as": false, "user": false, "name": false,
                    "rooms": [], "is_in": false, "current_user": null, "send": false,
                });
                assert_eq!(tried, refused, "{how}");
                ann.expect_closed(4000).await;
            },
        )
        .await;
    }
}

#[tokio::test]
async fn a_client_that_has_left_is_not_a_member_while_its_handler_still_runs() {
    for how in ["close", "finish", "reset"] {
        let (station, tries) = station();
        let server = TestServer::bind(lobby(&station)).await;
        let mut raw = Raw::dial(&server).await;
        raw.write(crate::raw::REQUEST.replace("GET / ", "GET /lobby ").as_bytes()).await;
        raw.read_head().await;
        raw.send_text(r#"{"type":"enter","name":"ann"}"#).await;
        while raw.read_json().await != json!({ "entered": true }) {}
        raw.send_text(r#"{"type":"work"}"#).await;
        station.gate.reached().await;
        match how {
            "close" => raw.send_close(1000, "bye").await,
            "finish" => raw.finish().await,
            _ => raw.reset(),
        }
        expect_gone(&server).await;
        station.gate.open();
        let tried = tries.next().await;
        for change in ["join", "join_as", "user", "name"] {
            assert_eq!(tried[change], false, "{how} {change}");
        }
    }
}

#[tokio::test]
async fn a_client_outside_a_room_cannot_send_to_it() {
    #[message("say")]
    async fn say(ws: WebSocket, enter: Enter) -> Result {
        ws.to("lobby").send_text(&enter.name).await?;
        Ok(())
    }
    #[message("leave")]
    async fn leave(ws: WebSocket) -> Value {
        json!({ "left": ws.leave("lobby").was_member() })
    }
    let rooms = || Router::new().routes(routes![enter, say, leave]).namespace("rooms");
    over_both(
        || Server::new().route("/lobby", rooms()).route("/", rooms()),
        async |server| {
            let mut ann = entered(&server, "ann").await;
            let mut eve = server.connect().await;
            let say = json!({ "type": "say", "name": "let me in", "id": 1 });
            let forbidden = json!({
                "type": "error", "code": "forbidden", "message": "join the room first",
                "message_type": "say", "correlation_id": 1,
            });
            eve.send_json(&say).await;
            assert_eq!(eve.recv_json().await, forbidden);
            eve.send(&Enter { name: "eve".into() }).await;
            while eve.recv_json().await != json!({ "entered": true }) {}
            eve.send_json(&json!({ "type": "leave" })).await;
            while eve.recv_json().await != json!({ "left": true }) {}
            eve.send_json(&say).await;
            assert_eq!(eve.recv_json().await, forbidden);
            // The server can send to the room, and its text is the first one that arrives there.
            let hub = server.handle().hub();
            assert_eq!(hub.room("lobby").send_text("welcome").await.unwrap().accepted, 1);
            let mut received = ann.recv_text().await;
            while received.starts_with('{') {
                received = ann.recv_text().await;
            }
            assert_eq!(received, "welcome");
        },
    )
    .await;
}

#[tokio::test]
async fn a_message_sent_right_before_the_close_frame_still_reaches_the_room() {
    #[message("say")]
    async fn say(ws: WebSocket, enter: Enter) -> Result {
        ws.to("lobby").send_text(&enter.name).await?;
        Ok(())
    }
    let router = || Router::new().routes(routes![enter, say]).join_from_path("room");
    over_both(
        || Server::new().route("/{room}", router()),
        async |server| {
            let mut ann = entered(&server, "ann").await;
            let mut raw = Raw::reach(&server).await;
            let say = crate::raw::masked(0x81, br#"{"type":"say","name":"I was here"}"#);
            let close = crate::raw::masked(0x88, &1000_u16.to_be_bytes());
            let request = crate::raw::REQUEST.replace("GET / ", "GET /lobby ");
            raw.write(&[request.as_bytes(), &say, &close].concat()).await;
            while ann.recv_text().await != "I was here" {}
            raw.read_head().await;
            raw.read_close(1000).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_disconnect_handler_sees_the_room_in_the_path_once_if_the_connect_handler_joined_it() {
    #[connect]
    async fn arrive(ws: WebSocket, State(gate): State<Gate>) -> Result {
        ws.join("lobby").await?;
        gate.pass().await;
        ws.closed().await;
        Ok(())
    }
    #[disconnect]
    async fn depart(ws: WebSocket, State(rooms): State<mpsc::Sender<Vec<String>>>) -> Result {
        Ok(rooms.send(ws.rooms()).await?)
    }
    let (rooms, mut known) = mpsc::channel::<Vec<String>>(1);
    let gate = Gate::default();
    let router = Router::new().routes(routes![arrive, depart]).join_from_path("room");
    let server = Server::new().route("/{room}", router).state(gate.clone()).state(rooms);
    let server = TestServer::new(server);
    let client = server.connect_to("/lobby").await;
    gate.reached().await;
    gate.open();
    client.close(1000, "bye").await;
    assert_eq!(timeout(SOON, known.recv()).await.unwrap().unwrap(), ["lobby"]);
}

#[tokio::test]
async fn always_handlers_see_a_refused_connection_as_the_last_of_its_user_and_room() {
    #[connect]
    async fn arrive(ws: WebSocket) -> Result {
        assert!(ws.set_user("ann")?.is_first() && ws.join("lobby").await?.is_first());
        Err(HandlerError::new("full", "come back later"))
    }
    #[disconnect(always)]
    async fn depart(departure: Departure, State(ends): State<mpsc::Sender<Departure>>) -> Result {
        Ok(ends.send(departure).await?)
    }
    let (ends, mut ended) = mpsc::channel::<Departure>(1);
    let server = TestServer::new(Router::new().routes(routes![arrive, depart]).state(ends));
    for _ in 0..2 {
        let mut client = server.connect().await;
        assert_eq!(client.recv_json().await["code"], "full");
        client.expect_closed(1008).await;
        let end = timeout(SOON, ended.recv()).await.unwrap().unwrap();
        assert!(end.is_last_of_user() && end.is_last_in("lobby"), "{end:?}");
    }
}

#[derive(Clone)]
struct Ends(mpsc::Sender<(&'static str, DisconnectReason)>);

#[disconnect]
async fn give_back(State(ends): State<Ends>, reason: DisconnectReason) {
    ends.0.try_send(("admitted", reason)).unwrap();
}

#[disconnect(always)]
async fn note(State(ends): State<Ends>, reason: DisconnectReason) {
    ends.0.try_send(("always", reason)).unwrap();
}

#[tokio::test]
async fn disconnect_handlers_run_for_admitted_connections_and_always_handlers_for_all() {
    #[connect]
    async fn auth(ws: WebSocket) -> Result<(), HandlerError> {
        match ws.context().get::<Admit>() {
            Some(_) => Ok(()),
            None => Err(HandlerError::new("no_token", "who are you?")),
        }
    }
    #[derive(Clone)]
    struct Admit;
    struct AdmitFriends;
    impl aiows::middleware::Middleware for AdmitFriends {
        async fn on_handshake(
            &self,
            handshake: &aiows::middleware::Handshake,
        ) -> Result<(), HandlerError> {
            if handshake.path() == "/friend" {
                handshake.context().insert(Admit);
            }
            Ok(())
        }
    }
    let (ends, mut ended) = mpsc::channel(8);
    let router = Router::new()
        .routes(routes![auth, give_back, note])
        .state(Ends(ends))
        .middleware(AdmitFriends);
    let server = TestServer::new(Server::new().route("/friend", router.clone()).route("/", router));
    for _ in 0..3 {
        let mut refused = server.connect().await;
        assert_eq!(refused.recv_json().await["code"], "no_token");
        refused.expect_closed(1008).await;
        let end = timeout(SOON, ended.recv()).await.unwrap();
        assert_eq!(end, Some(("always", DisconnectReason::ConnectFailed)));
    }
    server.connect_to("/friend").await.close(4000, "bye").await;
    let bye = DisconnectReason::Peer { code: Some(4000.into()), reason: "bye".into() };
    for handler in ["admitted", "always"] {
        assert_eq!(timeout(SOON, ended.recv()).await.unwrap(), Some((handler, bye.clone())));
    }
    server.shutdown(SOON).await.unwrap();
    assert_eq!(ended.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_connection_closes_if_its_connect_handlers_exceed_the_connect_timeout() {
    let (ends, ended) = ends();
    let router = Router::new().route(Route::connect(|_: Call| std::future::pending::<()>()));
    let short = limits(|limits| limits.connect_timeout = Duration::from_secs(12));
    let server = TestServer::new(ends.watch(router).limits(short));
    let mut client = server.connect().await;
    let begun = Instant::now();
    client.hang();
    assert_eq!(ended.next_within(SOON * 3).await, DisconnectReason::ConnectFailed);
    assert_eq!(begun.elapsed().as_secs(), 12);
    assert_eq!(client.expect_closed(1013).await, "Connect timed out");
    assert_eq!(Limits::default().connect_timeout, Duration::from_secs(30));
}
