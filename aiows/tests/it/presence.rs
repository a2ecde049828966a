//! Rooms that announce the members that join and leave.

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

/// Joins without member information if the message has no name.
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

/// Joins and leaves before the server can announce it.
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
    async fn connect(server: &TestServer) -> Self {
        Self::connect_at(server, "/", "type").await
    }

    async fn connect_at(server: &TestServer, path: &str, tag: &'static str) -> Self {
        let mut client = server.connect_to(path).await;
        let id = client.recv_json().await["you"].take();
        Self { client, id, tag }
    }

    async fn request(&mut self, kind: &str, name: Option<&str>) -> Value {
        self.client.send_json(&json!({ self.tag: kind, "name": name })).await;
        self.client.recv_json().await
    }

    /// Enters, and receives the member list.
    async fn enter(&mut self, name: &str) -> Vec<Value> {
        assert_eq!(self.request("enter", Some(name)).await["entered"], json!(["lobby"]));
        self.announced("room.members").await
    }

    /// Enters again with another name, and receives the difference.
    async fn rename(&mut self, name: &str) {
        assert_eq!(self.request("enter", Some(name)).await["entered"], json!(["lobby"]));
        assert_eq!(self.announced("room.joined").await, [self.named(name)]);
    }

    /// Receives an announcement of this kind, and returns its members.
    async fn announced(&mut self, kind: &str) -> Vec<Value> {
        let message = self.client.recv_json().await;
        assert_eq!(
            (&message[self.tag], &message["room"]),
            (&json!(kind), &json!("lobby")),
            "{message}"
        );
        message["members"].as_array().unwrap().clone()
    }

    async fn expect_no_message(&mut self) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        // The answer comes next, so no other message was sent before it.
        assert_eq!(self.request("leave", None).await["left"], false);
    }

    /// As [`expect_no_message`](Self::expect_no_message), for a member.
    async fn expect_only_an_answer(&mut self) {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(self.request("twice", None).await["rooms"], json!(["lobby"]));
    }

    fn named(&self, name: &str) -> Value {
        json!({ "id": self.id, "name": name })
    }
}

