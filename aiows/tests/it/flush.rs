//! Publishers and sessions both write broadcasts; clients see no difference.

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

/// Answers, and publishes something before the answer and behind it.
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

/// Lets every session fall asleep, so that a publisher writes in its place.
async fn settle() {
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
async fn more_members_than_are_written_at_once_all_get_everything_in_order() {
    over_both(server, async |server| {
        let mut members = members(&server, 300).await;
        let hub = server.handle().hub();
        settle().await;
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

/// More than are appended to in one turn, over TCP, where the publisher writes.
#[tokio::test]
async fn each_part_of_a_large_crowd_gets_what_is_sent_once() {
    const CROWD: usize = 2_048 + 150;
    let server = TestServer::bind(server()).await;
    let mut members = members(&server, CROWD).await;
    let hub = server.handle().hub();
    settle().await;
    for text in ["first", "second"] {
        let delivery = hub.room(ROOM).send_text(text).await.unwrap();
        assert_eq!((delivery.accepted, delivery.refused), (CROWD, 0));
    }
    for member in &mut members {
        member.expect_text("first").await;
        member.expect_text("second").await;
    }
}

#[tokio::test]
async fn a_member_that_did_not_read_gets_the_rest_when_it_does() {
    over_both(
        || server().limits(large_queues()),
        async |server| {
            let mut members = members(&server, 2).await;
            let hub = server.handle().hub();
            settle().await;
            let filling = "x".repeat(60_000);
            for number in 0..300 {
                let delivery = hub.room(ROOM).send_text(&format!("{number} {filling}")).await;
                assert_eq!(delivery.unwrap().accepted, 2);
                // The one that reads is not held up by the other.
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
async fn what_was_published_before_a_close_arrives_before_it() {
    over_both(
        || server().limits(large_queues()),
        async |server| {
            let mut members = members(&server, 2).await;
            let hub = server.handle().hub();
            settle().await;
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
async fn who_publishes_may_race_with_those_who_leave_and_break_off() {
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
        settle().await;
        hub.room(ROOM).send_text("is anybody there?").await.unwrap();
    }
}

#[tokio::test]
async fn a_publisher_whose_runtime_stands_still_is_heard() {
    over_both(server, async |server| {
        let mut member = Raw::join(&server).await;
        let hub = server.handle().hub();
        settle().await;
        let publish = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(hub.room(ROOM).send_text("from afar")).unwrap();
            runtime
        };
        let still = tokio::task::spawn_blocking(publish).await.unwrap();
        member.expect_text("from afar").await;
        still.shutdown_background();
    })
    .await;
}

/// Whoever publishes outside of a runtime leaves the writing to the runtime of the session that began
/// last, here one that ends without doing it.
#[test]
fn what_a_runtime_that_ends_had_to_write_is_written_by_the_sessions() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let app = server().build().unwrap();
    let mut member = first.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(app.clone().serve([listener]));
        let mut member = Raw::dial_at(address).await;
        member.handshake().await;
        settle().await;
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
