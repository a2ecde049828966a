//! Rooms that list users: a user with several connections, and a client that reconnects.

use std::time::Duration;

use aiows::hub::Joined;
use aiows::testing::{TestClient, TestServer};
use aiows::{CloseCode, Message, Result, Router, Server, WebSocket, message, routes};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::raw::{Raw, limits, over_both};

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Message, Deserialize)]
struct Enter {
    user: String,
    #[serde(default)]
    name: Option<String>,
}

#[message("enter")]
async fn enter(ws: WebSocket, Enter { user, name }: Enter) -> Result<Joined> {
    ws.set_user(&user)?;
    let name = name.unwrap_or(user);
    ws.join_as_user("lobby", &json!({ "name": name })).await
}

#[derive(Message, Deserialize)]
struct Act {
    action: String,
}

/// Ends the membership of the connection in the given way.
#[message("act")]
async fn act(ws: WebSocket, hub: aiows::Hub, Act { action }: Act) -> Result {
    match action.as_str() {
        "close" => ws.close(CloseCode::NORMAL, "bye"),
        "disconnect" => assert!(hub.disconnect(ws.id(), CloseCode::POLICY, "kicked")),
        "disconnect_user" => {
            hub.disconnect_user(ws.user().unwrap_or_default(), CloseCode::POLICY, "kicked");
        }
        "leave" => assert!(ws.leave("lobby").was_member()),
        "clear_user" => assert_eq!(ws.clear_user().last_of(), Some("bob")),
        "set_user" => assert_eq!(ws.set_user("bert")?.last_of(), Some("bob")),
        "plain" => drop(ws.join_as("lobby", &json!({ "name": "bob" })).await?),
        _ => return Err(aiows::HandlerError::new("unknown", "unknown action").close(4000)),
    }
    Ok(())
}

#[message("without_user")]
async fn without_user(ws: WebSocket) -> Result<Joined> {
    ws.join_as_user("lobby", &json!({})).await
}

fn server(grace: Duration) -> Server {
    let router = Router::new().routes(routes![enter, act, without_user]);
    Server::from(router).limits(limits(|limits| {
        limits.presence_grace = grace;
        limits.message_size = 1024;
    }))
}

fn member(user: &str, name: &str) -> Value {
    json!({ "id": user, "name": name })
}

fn known(user: &str) -> Value {
    member(user, user)
}

fn announcement(kind: &str, members: &[Value]) -> Value {
    json!({ "type": kind, "room": "lobby", "members": members })
}

fn infos(server: &TestServer) -> Vec<Value> {
    let mut infos = server.handle().hub().member_infos("lobby");
    infos.sort_by_key(|info| info["id"].to_string());
    infos
}

async fn send_enter(client: &mut TestClient, user: &str, name: Option<&str>) {
    client.send_json(&json!({ "type": "enter", "user": user, "name": name })).await;
}

/// Opens a tab of a user; returns the client and the member list, sorted by id.
async fn tab(server: &TestServer, user: &str) -> (TestClient, Vec<Value>) {
    let mut client = server.connect().await;
    send_enter(&mut client, user, None).await;
    let mut list = client.recv_json().await;
    assert_eq!((&list["type"], &list["room"]), (&json!("room.members"), &json!("lobby")), "{list}");
    let mut members: Vec<Value> = list["members"].as_array_mut().unwrap().drain(..).collect();
    members.sort_by_key(|member| member["id"].to_string());
    (client, members)
}

/// Adds the user Ann to the room, who receives every announcement.
async fn watcher(server: &TestServer) -> TestClient {
    let (ann, list) = tab(server, "ann").await;
    assert_eq!(list, [known("ann")]);
    ann
}

