//! A client that applies every announcement holds the room's member list once no change is
//! pending.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aiows::messages::Overflow;
use aiows::testing::TestServer;
use aiows::{Hub, Message, Result, Router, Server, WebSocket, message, routes};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::pressure::{narrow, stall_exactly};
use crate::raw::{Raw, limits, over_both};

#[derive(Message, Deserialize)]
struct Enter {
    name: String,
}

#[message("enter")]
async fn enter(ws: WebSocket, Enter { name }: Enter) -> Result {
    ws.join_as("lobby", &json!({ "name": name })).await?;
    Ok(())
}

#[message("plain")]
async fn plain(ws: WebSocket) -> Result {
    ws.join("lobby").await?;
    Ok(())
}

#[message("leave")]
async fn leave(ws: WebSocket) {
    ws.leave("lobby");
}

fn server() -> Server {
    Server::from(Router::new().routes(routes![enter, plain, leave]))
}

async fn send_enter(raw: &mut Raw, name: &str) {
    raw.send_text(&json!({ "type": "enter", "name": name }).to_string()).await;
}

async fn connect_and_enter(server: &TestServer, name: &str) -> Raw {
    let mut raw = Raw::join(server).await;
    send_enter(&mut raw, name).await;
    raw
}

/// A client's copy of a room's member list, maintained as the guide describes.
#[derive(Default)]
pub struct Known {
    pub members: BTreeMap<String, Value>,
    /// The number of the last part received of a list that comes in parts.
    parts: u64,
    pub lists: usize,
}

impl Known {
    pub fn apply(&mut self, message: &Value) {
        let entries = || message["members"].as_array().unwrap().iter();
        let id = |member: &Value| member["id"].as_str().unwrap().to_owned();
        match message["type"].as_str().unwrap() {
            "room.members" => {
                let part = message["part"].as_u64().unwrap_or(1);
                if part == 1 {
                    self.members.clear();
                    self.lists += 1;
                } else {
                    assert_eq!(part, self.parts + 1, "a part is missing");
                }
                assert!(part <= message["parts"].as_u64().unwrap_or(1), "{message}");
                self.parts = part;
                self.members.extend(entries().map(|member| (id(member), member.clone())));
            }
            "room.joined" => {
                self.members.extend(entries().map(|member| (id(member), member.clone())));
            }
            "room.left" => entries().for_each(|member| drop(self.members.remove(&id(member)))),
            _ => {}
        }
    }

    /// Reads until an answer to this request comes.
    pub async fn read_to(&mut self, raw: &mut Raw, id: u64) {
        loop {
            let message = raw.read_json().await;
            if message["correlation_id"] == id {
                return;
            }
            self.apply(&message);
        }
    }
}

/// Returns the server's member list of the lobby, by id.
pub fn server_list(hub: &Hub) -> BTreeMap<String, Value> {
    let infos = hub.member_infos("lobby");
    let id = |member: &Value| member["id"].as_str().unwrap().to_owned();
    infos.into_iter().map(|member| (id(&member), member)).collect()
}