fn ids(members: &[Value]) -> BTreeSet<&str> {
    members.iter().map(|member| member["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_member_that_joins_receives_the_list_and_is_announced_to_the_others() {
    over_both(server, async |server| {
        let hub = server.handle().hub();
        let (mut ann, mut bob) = (Guest::connect(&server).await, Guest::connect(&server).await);
        assert_eq!(ann.enter("ann").await, [ann.named("ann")]);
        let listed = bob.enter("bob").await;
        assert_eq!(ids(&listed), ids(&[ann.named("ann"), bob.named("bob")]));
        assert_eq!(ann.announced("room.joined").await, [bob.named("bob")]);
        assert_eq!(ids(&hub.member_infos("lobby")), ids(&listed));
        // Joining again is announced only if the information differs.
        assert_eq!(bob.request("enter", Some("bob")).await["entered"], json!(["lobby"]));
        bob.rename("bobby").await;
        assert_eq!(ann.announced("room.joined").await, [bob.named("bobby")]);
        assert_eq!(bob.request("leave", None).await["left"], true);
        assert_eq!(ann.announced("room.left").await, [bob.named("bobby")]);
        bob.enter("bob").await;
        assert_eq!(ann.announced("room.joined").await, [bob.named("bob")]);
        let gone = bob.named("bob");
        bob.client.close(1000, "").await;
        assert_eq!(ann.announced("room.left").await, [gone]);
        assert_eq!(hub.member_infos("lobby"), [ann.named("ann")]);
        // The list is removed together with the room.
        assert_eq!(ann.request("leave", None).await["left"], true);
        assert!(hub.member_infos("lobby").is_empty() && hub.room_names().is_empty());
        assert_eq!(ann.enter("ann").await, [ann.named("ann")]);
    })
    .await;
}

#[tokio::test]
async fn a_rename_is_announced_as_a_difference_and_only_a_new_member_receives_the_list() {
    over_both(server, async |server| {
        let (mut ann, mut plain) = (Guest::connect(&server).await, Guest::connect(&server).await);
        let mut bob = Guest::connect(&server).await;
        ann.enter("ann").await;
        assert_eq!(plain.request("enter", None).await["entered"], json!(["lobby"]));
        bob.enter("bob").await;
        assert_eq!(ann.announced("room.joined").await, [bob.named("bob")]);
        assert_eq!(plain.announced("room.joined").await, [bob.named("bob")]);
        ann.rename("anna").await;
        assert_eq!(bob.announced("room.joined").await, [ann.named("anna")]);
        assert_eq!(plain.announced("room.joined").await, [ann.named("anna")]);
        // A plain member that sets a name is listed for the first time.
        assert_eq!(plain.enter("eve").await.len(), 3);
        assert_eq!(ann.announced("room.joined").await, [plain.named("eve")]);
        assert_eq!(bob.announced("room.joined").await, [plain.named("eve")]);
        // One member is renamed and another joins within one announcement interval.
        let mut dan = Guest::connect(&server).await;
        bob.client.send_json(&json!({ "type": "enter", "name": "bobby" })).await;
        dan.client.send_json(&json!({ "type": "enter", "name": "dan" })).await;
        bob.client.recv_json().await;
        dan.client.recv_json().await;
        let changed = [bob.named("bobby"), dan.named("dan")];
        for guest in [&mut ann, &mut bob, &mut plain] {
            let mut announced = guest.announced("room.joined").await;
            if announced.len() == 1 {
                announced.extend(guest.announced("room.joined").await);
            }
            assert_eq!(ids(&announced), ids(&changed));
        }
        assert_eq!(dan.announced("room.members").await.len(), 4);
    })
    .await;
}

#[tokio::test]
async fn a_plain_member_receives_announcements_and_is_not_listed() {
    over_both(server, async |server| {
        let (mut ann, mut plain) = (Guest::connect(&server).await, Guest::connect(&server).await);
        assert_eq!(plain.request("enter", None).await["entered"], json!(["lobby"]));
        assert_eq!(ann.enter("ann").await, [ann.named("ann")]);
        assert_eq!(plain.announced("room.joined").await, [ann.named("ann")]);
        assert_eq!(plain.request("leave", None).await["left"], true);
        assert_eq!(plain.request("enter", None).await["entered"], json!(["lobby"]));
        assert_eq!(ann.request("leave", None).await["left"], true);
        assert_eq!(plain.announced("room.left").await, [ann.named("ann")]);
        // A plain member may set a name later.
        assert_eq!(plain.enter("eve").await, [plain.named("eve")]);
        ann.expect_no_message().await;
    })
    .await;
}

#[tokio::test]
async fn a_room_without_listed_members_sends_no_announcements() {
    over_both(server, async |server| {
        let (mut ann, mut bob) = (Guest::connect(&server).await, Guest::connect(&server).await);
        assert_eq!(ann.request("enter", None).await["entered"], json!(["lobby"]));
        assert_eq!(bob.request("enter", None).await["entered"], json!(["lobby"]));
        assert_eq!(bob.request("leave", None).await["left"], true);
        assert!(server.handle().hub().member_infos("lobby").is_empty());
        bob.expect_no_message().await;
        assert_eq!(ann.request("leave", None).await["left"], true);
    })
    .await;
}

#[tokio::test]
async fn a_member_that_joins_and_leaves_at_once_is_not_announced() {
    over_both(server, async |server| {
        let (mut ann, mut bob) = (Guest::connect(&server).await, Guest::connect(&server).await);
        ann.enter("ann").await;
        assert_eq!(bob.request("peek", Some("bob")).await["peeked"], true);
        bob.expect_no_message().await;
        // No announcement about the short visits precedes this one.
        bob.enter("bob").await;
        assert_eq!(ann.announced("room.joined").await, [bob.named("bob")]);
    })
    .await;
}

#[tokio::test]
async fn a_member_that_leaves_and_joins_again_is_announced_twice() {
    over_both(server, async |server| {
        let (mut ann, mut bob) = (Guest::connect(&server).await, Guest::connect(&server).await);
        ann.enter("ann").await;
        bob.enter("bob").await;
        ann.announced("room.joined").await;
        bob.client.send_json(&json!({ "type": "leave" })).await;
        bob.client.send_json(&json!({ "type": "enter", "name": "bobby" })).await;
        for _ in 0..2 {
            bob.client.recv_json().await;
        }
        assert_eq!(bob.announced("room.members").await.len(), 2);
        assert_eq!(ann.announced("room.left").await, [bob.named("bob")]);
        assert_eq!(ann.announced("room.joined").await, [bob.named("bobby")]);
    })
    .await;
}

#[tokio::test]
async fn announcements_use_the_tag_of_each_member_s_router() {
    let router = || router().namespace("both");
    let server = || Server::new().route("/old", router().tag("action")).route("/new", router());
    over_both(server, async |server| {
        let mut old = Guest::connect_at(&server, "/old", "action").await;
        let mut new = Guest::connect_at(&server, "/new", "type").await;
        old.enter("old").await;
        assert_eq!(new.enter("new").await.len(), 2);
        assert_eq!(old.announced("room.joined").await, [new.named("new")]);
        let mut third = Guest::connect_at(&server, "/new", "type").await;
        assert_eq!(third.enter("third").await.len(), 3);
        for guest in [&mut old, &mut new] {
            assert_eq!(guest.announced("room.joined").await, [third.named("third")]);
        }
        assert_eq!(old.request("leave", None).await["left"], true);
        assert_eq!(new.announced("room.left").await, [old.named("old")]);
    })
    .await;
}

#[tokio::test]
async fn member_information_is_limited_in_size_and_shape() {
    let server = || server().limits(limits(|limits| limits.member_info_size = 100));
    over_both(server, async |server| {
        let mut ann = Guest::connect(&server).await;
        let refused = ann.request("enter", Some(&"x".repeat(100))).await;
        assert_eq!(
            (&refused["code"], &refused["params"]["max_bytes"]),
            (&json!("member_too_large"), &json!(100))
        );
        let refused = ann.request("twice", None).await;
        assert_eq!(refused, json!({ "refused": [true, true], "rooms": [] }));
        assert!(server.handle().hub().room_names().is_empty());
        ann.enter("ann").await;
    })
    .await;
}

/// Returns the number of messages in which a guest receives announcements about this many others.
async fn count_announcements(guest: &mut Guest, kind: &str, mut others: usize) -> usize {
    let mut messages = 0;
    while others > 0 {
        others -= guest.announced(kind).await.len();
        messages += 1;
    }
    messages
}

#[tokio::test(start_paused = true)]
async fn a_thousand_members_that_join_at_once_cause_a_bounded_number_of_messages() {
    const GUESTS: usize = 1_000;
    let server = TestServer::new(server());
    let mut first = Guest::connect(&server).await;
    first.enter("first").await;
    let mut guests = Vec::new();
    for _ in 0..GUESTS {
        guests.push(Guest::connect(&server).await);
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
    // The first member receives combined announcements of their arrival and of their departure.
    assert!(count_announcements(&mut first, "room.joined", GUESTS).await < 4);
    drop(guests);
    assert!(count_announcements(&mut first, "room.left", GUESTS).await < 4);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stops_does_not_wait_for_a_pending_announcement() {
    let server = TestServer::new(server());
    let (mut ann, mut bob) = (Guest::connect(&server).await, Guest::connect(&server).await);
    ann.enter("ann").await;
    bob.enter("bob").await;
    ann.announced("room.joined").await;
    assert_eq!(bob.request("leave", None).await["left"], true);
    let hub = server.handle().hub();
    let started = tokio::time::Instant::now();
    let stopped = tokio::spawn(server.shutdown(Duration::from_secs(5)));
    // The shutdown does not even wait for the pending announcement.
    ann.client.expect_closed(1001).await;
    drop((ann, bob));
    stopped.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_millis(50), "{:?}", started.elapsed());
    assert!(hub.room_names().is_empty());
}

#[test]
fn a_room_sends_announcements_after_the_runtime_of_an_earlier_session_has_ended() {
    let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (earlier, later) = (runtime(), runtime());
    let server = later.block_on(async { TestServer::new(server()) });
    earlier.block_on(async {
        let mut guest = Guest::connect(&server).await;
        assert_eq!(guest.request("enter", None).await["entered"], json!(["lobby"]));
    });
    drop(earlier);
    later.block_on(async {
        let (mut ann, mut bob) = (Guest::connect(&server).await, Guest::connect(&server).await);
        assert_eq!(ann.enter("ann").await, [ann.named("ann")]);
        assert_eq!(bob.enter("bob").await.len(), 2);
        assert_eq!(ann.announced("room.joined").await, [bob.named("bob")]);
    });
}

#[tokio::test]
async fn a_member_that_leaves_is_announced_with_its_last_announced_information() {
    over_both(server, async |server| {
        let (mut ann, mut bob) = (Guest::connect(&server).await, Guest::connect(&server).await);
        ann.enter("ann").await;
        bob.enter("bob").await;
        ann.announced("room.joined").await;
        // Two changes that are replaced or undone before the server announces them.
        for name in ["bobby", "robert"] {
            bob.client.send_json(&json!({ "type": "enter", "name": name })).await;
        }
        bob.client.send_json(&json!({ "type": "leave" })).await;
        assert_eq!(ann.announced("room.left").await, [bob.named("bob")]);
        for name in ["anna", "ann"] {
            assert_eq!(ann.request("enter", Some(name)).await["entered"], json!(["lobby"]));
        }
        ann.expect_only_an_answer().await;
    })
    .await;
}
