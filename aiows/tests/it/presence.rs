//! Rooms that tell who comes and goes.

use std::collections::BTreeSet;
use std::time::Duration;

use aiows::testing::TestClient;
use aiows::{Message, Result, Router, Server, WebSocket, connect, message, routes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::Builder;

use super::kit::{TestServer, over_both};
use crate::raw::limits;

#[derive(Message, Deserialize)]
struct Enter {
    name: Option<String>,
}

#[derive(Serialize)]
struct Member {
    name: String,
}

#[connect]
async fn welcome(ws: WebSocket) -> Value {
    json!({ "you": ws.id() })
}

/// Without a name plainly.
#[message("enter")]
async fn enter(ws: WebSocket, enter: Enter) -> Result<Value> {
    match enter.name {
        Some(name) => ws.join_as("lobby", &Member { name }).await?,
        None => ws.join("lobby").await?,
    };
    Ok(json!({ "entered": ws.rooms() }))
}

#[message("leave")]
async fn leave(ws: WebSocket) -> Value {
    json!({ "left": ws.leave("lobby").was_member() })
}

/// Comes and goes before anybody could be told.
#[message("peek")]
async fn peek(ws: WebSocket, enter: Enter) -> Result<Value> {
    for _ in 0..10 {
        ws.join_as("lobby", &Member { name: enter.name.clone().unwrap_or_default() }).await?;
        ws.leave("lobby");
    }
    Ok(json!({ "peeked": true }))
}

#[message("twice")]
async fn twice(ws: WebSocket) -> Result<Value> {
    let with_id = ws.join_as("lobby", &json!({ "id": 7 })).await;
    let text = ws.join_as("lobby", "ann").await;
    Ok(json!({ "refused": [with_id.is_err(), text.is_err()], "rooms": ws.rooms() }))
}

fn router() -> Router {
    Router::new().routes(routes![welcome, enter, leave, peek, twice])
}

fn server() -> Server {
    Server::from(router())
}

struct Guest {
    client: TestClient,
    id: Value,
    tag: &'static str,
}

impl Guest {
    async fn come(server: &TestServer) -> Self {
        Self::come_to(server, "/", "type").await
    }

    async fn come_to(server: &TestServer, path: &str, tag: &'static str) -> Self {
        let mut client = server.connect_to(path).await;
        let id = client.recv_json().await["you"].take();
        Self { client, id, tag }
    }

    async fn ask(&mut self, kind: &str, name: Option<&str>) -> Value {
        self.client.send_json(&json!({ self.tag: kind, "name": name })).await;
        self.client.recv_json().await
    }

    /// Enters, and takes the list of those who are there.
    async fn enter(&mut self, name: &str) -> Vec<Value> {
        assert_eq!(self.ask("enter", Some(name)).await["entered"], json!(["lobby"]));
        self.told("room.members").await
    }

    /// Enters once more with another name, and takes the difference.
    async fn rename(&mut self, name: &str) {
        assert_eq!(self.ask("enter", Some(name)).await["entered"], json!(["lobby"]));
        assert_eq!(self.told("room.joined").await, [self.named(name)]);
    }

    async fn told(&mut self, kind: &str) -> Vec<Value> {
        let told = self.client.recv_json().await;
        assert_eq!((&told[self.tag], &told["room"]), (&json!(kind), &json!("lobby")), "{told}");
        told["members"].as_array().unwrap().clone()
    }

    async fn expect_nothing(&mut self) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        // An answer proves that nothing was before it.
        assert_eq!(self.ask("leave", None).await["left"], false);
    }

    /// As [`expect_nothing`](Self::expect_nothing), for a member.
    async fn expect_nothing_but_an_answer(&mut self) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(self.ask("twice", None).await["rooms"], json!(["lobby"]));
    }

    fn named(&self, name: &str) -> Value {
        json!({ "id": self.id, "name": name })
    }
}