#[tokio::test]
async fn a_member_that_missed_an_announcement_gets_the_whole_list_next_under_every_policy() {
    for overflow in
        [Overflow::Disconnect, Overflow::DropNewest, Overflow::DropOldest, Overflow::Reject]
    {
        for listed in [true, false] {
            let server = TestServer::new(server().limits(narrow(overflow)));
            let mut stalled = Raw::join(&server).await;
            let mut known = Known::default();
            if listed {
                send_enter(&mut stalled, "stalled").await;
                known.apply(&stalled.read_json().await);
            } else {
                stalled.send_text(r#"{"type":"plain","id":1}"#).await;
                known.read_to(&mut stalled, 1).await;
            }
            let ws = server.handle().hub().members("lobby").pop().unwrap();
            stall_exactly(&ws, 0).await;
            let before = ws.outbound().dropped;
            let _ann = connect_and_enter(&server, "ann").await;
            let bob = connect_and_enter(&server, "bob").await;
            wait_for(&server, |names| names.len() == 2 + usize::from(listed)).await;
            tokio::time::sleep(Duration::from_millis(120)).await;
            drop(bob);
            wait_for(&server, |names| names.len() == 1 + usize::from(listed)).await;
            tokio::time::sleep(Duration::from_millis(120)).await;
            assert!(!ws.is_closed(), "{overflow:?}");
            // The queue dropped the first announcement. The client gets no further ones for now.
            assert_eq!(ws.outbound().dropped, before + 1, "{overflow:?}");
            // The client reads again, and no further change follows.
            let lists = known.lists;
            while known.lists == lists {
                known.apply(&stalled.read_json().await);
            }
            assert_eq!(known.members, server_list(&server.handle().hub()), "{overflow:?}");
            // From now on the client receives differences.
            let _eve = connect_and_enter(&server, "eve").await;
            known.apply(&stalled.read_json().await);
            assert_eq!(
                (known.lists, known.members),
                (lists + 1, server_list(&server.handle().hub()))
            );
        }
    }
}

async fn wait_for(server: &TestServer, done: impl Fn(&BTreeMap<String, Value>) -> bool) {
    while !done(&server_list(&server.handle().hub())) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_large_list_is_sent_in_parts_and_does_not_close_the_new_member() {
    const GUESTS: usize = 400;
    let small = || {
        server().limits(limits(|limits| {
            limits.outbound_size = 8 * 1024;
            limits.outbound_messages = 8;
        }))
    };
    over_both(small, async |server| {
        let mut guests = Vec::new();
        let name = "x".repeat(100);
        for _ in 0..GUESTS {
            guests.push(connect_and_enter(&server, &name).await);
        }
        wait_for(&server, |names| names.len() == GUESTS).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut newcomer = connect_and_enter(&server, "new").await;
        let (mut known, mut parts) = (Known::default(), BTreeSet::new());
        while known.members.len() < GUESTS + 1 {
            let message = newcomer.read_json().await;
            if message["type"] == "room.members" {
                assert!(message.to_string().len() <= 4 * 1024, "{}", message.to_string().len());
                parts.insert(message["part"].as_u64().unwrap());
            }
            known.apply(&message);
        }
        assert!(parts.len() > 10, "{parts:?}");
        assert_eq!(known.members, server_list(&server.handle().hub()));
        assert_eq!(server.handle().stats().active, GUESTS + 1);
    })
    .await;
}

/// A member with a client that reads every message.
struct Guest {
    names: mpsc::Sender<String>,
    reads: JoinHandle<()>,
}

impl Guest {
    async fn connect(server: &TestServer, name: &str) -> Self {
        let mut client = server.connect().await;
        let (names, mut next) = mpsc::channel::<String>(16);
        let reads = tokio::spawn(async move {
            loop {
                tokio::select! {
                    name = next.recv() => {
                        let name = name.unwrap();
                        client.send_json(&json!({ "type": "enter", "name": name })).await;
                    }
                    message = client.recv_json() => drop(message),
                }
            }
        });
        names.send(name.to_owned()).await.unwrap();
        Self { names, reads }
    }

    async fn rename(&self, name: &str) {
        self.names.send(name.to_owned()).await.unwrap();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.reads.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn changes_made_while_a_client_slowly_reads_a_large_list_follow_the_list() {
    const GUESTS: usize = 100;
    let small = limits(|limits| {
        limits.outbound_size = 4 * 1024;
        limits.ping_interval = Duration::from_secs(900);
        limits.outbound_messages = 2;
        limits.write_timeout = Duration::from_secs(600);
    });
    let server = TestServer::new(server().limits(small));
    let mut guests = Vec::new();
    for number in 0..GUESTS {
        let name = format!("{number} {}", "x".repeat(900));
        guests.push(Guest::connect(&server, &name).await);
    }
    wait_for(&server, |names| names.len() == GUESTS).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut newcomer = connect_and_enter(&server, "new").await;
    let mut known = Known::default();
    while known.lists == 0 {
        known.apply(&newcomer.read_json().await);
    }
    // The client reads a part now and then while the room keeps changing.
    for number in 0..60 {
        guests.truncate(GUESTS - number / 2);
        guests[number % 10].rename(&format!("renamed {number}")).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        known.apply(&newcomer.read_json().await);
    }
    while known.members != server_list(&server.handle().hub()) {
        known.apply(&newcomer.read_json().await);
    }
    assert_eq!(known.lists, 1, "the list was sent once");
}

#[tokio::test]
async fn a_large_crowd_that_joins_at_once_closes_no_existing_member() {
    const GUESTS: usize = 300;
    let small = || server().limits(limits(|limits| limits.outbound_size = 8 * 1024));
    over_both(small, async |server| {
        let mut first = connect_and_enter(&server, "first").await;
        let mut guests = Vec::new();
        for _ in 0..GUESTS {
            guests.push(Raw::join(&server).await);
        }
        for guest in &mut guests {
            send_enter(guest, &"x".repeat(500)).await;
        }
        let mut known = Known::default();
        while known.members.len() < GUESTS + 1 {
            known.apply(&first.read_json().await);
        }
        drop(guests);
        while known.members.len() > 1 {
            known.apply(&first.read_json().await);
        }
        assert_eq!(server.handle().stats().active, 1);
    })
    .await;
}
