//! Rooms that list users: the first tab, the last tab, and a page that loads again.

use std::time::Duration;

use aiows::testing::{TestClient, TestServer};
use aiows::{CloseCode, Joined, Message, Result, Router, Server, WebSocket, message, routes};
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
    what: String,
}

/// What ends the membership of a connection in one way or another.
#[message("act")]
async fn act(ws: WebSocket, hub: aiows::Hub, Act { what }: Act) -> Result {
    match what.as_str() {
        "close" => ws.close(CloseCode::NORMAL, "bye"),
        "disconnect" => assert!(hub.disconnect(ws.id(), CloseCode::POLICY, "kicked")),
        "disconnect_user" => {
            hub.disconnect_user(ws.user().unwrap_or_default(), CloseCode::POLICY, "kicked");
        }
        "leave" => assert!(ws.leave("lobby").was_member()),
        "clear_user" => assert_eq!(ws.clear_user().last_of(), Some("bob")),
        "set_user" => assert_eq!(ws.set_user("bert")?.last_of(), Some("bob")),
        "plain" => drop(ws.join_as("lobby", &json!({ "name": "bob" })).await?),
        _ => return Err(aiows::HandlerError::new("unknown", "act otherwise").close(4000)),
    }
    Ok(())
}

#[message("nobody")]
async fn nobody(ws: WebSocket) -> Result<Joined> {
    ws.join_as_user("lobby", &json!({})).await
}

