//! The first and the last connection of a user, and the first and the last member of a room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aiows::hub::{Joined, Left, UserChange};
use aiows::testing::{TestClient, TestServer, socket};
use aiows::websocket::Departure;
use aiows::{
    CloseCode, Hub, Message, Result, Router, Server, State, WebSocket, connect, disconnect,
    message, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::raw::over_both;

const ROUNDS: usize = 1_000;

/// Counts how often each event happened.
#[derive(Clone, Default)]
struct Tally(Arc<Mutex<BTreeMap<&'static str, i32>>>);

impl Tally {
    fn count(&self, event: &'static str, happened: bool) {
        *self.0.lock().unwrap().entry(event).or_default() += i32::from(happened);
    }

    fn take(&self) -> BTreeMap<&'static str, i32> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[connect]
async fn arrive(ws: WebSocket, State(tally): State<Tally>) -> Result<Value> {
    tally.count("user comes", ws.set_user("ann")?.is_first());
    let joined = ws.join("lobby").await?;
    assert!(joined.is_new());
    tally.count("room fills", joined.is_first());
    Ok(json!({ "here": true }))
}

#[disconnect]
async fn depart(
    departure: Departure,
    State(tally): State<Tally>,
    State(gone): State<mpsc::Sender<()>>,
) -> Result {
    tally.count("user goes", departure.is_last_of_user());
    tally.count("room empties", departure.is_last_in("lobby"));
    assert_eq!(departure.last_in().count(), usize::from(departure.is_last_in("lobby")));
    Ok(gone.send(()).await?)
}

async fn tab(server: &TestServer, meets: bool) -> TestClient {
    let mut tab = server.connect().await;
    if meets {
        assert_eq!(tab.recv_json().await, json!({ "here": true }));
    }
    tab
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tabs_that_open_and_close_together_have_as_many_last_connections_as_first_ones() {
    let (tally, (sender, gone)) = (Tally::default(), mpsc::channel::<()>(4));
    let gone = tokio::sync::Mutex::new(gone);
    let server = || {
        let router = Router::new().routes(routes![arrive, depart]);
        Server::from(router.state(tally.clone()).state(sender.clone()))
    };
    over_both(server, async |server| {
        for round in 0..ROUNDS {
            // In every other round, both tabs are connected before one of them closes.
            let meets = round % 2 == 0;
            let (one, two) = tokio::join!(tab(&server, meets), tab(&server, meets));
            tokio::join!(one.close(CloseCode::NORMAL, ""), two.close(CloseCode::NORMAL, ""));
            for _ in 0..2 {
                gone.lock().await.recv().await.unwrap();
            }
            let counts = tally.take();
            let spells = counts["user comes"];
            assert!(spells == 1 || (!meets && spells == 2), "{round}: {counts:?}");
            assert_eq!(counts["user goes"], spells, "{round}: {counts:?}");
            let fills = counts["room fills"];
            assert!(fills == 1 || (!meets && fills == 2), "{round}: {counts:?}");
            assert_eq!(counts["room empties"], fills, "{round}: {counts:?}");
            let hub = server.handle().hub();
            assert!(hub.connections_of("ann").is_empty() && hub.room_size("lobby") == 0);
        }
    })
    .await;
}

#[derive(Message, Deserialize, Serialize)]
struct Name {
    name: String,
}

/// Returns the change itself, which sends no message. The next three handlers do the same.
#[message("join")]
async fn join(ws: WebSocket, Name { name }: Name) -> Result<Joined> {
    ws.join(name).await
}

#[message("leave")]
async fn leave(ws: WebSocket, Name { name }: Name) -> Left {
    ws.leave(name)
}

#[message("user")]
async fn user(ws: WebSocket, Name { name }: Name) -> Result<UserChange> {
    ws.set_user(name)
}

#[message("clear_user")]
async fn clear_user(ws: WebSocket) -> UserChange {
    ws.clear_user()
}

#[tokio::test]
async fn a_handler_that_returns_a_change_sends_only_an_ack() {
    let server = || Server::from(Router::new().routes(routes![join, leave, user, clear_user]));
    over_both(server, async |server| {
        let mut ann = server.connect().await;
        for (id, kind) in ["join", "leave", "user", "clear_user"].into_iter().enumerate() {
            ann.send_json(&json!({ "type": kind, "name": "ann" })).await;
            ann.send_json(&json!({ "type": kind, "name": "ann", "id": id })).await;
            assert_eq!(ann.recv_json().await, json!({ "type": "ack", "correlation_id": id }));
        }
    })
    .await;
}

#[tokio::test]
async fn each_change_is_reported_once() {
    #[derive(Clone)]
    struct Sockets(mpsc::Sender<WebSocket>);

    #[connect]
    async fn lend(ws: WebSocket, State(Sockets(sockets)): State<Sockets>) -> Result {
        Ok(sockets.send(ws).await?)
    }

    let (sender, mut sockets) = mpsc::channel(4);
    let router = Router::new().routes(routes![lend]).state(Sockets(sender));
    let server = TestServer::new(Server::from(router));
    let (_ann, _bob) = (server.connect().await, server.connect().await);
    let (one, two) = (sockets.recv().await.unwrap(), sockets.recv().await.unwrap());
    let summary = |joined: Joined| (joined.is_new(), joined.is_first());
    assert_eq!(summary(one.join("tea").await.unwrap()), (true, true));
    assert_eq!(summary(one.join("tea").await.unwrap()), (false, false));
    assert_eq!(summary(two.join_as("tea", &json!({})).await.unwrap()), (true, false));
    assert_eq!(summary(two.join_as("tea", &json!({ "a": 1 })).await.unwrap()), (false, false));
    let summary = |left: Left| (left.was_member(), left.is_last());
    assert_eq!(summary(one.leave("tea")), (true, false));
    assert_eq!(summary(one.leave("tea")), (false, false));
    assert_eq!(summary(two.leave("tea")), (true, true));
    assert_eq!(summary(two.leave("tea")), (false, false));

    let summary = |change: UserChange| (change.is_first(), change.last_of().map(str::to_owned));
    let of = |user: &str| Some(user.to_owned());
    assert_eq!(summary(one.set_user("ann").unwrap()), (true, None));
    assert_eq!(summary(one.set_user("ann").unwrap()), (false, None));
    assert_eq!(summary(two.set_user("ann").unwrap()), (false, None));
    // The first change leaves `ann` with another connection. The second one takes her last.
    assert_eq!(summary(two.set_user("bob").unwrap()), (true, None));
    assert_eq!(summary(one.set_user("bob").unwrap()), (false, of("ann")));
    assert_eq!(summary(one.clear_user()), (false, None));
    assert_eq!(summary(two.clear_user()), (false, of("bob")));
    assert_eq!(summary(two.clear_user()), (false, None));
    one.close(CloseCode::NORMAL, "");
    assert_eq!(summary(one.clear_user()), (false, None));
    assert!(one.set_user("ann").is_err() && one.join("tea").await.is_err());
    assert_eq!(one.leave("tea"), Left::default());
}

/// The last connection of a user stays the last one for its disconnect handler, even if another
/// connection of the user arrives before the handler runs.
#[tokio::test]
async fn a_departure_describes_the_moment_when_the_connection_left() {
    #[connect]
    async fn enter(ws: WebSocket) -> Result<Value> {
        ws.set_user("ann")?;
        for room in ["tea", "cake"] {
            ws.join(room).await?;
        }
        Ok(json!({ "here": true }))
    }

    #[message("stay")]
    async fn stay(ws: WebSocket, hub: Hub) -> Result<Value> {
        ws.close(CloseCode::NORMAL, "off you go");
        // Another connection of the user arrives while this handler is pending.
        while hub.connections_of("ann").is_empty() {
            tokio::task::yield_now().await;
        }
        Ok(json!({ "too": "late" }))
    }

    #[disconnect]
    async fn note(
        ws: WebSocket,
        departure: Departure,
        State(gone): State<mpsc::Sender<Value>>,
    ) -> Result {
        let last: Vec<_> = departure.last_in().collect();
        let noted = json!({
            "user": ws.user().as_deref(), "last": departure.is_last_of_user(), "in": last,
            "rooms": ws.rooms(), "elsewhere": departure.is_last_in("elsewhere"),
        });
        Ok(gone.send(noted).await?)
    }

    let (sender, gone) = mpsc::channel::<Value>(4);
    let gone = tokio::sync::Mutex::new(gone);
    let server =
        || Server::from(Router::new().routes(routes![enter, stay, note]).state(sender.clone()));
    let noted = |last: bool, rooms: &[&str]| {
        json!({
            "user": "ann", "last": last, "in": rooms, "rooms": ["tea", "cake"],
            "elsewhere": false,
        })
    };
    over_both(server, async |server| {
        let mut gone = gone.lock().await;
        let mut first = tab(&server, true).await;
        first.send_json(&json!({ "type": "stay" })).await;
        while server.handle().hub().user_names() != [""; 0] {
            tokio::task::yield_now().await;
        }
        let second = tab(&server, true).await;
        assert_eq!(gone.recv().await.unwrap(), noted(true, &["tea", "cake"]));
        let third = tab(&server, true).await;
        for tab in server.handle().hub().connections_of("ann") {
            assert!(tab.leave("cake").was_member());
        }
        second.close(CloseCode::NORMAL, "").await;
        let mut left = gone.recv().await.unwrap();
        assert_eq!((left["last"].take(), left["in"].take()), (json!(false), json!([])));
        third.close(CloseCode::NORMAL, "").await;
        let mut left = gone.recv().await.unwrap();
        assert_eq!((left["last"].take(), left["in"].take()), (json!(true), json!(["tea"])));
    })
    .await;
}

#[tokio::test]
async fn only_disconnect_handlers_take_a_departure() {
    #[message("soon")]
    async fn soon(_: Departure) {}

    let mistakes = Server::from(Router::new().routes(routes![soon])).build().unwrap_err();
    let text = "takes `Departure`, which only disconnect handlers have";
    assert!(mistakes.to_string().contains(text), "{mistakes}");
}

#[tokio::test]
async fn a_test_call_provides_a_departure() {
    use aiows::DisconnectReason;
    use aiows::testing::TestCall;

    let (ws, _sent) = socket();
    ws.join("tea").await.unwrap();
    let call = TestCall::disconnect(&ws, DisconnectReason::Timeout).call();
    assert_eq!(call.extract::<Departure>().await.unwrap(), Departure::default());
    ws.close(CloseCode::NORMAL, "");
    assert!(call.extract::<Departure>().await.unwrap().is_last_in("tea"));
}
