use std::time::Duration;

use aiows::testing::{TestClient, TestServer};
use serde_json::{Value, json};

use super::*;

/// A client that has a name.
struct Guest {
    client: TestClient,
    me: Member,
}

impl Guest {
    async fn new(server: &TestServer, name: &str) -> Self {
        let mut client = server.connect_to("/ws").await;
        client.send(&Name { name: name.into() }).await;
        let me = client.recv::<Welcome>().await.you;
        assert_eq!(me.name, name);
        Self { client, me }
    }

    /// Joins a room and returns the sorted names of its members.
    async fn join(&mut self, room: &str) -> Vec<String> {
        self.client.send(&Join { room: room.into() }).await;
        let members = self.client.recv::<Members>().await;
        assert_eq!(members.room, room);
        let mut names: Vec<_> = members.members.into_iter().map(|member| member.name).collect();
        names.sort();
        names
    }

    async fn error_code(&mut self, request: Value) -> Value {
        self.client.send_json(&request).await;
        self.client.recv_json().await["code"].take()
    }
}

#[tokio::test]
async fn members_receive_joins_messages_and_departures() {
    let server = TestServer::new(server());
    let (mut ann, mut bob) = (Guest::new(&server, "ann").await, Guest::new(&server, "bob").await);
    assert_eq!(ann.join("tea").await, ["ann"]);
    assert_eq!(bob.join("tea").await, ["ann", "bob"]);
    let joined = Joined { room: "tea".into(), member: bob.me.clone() };
    assert_eq!(ann.client.recv::<Joined>().await, joined);

    ann.client.send(&Say { room: "tea".into(), text: "hi".into() }).await;
    let said = Said { room: "tea".into(), from: ann.me.clone(), text: "hi".into() };
    assert_eq!(ann.client.recv::<Said>().await, said);
    assert_eq!(bob.client.recv::<Said>().await, said);

    bob.client.send(&Leave { room: "tea".into() }).await;
    let left = Left { room: "tea".into(), member: bob.me.clone() };
    assert_eq!(bob.client.recv::<Left>().await, left);
    assert_eq!(ann.client.recv::<Left>().await, left);
    let say = json!({ "type": "say", "room": "tea", "text": "still here?" });
    assert_eq!(bob.error_code(say).await, "not_a_member");
}

#[tokio::test]
async fn a_client_that_disconnects_leaves_every_room() {
    let server = TestServer::new(server());
    let (mut ann, mut bob) = (Guest::new(&server, "ann").await, Guest::new(&server, "bob").await);
    for room in ["tea", "cake"] {
        ann.join(room).await;
        bob.join(room).await;
        ann.client.recv::<Joined>().await;
    }
    let Guest { client, me } = bob;
    client.close(1001, "").await;
    for room in ["tea", "cake"] {
        let left = Left { room: room.into(), member: me.clone() };
        assert_eq!(ann.client.recv::<Left>().await, left);
    }
    assert_eq!(ann.join("tea").await, ["ann"]);
}

#[tokio::test]
async fn joining_twice_is_announced_once() {
    let server = TestServer::new(server());
    let (mut ann, mut bob) = (Guest::new(&server, "ann").await, Guest::new(&server, "bob").await);
    ann.join("tea").await;
    assert_eq!(bob.join("tea").await, bob.join("tea").await);
    ann.client.recv::<Joined>().await;
    ann.client.expect_silence(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn two_connections_with_one_name_are_two_members() {
    let server = TestServer::new(server());
    let (mut tab, mut other) = (Guest::new(&server, "ann").await, Guest::new(&server, "ann").await);
    tab.join("tea").await;
    assert_eq!(other.join("tea").await, ["ann", "ann"]);
    assert_ne!(tab.me.id, other.me.id);
}

#[tokio::test]
async fn a_refused_request_is_answered_with_an_error() {
    let server = TestServer::new(server());
    let mut client = server.connect_to("/ws").await;
    client.send(&Join { room: "tea".into() }).await;
    assert_eq!(client.recv_json().await["code"], "no_name");
    client.send(&Name { name: String::new() }).await;
    assert_eq!(client.recv_json().await["code"], "validation_failed");

    let mut ann = Guest::new(&server, "ann").await;
    assert_eq!(ann.error_code(json!({ "type": "name", "name": "eve" })).await, "named_already");
    let join = |room: &str| json!({ "type": "join", "room": room });
    assert_eq!(ann.error_code(join("")).await, "invalid_room");
    for room in ["tea", "cake", "jam"] {
        ann.join(room).await;
    }
    assert_eq!(ann.error_code(join("milk")).await, "too_many_rooms");
    let mut guests = Vec::new();
    for number in 2..=20 {
        let mut guest = Guest::new(&server, "guest").await;
        assert_eq!(guest.join("tea").await.len(), number);
        guests.push(guest);
    }
    let mut late = Guest::new(&server, "late").await;
    assert_eq!(late.error_code(join("tea")).await, "room_full");
}
