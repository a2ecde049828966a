//! Publishers and sessions both write broadcasts, and clients see no difference.

use std::time::Duration;

use aiows::{
    CloseCode, Hub, Limits, Result, Router, Server, Text, WebSocket, connect, fallback, routes,
};
use futures_util::FutureExt;
use tokio::net::TcpListener;

use super::kit::{TestServer, over_both};
use crate::raw::{Raw, limits, masked};

const ROOM: &str = "room";

#[connect]
async fn enter(ws: WebSocket) -> Result {
    ws.join(ROOM).await?;
    Ok(())
}

/// Publishes a text, answers the client, and publishes another text.
#[fallback]
async fn say(ws: WebSocket, hub: Hub, Text(text): Text) -> Result {
    hub.room(ROOM).send_text(&format!("{text} before")).await?;
    ws.send_text(&text).await?;
    hub.room(ROOM).send_text(&format!("{text} behind")).await?;
    Ok(())
}

fn server() -> Server {
    Server::from(Router::new().routes(routes![enter, say]))
}

fn large_queues() -> Limits {
    limits(|limits| {
        limits.outbound_messages = 100_000;
        limits.outbound_size = 64 << 20;
    })
}

async fn members(server: &TestServer, count: usize) -> Vec<Raw> {
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(Raw::join(server).await);
    }
    members
}

/// Waits until every session is idle, so that a publisher writes in its place.
async fn await_idle_sessions() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

#[tokio::test]
async fn publications_and_answers_keep_their_order() {
    over_both(server, async |server| {
        let mut members = members(&server, 3).await;
        let texts: Vec<_> = (0..50).map(|number| format!("text {number}")).collect();
        let burst: Vec<_> = texts.iter().flat_map(|text| masked(0x81, text.as_bytes())).collect();
        members[0].write(&burst).await;
        for (place, member) in members.iter_mut().enumerate() {
            for text in &texts {
                member.expect_text(&format!("{text} before")).await;
                if place == 0 {
                    member.expect_text(text).await;
                }
                member.expect_text(&format!("{text} behind")).await;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn all_members_receive_everything_in_order_if_there_are_more_than_are_written_at_once() {
    over_both(server, async |server| {
        let mut members = members(&server, 300).await;
        let hub = server.handle().hub();
        await_idle_sessions().await;
        for number in 0..20 {
            let delivery = hub.room(ROOM).send_text(&number.to_string()).await.unwrap();
            assert_eq!((delivery.accepted, delivery.refused), (300, 0));
        }
        for member in &mut members {
            for number in 0..20 {
                member.expect_text(&number.to_string()).await;
            }
        }
    })
    .await;
}

/// The room has more members than a broadcast appends to in one turn. Over TCP, the publisher
/// writes.
#[tokio::test]
async fn every_member_of_a_very_large_room_receives_each_text_once() {
    const MEMBERS: usize = 2_048 + 150;
    let server = TestServer::bind(server()).await;
    let mut members = members(&server, MEMBERS).await;
    let hub = server.handle().hub();
    await_idle_sessions().await;
    for text in ["first", "second"] {
        let delivery = hub.room(ROOM).send_text(text).await.unwrap();
        assert_eq!((delivery.accepted, delivery.refused), (MEMBERS, 0));
    }
    for member in &mut members {
        member.expect_text("first").await;
        member.expect_text("second").await;
    }
}

#[tokio::test]
async fn a_member_that_stopped_reading_receives_the_rest_when_it_reads_again() {
    over_both(
        || server().limits(large_queues()),
        async |server| {
            let mut members = members(&server, 2).await;
            let hub = server.handle().hub();
            await_idle_sessions().await;
            let filling = "x".repeat(60_000);
            for number in 0..300 {
                let delivery = hub.room(ROOM).send_text(&format!("{number} {filling}")).await;
                assert_eq!(delivery.unwrap().accepted, 2);
                // The other member does not delay the one that reads.
                members[0].expect_text(&format!("{number} {filling}")).await;
            }
            for number in 0..300 {
                members[1].expect_text(&format!("{number} {filling}")).await;
            }
            hub.room(ROOM).send_text("and on").await.unwrap();
            members[1].expect_text("and on").await;
        },
    )
    .await;
}

#[tokio::test]
async fn messages_published_before_a_close_arrive_before_it() {
    over_both(
        || server().limits(large_queues()),
        async |server| {
            let mut members = members(&server, 2).await;
            let hub = server.handle().hub();
            await_idle_sessions().await;
            let filling = "x".repeat(60_000);
            for number in 0..100 {
                hub.room(ROOM).send_text(&format!("{number} {filling}")).await.unwrap();
            }
            let sockets = hub.members(ROOM);
            sockets.iter().for_each(|socket| socket.close(CloseCode::NORMAL, "enough"));
            assert_eq!(hub.room(ROOM).send_text("too late").await.unwrap().accepted, 0);
            for member in &mut members {
                for number in 0..100 {
                    member.expect_text(&format!("{number} {filling}")).await;
                }
                assert_eq!(member.read_close(1000).await, "enough");
                member.send_close(1000, "").await;
            }
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_publisher_may_race_with_clients_that_leave_or_reset_their_connections() {
    let server = TestServer::bind(server()).await;
    let mut staying = Raw::join(&server).await;
    let hub = server.handle().hub();
    let publisher = tokio::spawn(async move {
        for number in 0..2_000 {
            let delivery = hub.room(ROOM).send_text(&number.to_string()).await.unwrap();
            assert!(delivery.accepted > 0);
            tokio::task::yield_now().await;
        }
    });
    for round in 0..40 {
        let mut leaving = Raw::open(&server).await;
        let broken = Raw::open(&server).await;
        if round % 2 == 0 {
            leaving.send_close(1000, "").await;
            leaving.read_to_end().await;
        }
        broken.reset();
    }
    for number in 0..2_000 {
        staying.expect_text(&number.to_string()).await;
    }
    publisher.await.unwrap();
    let hub = server.handle().hub();
    while hub.room_size(ROOM) > 1 {
        await_idle_sessions().await;
        hub.room(ROOM).send_text("still there?").await.unwrap();
    }
}

#[tokio::test]
async fn a_broadcast_arrives_even_if_the_runtime_of_its_publisher_no_longer_runs() {
    over_both(server, async |server| {
        let mut member = Raw::join(&server).await;
        let hub = server.handle().hub();
        await_idle_sessions().await;
        let publish = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(hub.room(ROOM).send_text("from afar")).unwrap();
            runtime
        };
        let idle = tokio::task::spawn_blocking(publish).await.unwrap();
        member.expect_text("from afar").await;
        idle.shutdown_background();
    })
    .await;
}

/// A publisher outside of a runtime leaves the write to the runtime of the newest session. In this
/// test, that runtime ends before it writes.
#[test]
fn the_sessions_write_a_broadcast_that_an_ended_runtime_has_not_written() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let app = server().build().unwrap();
    let mut member = first.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(app.clone().serve([listener]));
        let mut member = Raw::dial_at(address).await;
        member.handshake().await;
        await_idle_sessions().await;
        member
    });
    let _last = second.block_on(async {
        let (client, stream) = tokio::io::duplex(64 * 1024);
        app.serve_stream(stream, None);
        let mut last = Raw::over(client);
        last.handshake().await;
        last
    });
    let sent = app.handle().hub().room(ROOM).send_text("late").now_or_never();
    assert_eq!(sent.unwrap().unwrap().accepted, 2);
    drop(second);
    first.block_on(member.expect_text("late"));
}