fn ids(members: &[Value]) -> BTreeSet<&str> {
    members.iter().map(|member| member["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn who_joins_gets_the_list_and_the_others_are_told() {
    over_both(server, async |server| {
        let hub = server.handle().hub();
        let (mut ann, mut bob) = (Guest::come(&server).await, Guest::come(&server).await);
        assert_eq!(ann.enter("ann").await, [ann.named("ann")]);
        let listed = bob.enter("bob").await;
        assert_eq!(ids(&listed), ids(&[ann.named("ann"), bob.named("bob")]));
        assert_eq!(ann.told("room.joined").await, [bob.named("bob")]);
        assert_eq!(ids(&hub.member_infos("lobby")), ids(&listed));
        // The same once more is nothing new, something else is.
        assert_eq!(bob.ask("enter", Some("bob")).await["entered"], json!(["lobby"]));
        bob.rename("bobby").await;
        assert_eq!(ann.told("room.joined").await, [bob.named("bobby")]);
        assert_eq!(bob.ask("leave", None).await["left"], true);
        assert_eq!(ann.told("room.left").await, [bob.named("bobby")]);
        bob.enter("bob").await;
        assert_eq!(ann.told("room.joined").await, [bob.named("bob")]);
        let gone = bob.named("bob");
        bob.client.close(1000, "").await;
        assert_eq!(ann.told("room.left").await, [gone]);
        assert_eq!(hub.member_infos("lobby"), [ann.named("ann")]);
        // The list goes with the room.
        assert_eq!(ann.ask("leave", None).await["left"], true);
        assert!(hub.member_infos("lobby").is_empty() && hub.room_names().is_empty());
        assert_eq!(ann.enter("ann").await, [ann.named("ann")]);
    })
    .await;
}

#[tokio::test]
async fn a_rename_is_told_as_a_difference_and_only_a_newcomer_gets_the_list() {
    over_both(server, async |server| {
        let (mut ann, mut plain) = (Guest::come(&server).await, Guest::come(&server).await);
        let mut bob = Guest::come(&server).await;
        ann.enter("ann").await;
        assert_eq!(plain.ask("enter", None).await["entered"], json!(["lobby"]));
        bob.enter("bob").await;
        assert_eq!(ann.told("room.joined").await, [bob.named("bob")]);
        assert_eq!(plain.told("room.joined").await, [bob.named("bob")]);
        ann.rename("anna").await;
        assert_eq!(bob.told("room.joined").await, [ann.named("anna")]);
        assert_eq!(plain.told("room.joined").await, [ann.named("anna")]);
        // A plain member that gives a name is listed for the first time.
        assert_eq!(plain.enter("eve").await.len(), 3);
        assert_eq!(ann.told("room.joined").await, [plain.named("eve")]);
        assert_eq!(bob.told("room.joined").await, [plain.named("eve")]);
        // A rename and a newcomer within one gathering.
        let mut dan = Guest::come(&server).await;
        bob.client.send_json(&json!({ "type": "enter", "name": "bobby" })).await;
        dan.client.send_json(&json!({ "type": "enter", "name": "dan" })).await;
        bob.client.recv_json().await;
        dan.client.recv_json().await;
        let changed = [bob.named("bobby"), dan.named("dan")];
        for guest in [&mut ann, &mut bob, &mut plain] {
            let mut told = guest.told("room.joined").await;
            if told.len() == 1 {
                told.extend(guest.told("room.joined").await);
            }
            assert_eq!(ids(&told), ids(&changed));
        }
        assert_eq!(dan.told("room.members").await.len(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_plain_member_is_told_and_not_listed() {
    over_both(server, async |server| {
        let (mut ann, mut plain) = (Guest::come(&server).await, Guest::come(&server).await);
        assert_eq!(plain.ask("enter", None).await["entered"], json!(["lobby"]));
        assert_eq!(ann.enter("ann").await, [ann.named("ann")]);
        assert_eq!(plain.told("room.joined").await, [ann.named("ann")]);
        assert_eq!(plain.ask("leave", None).await["left"], true);
        assert_eq!(plain.ask("enter", None).await["entered"], json!(["lobby"]));
        assert_eq!(ann.ask("leave", None).await["left"], true);
        assert_eq!(plain.told("room.left").await, [ann.named("ann")]);
        // Who is in already may give a name later.
        assert_eq!(plain.enter("eve").await, [plain.named("eve")]);
        ann.expect_nothing().await;
    })
    .await;
}

#[tokio::test]
async fn a_room_that_nobody_joins_with_a_name_tells_nothing() {
    over_both(server, async |server| {
        let (mut ann, mut bob) = (Guest::come(&server).await, Guest::come(&server).await);
        assert_eq!(ann.ask("enter", None).await["entered"], json!(["lobby"]));
        assert_eq!(bob.ask("enter", None).await["entered"], json!(["lobby"]));
        assert_eq!(bob.ask("leave", None).await["left"], true);
        assert!(server.handle().hub().member_infos("lobby").is_empty());
        bob.expect_nothing().await;
        assert_eq!(ann.ask("leave", None).await["left"], true);
    })
    .await;
}

#[tokio::test]
async fn who_came_and_went_at_once_was_never_there() {
    over_both(server, async |server| {
        let (mut ann, mut bob) = (Guest::come(&server).await, Guest::come(&server).await);
        ann.enter("ann").await;
        assert_eq!(bob.ask("peek", Some("bob")).await["peeked"], true);
        bob.expect_nothing().await;
        // Nothing of it came before this.
        bob.enter("bob").await;
        assert_eq!(ann.told("room.joined").await, [bob.named("bob")]);
    })
    .await;
}

#[tokio::test]
async fn who_went_and_came_again_has_left_and_joined() {
    over_both(server, async |server| {
        let (mut ann, mut bob) = (Guest::come(&server).await, Guest::come(&server).await);
        ann.enter("ann").await;
        bob.enter("bob").await;
        ann.told("room.joined").await;
        bob.client.send_json(&json!({ "type": "leave" })).await;
        bob.client.send_json(&json!({ "type": "enter", "name": "bobby" })).await;
        for _ in 0..2 {
            bob.client.recv_json().await;
        }
        assert_eq!(bob.told("room.members").await.len(), 2);
        assert_eq!(ann.told("room.left").await, [bob.named("bob")]);
        assert_eq!(ann.told("room.joined").await, [bob.named("bobby")]);
    })
    .await;
}

#[tokio::test]
async fn a_room_is_told_in_the_tag_of_each_router() {
    let router = || router().namespace("both");
    let server = || Server::new().route("/old", router().tag("action")).route("/new", router());
    over_both(server, async |server| {
        let mut old = Guest::come_to(&server, "/old", "action").await;
        let mut new = Guest::come_to(&server, "/new", "type").await;
        old.enter("old").await;
        assert_eq!(new.enter("new").await.len(), 2);
        assert_eq!(old.told("room.joined").await, [new.named("new")]);
        let mut third = Guest::come_to(&server, "/new", "type").await;
        assert_eq!(third.enter("third").await.len(), 3);
        for guest in [&mut old, &mut new] {
            assert_eq!(guest.told("room.joined").await, [third.named("third")]);
        }
        assert_eq!(old.ask("leave", None).await["left"], true);
        assert_eq!(new.told("room.left").await, [old.named("old")]);
    })
    .await;
}

#[tokio::test]
async fn what_is_said_about_a_member_has_limits() {
    let server = || server().limits(limits(|limits| limits.member_info_size = 100));
    over_both(server, async |server| {
        let mut ann = Guest::come(&server).await;
        let refused = ann.ask("enter", Some(&"x".repeat(100))).await;
        assert_eq!(
            (&refused["code"], &refused["params"]["max_bytes"]),
            (&json!("member_too_large"), &json!(100))
        );
        let refused = ann.ask("twice", None).await;
        assert_eq!(refused, json!({ "refused": [true, true], "rooms": [] }));
        assert!(server.handle().hub().room_names().is_empty());
        ann.enter("ann").await;
    })
    .await;
}

/// In how many messages a guest is told of so many others.
async fn heard(guest: &mut Guest, kind: &str, mut others: usize) -> usize {
    let mut messages = 0;
    while others > 0 {
        others -= guest.told(kind).await.len();
        messages += 1;
    }
    messages
}

#[tokio::test(start_paused = true)]
async fn a_thousand_who_join_at_once_cost_a_message_each() {
    const GUESTS: usize = 1_000;
    let server = TestServer::new(server());
    let mut first = Guest::come(&server).await;
    first.enter("first").await;
    let mut guests = Vec::new();
    for _ in 0..GUESTS {
        guests.push(Guest::come(&server).await);
    }
    for guest in &mut guests {
        guest.client.send_json(&json!({ "type": "enter", "name": "x" })).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut messages = 0;
    for guest in &mut guests {
        guest.client.send_json(&json!({ "type": "twice" })).await;
        let (mut seen, mut answers) = (0, 0);
        while answers < 2 {
            let text = guest.client.recv_text().await;
            if !text.starts_with(r#"{"type":"room."#) {
                answers += 1;
                continue;
            }
            let kind = if seen == 0 { "members" } else { "joined" };
            assert!(text.starts_with(&format!(r#"{{"type":"room.{kind}","#)), "{text:.80}");
            seen += text.matches(r#"{"id":"#).count();
            messages += 1;
        }
        assert_eq!(seen, GUESTS + 1);
    }
    assert!((GUESTS..4 * GUESTS).contains(&messages), "{messages} messages");
    // Who was there before them heard of them together, and hears so of their end.
    assert!(heard(&mut first, "room.joined", GUESTS).await < 4);
    drop(guests);
    assert!(heard(&mut first, "room.left", GUESTS).await < 4);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_waits_for_no_announcement() {
    let server = TestServer::new(server());
    let (mut ann, mut bob) = (Guest::come(&server).await, Guest::come(&server).await);
    ann.enter("ann").await;
    bob.enter("bob").await;
    ann.told("room.joined").await;
    assert_eq!(bob.ask("leave", None).await["left"], true);
    let hub = server.handle().hub();
    let started = tokio::time::Instant::now();
    let stopped = tokio::spawn(server.shutdown(Duration::from_secs(5)));
    // Not even the one that was being gathered.
    ann.client.expect_closed(1001).await;
    drop((ann, bob));
    stopped.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_millis(50), "{:?}", started.elapsed());
    assert!(hub.room_names().is_empty());
}

#[test]
fn a_room_is_told_also_when_the_runtime_of_an_earlier_session_has_ended() {
    let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (earlier, later) = (runtime(), runtime());
    let server = later.block_on(async { TestServer::new(server()) });
    earlier.block_on(async {
        let mut guest = Guest::come(&server).await;
        assert_eq!(guest.ask("enter", None).await["entered"], json!(["lobby"]));
    });
    drop(earlier);
    later.block_on(async {
        let (mut ann, mut bob) = (Guest::come(&server).await, Guest::come(&server).await);
        assert_eq!(ann.enter("ann").await, [ann.named("ann")]);
        assert_eq!(bob.enter("bob").await.len(), 2);
        assert_eq!(ann.told("room.joined").await, [bob.named("bob")]);
    });
}

#[tokio::test]
async fn who_left_is_told_as_the_room_was_last_told() {
    over_both(server, async |server| {
        let (mut ann, mut bob) = (Guest::come(&server).await, Guest::come(&server).await);
        ann.enter("ann").await;
        bob.enter("bob").await;
        ann.told("room.joined").await;
        // A name that nobody hears of, and the one everybody knows again.
        for name in ["bobby", "robert"] {
            bob.client.send_json(&json!({ "type": "enter", "name": name })).await;
        }
        bob.client.send_json(&json!({ "type": "leave" })).await;
        assert_eq!(ann.told("room.left").await, [bob.named("bob")]);
        for name in ["anna", "ann"] {
            assert_eq!(ann.ask("enter", Some(name)).await["entered"], json!(["lobby"]));
        }
        ann.expect_nothing_but_an_answer().await;
    })
    .await;
}