async fn wait_for_size(server: &TestServer, size: usize) {
    while server.handle().hub().room_size("lobby") != size {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_user_s_first_and_last_tab_are_announced() {
    let server = TestServer::new(Server::from(Router::new().routes(routes![enter])));
    let mut ann = watcher(&server).await;
    let both = [known("ann"), known("bob")];
    let (one, list) = tab(&server, "bob").await;
    assert_eq!(list, both);
    assert_eq!(ann.recv_json().await, announcement("room.joined", &both[1..]));
    // The list has each user once, and a second tab is not announced.
    let (mut two, list) = tab(&server, "bob").await;
    assert_eq!((list, infos(&server).as_slice()), (both.to_vec(), &both[..]));
    assert_eq!(server.handle().hub().room_size("lobby"), 3);
    one.close(CloseCode::NORMAL, "").await;
    wait_for_size(&server, 2).await;
    ann.expect_silence(Duration::from_secs(10)).await;
    two.expect_silence(Duration::from_secs(1)).await;
    // The user reloads the page.
    two.close(CloseCode::NORMAL, "").await;
    wait_for_size(&server, 1).await;
    ann.expect_silence(Duration::from_millis(1900)).await;
    assert_eq!(infos(&server), both);
    let (three, list) = tab(&server, "bob").await;
    assert_eq!(list, both);
    ann.expect_silence(Duration::from_secs(10)).await;
    // This time the user does not come back.
    let gone = Instant::now();
    drop(three);
    assert_eq!(ann.recv_json().await, announcement("room.left", &both[1..]));
    let (grace, waited) = (Duration::from_secs(2), gone.elapsed());
    assert!(waited >= grace && waited < grace + Duration::from_millis(200), "{waited:?}");
    assert_eq!(infos(&server), [known("ann")]);
    // A user that comes back after the grace period is announced.
    let (_four, _) = tab(&server, "bob").await;
    assert_eq!(ann.recv_json().await, announcement("room.joined", &both[1..]));
}

#[tokio::test]
async fn a_client_that_disconnects_itself_has_a_grace_period() {
    over_both(
        || server(HOUR),
        async |server| {
            let mut ann = watcher(&server).await;
            for (round, way) in ["close frame", "end of the stream"].into_iter().enumerate() {
                let user = format!("bob {round}");
                let mut bob = Raw::join(&server).await;
                bob.send_text(&json!({ "type": "enter", "user": user }).to_string()).await;
                assert_eq!(bob.read_json().await["type"], "room.members");
                assert_eq!(ann.recv_json().await, announcement("room.joined", &[known(&user)]));
                match way {
                    "close frame" => bob.send_close(1000, "").await,
                    _ => drop(bob),
                }
                wait_for_size(&server, 1).await;
                // The next announcement is about Eve, so none was sent before it.
                let (marker, _) = tab(&server, "eve").await;
                assert_eq!(
                    ann.recv_json().await,
                    announcement("room.joined", &[known("eve")]),
                    "{way}"
                );
                assert!(infos(&server).contains(&known(&user)), "{way}");
                marker.close(CloseCode::NORMAL, "").await;
                wait_for_size(&server, 1).await;
                // Eve is in her grace period, too, so she returns and leaves the room.
                let (mut marker, _) = tab(&server, "eve").await;
                marker.send_json(&json!({ "type": "act", "action": "leave" })).await;
                assert_eq!(
                    ann.recv_json().await,
                    announcement("room.left", &[known("eve")]),
                    "{way}"
                );
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_client_whose_connection_is_reset_has_a_grace_period() {
    let server = TestServer::bind(server(HOUR)).await;
    let mut ann = watcher(&server).await;
    let mut bob = Raw::open(&server).await;
    bob.send_text(&json!({ "type": "enter", "user": "bob" }).to_string()).await;
    assert_eq!(bob.read_json().await["type"], "room.members");
    assert_eq!(ann.recv_json().await, announcement("room.joined", &[known("bob")]));
    bob.reset();
    wait_for_size(&server, 1).await;
    let (_eve, list) = tab(&server, "eve").await;
    assert_eq!(list, [known("ann"), known("bob"), known("eve")]);
    assert_eq!(ann.recv_json().await, announcement("room.joined", &[known("eve")]));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_pings_has_a_grace_period() {
    let server = TestServer::new(server(HOUR));
    let mut ann = watcher(&server).await;
    let (mut bob, _) = tab(&server, "bob").await;
    assert_eq!(ann.recv_json().await, announcement("room.joined", &[known("bob")]));
    bob.hang();
    ann.expect_silence(Duration::from_secs(600)).await;
    assert_eq!(server.handle().hub().room_size("lobby"), 1);
    assert_eq!(infos(&server), [known("ann"), known("bob")]);
    tokio::time::sleep(HOUR).await;
    assert_eq!(ann.recv_json().await, announcement("room.left", &[known("bob")]));
}

#[tokio::test]
async fn a_user_that_is_disconnected_or_leaves_the_room_is_announced_at_once() {
    over_both(
        || server(HOUR),
        async |server| {
            let mut ann = watcher(&server).await;
            for way in [
                "close",
                "disconnect",
                "disconnect_user",
                "leave",
                "clear_user",
                "set_user",
                "an error that closes",
                "too large",
                "against the protocol",
            ] {
                let mut bob = Raw::join(&server).await;
                bob.send_text(&json!({ "type": "enter", "user": "bob" }).to_string()).await;
                assert_eq!(bob.read_json().await["type"], "room.members");
                assert_eq!(
                    ann.recv_json().await,
                    announcement("room.joined", &[known("bob")]),
                    "{way}"
                );
                match way {
                    "too large" => bob.send_text(&"x".repeat(2000)).await,
                    // A reserved opcode.
                    "against the protocol" => bob.send(0x8b, b"").await,
                    _ => bob.send_text(&json!({ "type": "act", "action": way }).to_string()).await,
                }
                assert_eq!(
                    ann.recv_json().await,
                    announcement("room.left", &[known("bob")]),
                    "{way}"
                );
                assert_eq!(infos(&server), [known("ann")], "{way}");
                drop(bob);
                wait_for_size(&server, 1).await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn without_a_grace_period_every_departure_is_announced_at_once() {
    over_both(
        || server(Duration::ZERO),
        async |server| {
            let mut ann = watcher(&server).await;
            let (bob, _) = tab(&server, "bob").await;
            assert_eq!(ann.recv_json().await, announcement("room.joined", &[known("bob")]));
            bob.close(CloseCode::NORMAL, "").await;
            assert_eq!(ann.recv_json().await, announcement("room.left", &[known("bob")]));
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_latest_information_about_a_user_is_listed_and_announced_as_a_difference() {
    let server = TestServer::new(server(HOUR));
    let mut ann = watcher(&server).await;
    let (mut one, _) = tab(&server, "bob").await;
    assert_eq!(ann.recv_json().await, announcement("room.joined", &[known("bob")]));
    let mut two = server.connect().await;
    send_enter(&mut two, "bob", Some("bobby")).await;
    let bobby = member("bob", "bobby");
    assert_eq!(two.recv_json().await["type"], "room.members");
    for client in [&mut ann, &mut one] {
        assert_eq!(
            client.recv_json().await,
            announcement("room.joined", std::slice::from_ref(&bobby))
        );
    }
    // The tab that set the new name closes. A later tab sets the old name again.
    two.close(CloseCode::NORMAL, "").await;
    wait_for_size(&server, 2).await;
    assert_eq!(infos(&server), [known("ann"), bobby.clone()]);
    one.close(CloseCode::NORMAL, "").await;
    wait_for_size(&server, 1).await;
    let (_three, list) = tab(&server, "bob").await;
    assert_eq!(list, [known("ann"), known("bob")]);
    assert_eq!(ann.recv_json().await, announcement("room.joined", &[known("bob")]));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_changes_its_user_represents_no_user_until_it_joins_again() {
    let server = TestServer::new(server(HOUR));
    let mut ann = watcher(&server).await;
    let (mut bob, _) = tab(&server, "bob").await;
    assert_eq!(ann.recv_json().await, announcement("room.joined", &[known("bob")]));
    bob.send_json(&json!({ "type": "act", "action": "set_user" })).await;
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.recv_json().await, announcement("room.left", &[known("bob")]));
    }
    assert_eq!(server.handle().hub().room_size("lobby"), 2);
    send_enter(&mut bob, "bert", None).await;
    assert_eq!(ann.recv_json().await, announcement("room.joined", &[known("bert")]));
    assert_eq!(bob.recv_json().await["members"].as_array().unwrap().len(), 2);
    // The member changes from a user to a connection, which is announced as two changes.
    bob.send_json(&json!({ "type": "act", "action": "plain" })).await;
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.recv_json().await, announcement("room.left", &[known("bert")]));
        let joined = client.recv_json().await;
        assert_eq!(
            (&joined["type"], &joined["members"][0]["name"]),
            (&json!("room.joined"), &json!("bob"))
        );
        assert_eq!(joined["members"][0]["id"].as_str().unwrap().len(), 16);
    }
}

#[tokio::test]
async fn a_connection_without_a_user_gets_an_error_from_join_as_user() {
    over_both(
        || server(HOUR),
        async |server| {
            let mut bob = server.connect().await;
            bob.send_json(&json!({ "type": "without_user" })).await;
            assert_eq!(bob.recv_json().await["code"], "no_user");
            assert_eq!(server.handle().hub().room_size("lobby"), 0);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_room_without_members_is_removed_with_its_absent_users_and_leaves_no_task() {
    let server = TestServer::new(server(HOUR));
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let (ann, _) = tab(&server, "ann").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = tasks();
    let (bob, _) = tab(&server, "bob").await;
    bob.close(CloseCode::NORMAL, "").await;
    wait_for_size(&server, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // One task waits for the end of Bob's grace period.
    assert_eq!((tasks(), infos(&server).len()), (before + 1, 2));
    ann.close(CloseCode::NORMAL, "").await;
    let hub = server.handle().hub();
    while !hub.room_names().is_empty() || server.handle().stats().active > 0 {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(tasks() < before, "{} {before}", tasks());
    assert_eq!(infos(&server), [json!(null); 0]);
    let (_bob, list) = tab(&server, "bob").await;
    assert_eq!(list, [known("bob")]);
}

#[tokio::test(start_paused = true)]
async fn the_grace_task_ends_when_no_user_is_absent_any_more() {
    let server = TestServer::new(server(HOUR));
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let _ann = tab(&server, "ann").await;
    let mut counts = Vec::new();
    for _ in 0..20 {
        let (bob, _) = tab(&server, "bob").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        counts.push(tasks());
        bob.close(CloseCode::NORMAL, "").await;
        wait_for_size(&server, 1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_absent_users() {
    let server = TestServer::new(server(HOUR));
    let mut ann = watcher(&server).await;
    let (bob, _) = tab(&server, "bob").await;
    assert_eq!(ann.recv_json().await, announcement("room.joined", &[known("bob")]));
    bob.close(CloseCode::NORMAL, "").await;
    wait_for_size(&server, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (start, handle) = (Instant::now(), server.handle().clone());
    let reads = tokio::spawn(async move { ann.expect_closed(CloseCode::AWAY).await });
    handle.shutdown(Duration::from_secs(60)).await;
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    reads.await.unwrap();
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn a_room_keeps_at_most_room_members_absent_users() {
    let server = Server::from(Router::new().routes(routes![enter])).limits(limits(|limits| {
        limits.presence_grace = HOUR;
        limits.room_members = 3;
    }));
    let server = TestServer::new(server);
    let mut ann = watcher(&server).await;
    for user in ["a", "b", "c", "d"] {
        let (client, _) = tab(&server, user).await;
        assert_eq!(ann.recv_json().await, announcement("room.joined", &[known(user)]));
        client.close(CloseCode::NORMAL, "").await;
        wait_for_size(&server, 1).await;
    }
    assert_eq!(ann.recv_json().await, announcement("room.left", &[known("d")]));
    assert_eq!(infos(&server), ["a", "ann", "b", "c"].map(known));
}

/// Opens and closes two tabs of Bob concurrently, many times. Returns the types of the
/// announcements that Ann receives about him, in order.
async fn reopen_tabs(server: &TestServer, rounds: usize) -> Vec<String> {
    let mut ann = watcher(server).await;
    for round in 0..rounds {
        let open = async || {
            let mut client = server.connect().await;
            send_enter(&mut client, "bob", None).await;
            // In most rounds the tab does not wait for the list.
            if round % 8 == 0 {
                client.recv_json().await;
            }
            client.close(CloseCode::NORMAL, "").await;
        };
        tokio::join!(open(), open());
    }
    wait_for_size(server, 1).await;
    send_enter(&mut ann, "ann", Some("anna")).await;
    let mut announced = Vec::new();
    loop {
        let message = ann.recv_json().await;
        for member in message["members"].as_array().unwrap() {
            if member["name"] == "anna" {
                return announced;
            }
            assert_eq!(member, &known("bob"));
            announced.push(message["type"].as_str().unwrap().to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tabs_that_race_are_announced_as_one_user() {
    over_both(
        || server(HOUR),
        async |server| assert_eq!(reopen_tabs(&server, 300).await, ["room.joined"]),
    )
    .await;
    over_both(
        || server(Duration::ZERO),
        async |server| {
            let announced = reopen_tabs(&server, 100).await;
            let alternates = announced.chunks(2).all(|pair| pair == ["room.joined", "room.left"]);
            assert!(alternates && announced.len() >= 2, "{announced:?}");
        },
    )
    .await;
}