fn server(grace: Duration) -> Server {
    let router = Router::new().routes(routes![enter, act, nobody]);
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

fn told(kind: &str, members: &[Value]) -> Value {
    json!({ "type": kind, "room": "lobby", "members": members })
}

fn infos(server: &TestServer) -> Vec<Value> {
    let mut infos = server.handle().hub().member_infos("lobby");
    infos.sort_by_key(|info| info["id"].to_string());
    infos
}

async fn say(client: &mut TestClient, user: &str, name: Option<&str>) {
    client.send_json(&json!({ "type": "enter", "user": user, "name": name })).await;
}

/// A tab of a user that has the list, in the order of the ids.
async fn tab(server: &TestServer, user: &str) -> (TestClient, Vec<Value>) {
    let mut client = server.connect().await;
    say(&mut client, user, None).await;
    let mut list = client.recv_json().await;
    assert_eq!((&list["type"], &list["room"]), (&json!("room.members"), &json!("lobby")), "{list}");
    let mut members: Vec<Value> = list["members"].as_array_mut().unwrap().drain(..).collect();
    members.sort_by_key(|member| member["id"].to_string());
    (client, members)
}

/// A room with a user who is told of everything.
async fn watched(server: &TestServer) -> TestClient {
    let (watcher, list) = tab(server, "ann").await;
    assert_eq!(list, [known("ann")]);
    watcher
}

async fn wait_for_size(server: &TestServer, size: usize) {
    while server.handle().hub().room_size("lobby") != size {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_first_tab_and_the_last_one_are_announced() {
    let server = TestServer::new(Server::from(Router::new().routes(routes![enter])));
    let mut ann = watched(&server).await;
    let both = [known("ann"), known("bob")];
    let (one, list) = tab(&server, "bob").await;
    assert_eq!(list, both);
    assert_eq!(ann.recv_json().await, told("room.joined", &both[1..]));
    // The list has each user once, and a second tab is not announced.
    let (mut two, list) = tab(&server, "bob").await;
    assert_eq!((list, infos(&server).as_slice()), (both.to_vec(), &both[..]));
    assert_eq!(server.handle().hub().room_size("lobby"), 3);
    one.close(CloseCode::NORMAL, "").await;
    wait_for_size(&server, 2).await;
    ann.expect_silence(Duration::from_secs(10)).await;
    two.expect_silence(Duration::from_secs(1)).await;
    // The page loads again.
    two.close(CloseCode::NORMAL, "").await;
    wait_for_size(&server, 1).await;
    ann.expect_silence(Duration::from_millis(1900)).await;
    assert_eq!(infos(&server), both);
    let (three, list) = tab(&server, "bob").await;
    assert_eq!(list, both);
    ann.expect_silence(Duration::from_secs(10)).await;
    // And now nobody comes back.
    let gone = Instant::now();
    drop(three);
    assert_eq!(ann.recv_json().await, told("room.left", &both[1..]));
    let (grace, waited) = (Duration::from_secs(2), gone.elapsed());
    assert!(waited >= grace && waited < grace + Duration::from_millis(200), "{waited:?}");
    assert_eq!(infos(&server), [known("ann")]);
    // Who comes too late is announced.
    let (_four, _) = tab(&server, "bob").await;
    assert_eq!(ann.recv_json().await, told("room.joined", &both[1..]));
}

#[tokio::test]
async fn a_client_that_goes_by_itself_has_a_grace() {
    over_both(
        || server(HOUR),
        async |server| {
            let mut ann = watched(&server).await;
            for (round, way) in ["close frame", "end of the stream"].into_iter().enumerate() {
                let user = format!("bob {round}");
                let mut bob = Raw::join(&server).await;
                bob.send_text(&json!({ "type": "enter", "user": user }).to_string()).await;
                assert_eq!(bob.read_json().await["type"], "room.members");
                assert_eq!(ann.recv_json().await, told("room.joined", &[known(&user)]));
                match way {
                    "close frame" => bob.send_close(1000, "").await,
                    _ => drop(bob),
                }
                wait_for_size(&server, 1).await;
                // Something that is announced proves that nothing was before it.
                let (marker, _) = tab(&server, "eve").await;
                assert_eq!(ann.recv_json().await, told("room.joined", &[known("eve")]), "{way}");
                assert!(infos(&server).contains(&known(&user)), "{way}");
                marker.close(CloseCode::NORMAL, "").await;
                wait_for_size(&server, 1).await;
                // Eve is awaited as well, so she is sent away.
                let (mut marker, _) = tab(&server, "eve").await;
                marker.send_json(&json!({ "type": "act", "what": "leave" })).await;
                assert_eq!(ann.recv_json().await, told("room.left", &[known("eve")]), "{way}");
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_reset_has_a_grace() {
    let server = TestServer::bind(server(HOUR)).await;
    let mut ann = watched(&server).await;
    let mut bob = Raw::open(&server).await;
    bob.send_text(&json!({ "type": "enter", "user": "bob" }).to_string()).await;
    assert_eq!(bob.read_json().await["type"], "room.members");
    assert_eq!(ann.recv_json().await, told("room.joined", &[known("bob")]));
    bob.reset();
    wait_for_size(&server, 1).await;
    let (_eve, list) = tab(&server, "eve").await;
    assert_eq!(list, [known("ann"), known("bob"), known("eve")]);
    assert_eq!(ann.recv_json().await, told("room.joined", &[known("eve")]));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_pings_has_a_grace() {
    let server = TestServer::new(server(HOUR));
    let mut ann = watched(&server).await;
    let (mut bob, _) = tab(&server, "bob").await;
    assert_eq!(ann.recv_json().await, told("room.joined", &[known("bob")]));
    bob.hang();
    ann.expect_silence(Duration::from_secs(600)).await;
    assert_eq!(server.handle().hub().room_size("lobby"), 1);
    assert_eq!(infos(&server), [known("ann"), known("bob")]);
    tokio::time::sleep(HOUR).await;
    assert_eq!(ann.recv_json().await, told("room.left", &[known("bob")]));
}

#[tokio::test]
async fn whoever_is_sent_away_or_leaves_the_room_is_announced_at_once() {
    over_both(
        || server(HOUR),
        async |server| {
            let mut ann = watched(&server).await;
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
                assert_eq!(ann.recv_json().await, told("room.joined", &[known("bob")]), "{way}");
                match way {
                    "too large" => bob.send_text(&"x".repeat(2000)).await,
                    // A reserved opcode.
                    "against the protocol" => bob.send(0x8b, b"").await,
                    _ => bob.send_text(&json!({ "type": "act", "what": way }).to_string()).await,
                }
                assert_eq!(ann.recv_json().await, told("room.left", &[known("bob")]), "{way}");
                assert_eq!(infos(&server), [known("ann")], "{way}");
                drop(bob);
                wait_for_size(&server, 1).await;
            }
        },
    )
    .await;
}

#[tokio::test]
async fn without_a_grace_everybody_leaves_at_once() {
    over_both(
        || server(Duration::ZERO),
        async |server| {
            let mut ann = watched(&server).await;
            let (bob, _) = tab(&server, "bob").await;
            assert_eq!(ann.recv_json().await, told("room.joined", &[known("bob")]));
            bob.close(CloseCode::NORMAL, "").await;
            assert_eq!(ann.recv_json().await, told("room.left", &[known("bob")]));
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_was_said_last_about_a_user_counts_and_is_told_as_a_difference() {
    let server = TestServer::new(server(HOUR));
    let mut ann = watched(&server).await;
    let (mut one, _) = tab(&server, "bob").await;
    assert_eq!(ann.recv_json().await, told("room.joined", &[known("bob")]));
    let mut two = server.connect().await;
    say(&mut two, "bob", Some("bobby")).await;
    let bobby = member("bob", "bobby");
    assert_eq!(two.recv_json().await["type"], "room.members");
    for client in [&mut ann, &mut one] {
        assert_eq!(client.recv_json().await, told("room.joined", std::slice::from_ref(&bobby)));
    }
    // The tab that said it goes, and comes back with the old name.
    two.close(CloseCode::NORMAL, "").await;
    wait_for_size(&server, 2).await;
    assert_eq!(infos(&server), [known("ann"), bobby.clone()]);
    one.close(CloseCode::NORMAL, "").await;
    wait_for_size(&server, 1).await;
    let (_three, list) = tab(&server, "bob").await;
    assert_eq!(list, [known("ann"), known("bob")]);
    assert_eq!(ann.recv_json().await, told("room.joined", &[known("bob")]));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_gets_another_user_stands_for_neither_until_it_joins_again() {
    let server = TestServer::new(server(HOUR));
    let mut ann = watched(&server).await;
    let (mut bob, _) = tab(&server, "bob").await;
    assert_eq!(ann.recv_json().await, told("room.joined", &[known("bob")]));
    bob.send_json(&json!({ "type": "act", "what": "set_user" })).await;
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.recv_json().await, told("room.left", &[known("bob")]));
    }
    assert_eq!(server.handle().hub().room_size("lobby"), 2);
    say(&mut bob, "bert", None).await;
    assert_eq!(ann.recv_json().await, told("room.joined", &[known("bert")]));
    assert_eq!(bob.recv_json().await["members"].as_array().unwrap().len(), 2);
    // From a user to a connection, in one announcement.
    bob.send_json(&json!({ "type": "act", "what": "plain" })).await;
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.recv_json().await, told("room.left", &[known("bert")]));
        let joined = client.recv_json().await;
        assert_eq!(
            (&joined["type"], &joined["members"][0]["name"]),
            (&json!("room.joined"), &json!("bob"))
        );
        assert_eq!(joined["members"][0]["id"].as_str().unwrap().len(), 16);
    }
}

#[tokio::test]
async fn a_connection_without_a_user_is_told_so() {
    over_both(
        || server(HOUR),
        async |server| {
            let mut bob = server.connect().await;
            bob.send_json(&json!({ "type": "nobody" })).await;
            assert_eq!(bob.recv_json().await["code"], "no_user");
            assert_eq!(server.handle().hub().room_size("lobby"), 0);
        },
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_room_without_members_vanishes_with_those_it_awaits_and_leaves_no_task() {
    let server = TestServer::new(server(HOUR));
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let (ann, _) = tab(&server, "ann").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = tasks();
    let (bob, _) = tab(&server, "bob").await;
    bob.close(CloseCode::NORMAL, "").await;
    wait_for_size(&server, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // One task awaits Bob.
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
async fn a_wait_ends_when_nobody_is_awaited_any_more() {
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
async fn a_stop_awaits_nobody() {
    let server = TestServer::new(server(HOUR));
    let mut ann = watched(&server).await;
    let (bob, _) = tab(&server, "bob").await;
    assert_eq!(ann.recv_json().await, told("room.joined", &[known("bob")]));
    bob.close(CloseCode::NORMAL, "").await;
    wait_for_size(&server, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (begun, handle) = (Instant::now(), server.handle().clone());
    let reads = tokio::spawn(async move { ann.expect_closed(CloseCode::AWAY).await });
    handle.shutdown(Duration::from_secs(60)).await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    reads.await.unwrap();
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn no_more_users_are_awaited_than_a_room_may_have_members() {
    let server = Server::from(Router::new().routes(routes![enter])).limits(limits(|limits| {
        limits.presence_grace = HOUR;
        limits.room_members = 3;
    }));
    let server = TestServer::new(server);
    let mut ann = watched(&server).await;
    for user in ["a", "b", "c", "d"] {
        let (client, _) = tab(&server, user).await;
        assert_eq!(ann.recv_json().await, told("room.joined", &[known(user)]));
        client.close(CloseCode::NORMAL, "").await;
        wait_for_size(&server, 1).await;
    }
    assert_eq!(ann.recv_json().await, told("room.left", &[known("d")]));
    assert_eq!(infos(&server), ["a", "ann", "b", "c"].map(known));
}

/// Two tabs of Bob open and close together, again and again; returns what Ann is told of him, in order.
async fn flap(server: &TestServer, rounds: usize) -> Vec<String> {
    let mut ann = watched(server).await;
    for round in 0..rounds {
        let open = async || {
            let mut client = server.connect().await;
            say(&mut client, "bob", None).await;
            // In most rounds it does not stay for the list.
            if round % 8 == 0 {
                client.recv_json().await;
            }
            client.close(CloseCode::NORMAL, "").await;
        };
        tokio::join!(open(), open());
    }
    wait_for_size(server, 1).await;
    say(&mut ann, "ann", Some("anna")).await;
    let mut heard = Vec::new();
    loop {
        let told = ann.recv_json().await;
        for member in told["members"].as_array().unwrap() {
            if member["name"] == "anna" {
                return heard;
            }
            assert_eq!(member, &known("bob"));
            heard.push(told["type"].as_str().unwrap().to_owned());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tabs_that_race_are_one_user_that_comes_once() {
    over_both(
        || server(HOUR),
        async |server| assert_eq!(flap(&server, 300).await, ["room.joined"]),
    )
    .await;
    over_both(
        || server(Duration::ZERO),
        async |server| {
            let heard = flap(&server, 100).await;
            let alternates = heard.chunks(2).all(|pair| pair == ["room.joined", "room.left"]);
            assert!(alternates && heard.len() >= 2, "{heard:?}");
        },
    )
    .await;
}
