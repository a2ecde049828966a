//! Messages that stay unfinished, and a server with unbounded limits.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use aiows::messages::Overflow;
use aiows::{DisconnectReason, Limits};

use super::kit::{TestServer, over_both};
use crate::raw::{Raw, ends, limits, masked};

const TEXT: u8 = 0x81;
const KIB: usize = 1024;

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_finish_a_message_in_time_is_closed_with_1008() {
    let (ends, ended) = ends();
    let server = TestServer::new(ends.server());
    let mut raw = Raw::join(&server).await;
    // Neither a whole message nor a pause between two messages starts the timeout.
    raw.send_text("whole").await;
    raw.expect_text("whole").await;
    sleep(Duration::from_secs(15)).await;
    let start = Instant::now();
    let frame = masked(TEXT, &[b'x'; 1000]);
    let mut sent = 0;
    // The client sends one byte at a time, often enough to count as alive.
    while start.elapsed() < Duration::from_secs(59) {
        raw.write(&frame[sent..=sent]).await;
        sent += 1;
        sleep(Duration::from_secs(3)).await;
    }
    assert_eq!(ended_reason(&ended).await, DisconnectReason::Protocol { code: 1008.into() });
    let elapsed = start.elapsed();
    assert!((59..=61).contains(&elapsed.as_secs()), "{elapsed:?}");
    let close = loop {
        let frame = raw.read_frame().await.expect("a close frame");
        if frame.first == 0x88 {
            break frame;
        }
    };
    assert_eq!(close.payload, b"\x03\xf0Message not finished in time");
}

async fn ended_reason(ended: &crate::raw::Ended) -> DisconnectReason {
    ended.next_within(Duration::from_secs(10)).await
}

#[tokio::test]
async fn if_unfinished_messages_exceed_the_total_clients_above_their_share_are_closed() {
    let (ends, ended) = ends();
    let narrow = limits(|limits| limits.inbound_total = 512 * KIB);
    over_both(
        || ends.server().limits(narrow.clone()),
        async |server| {
            let mut greedy = Raw::join(&server).await;
            let mut modest = Raw::join(&server).await;
            let text = "x".repeat(200 * KIB);
            let frame = masked(TEXT, text.as_bytes());
            let large = masked(TEXT, "y".repeat(1000 * KIB).as_bytes());
            greedy.write(&large[..400 * KIB]).await;
            modest.write(&frame[..frame.len() - 1]).await;
            // The connection is closed although its client sends no further bytes.
            assert_eq!(greedy.read_close(1013).await, "Too much unfinished data");
            modest.write(&frame[frame.len() - 1..]).await;
            modest.expect_text(&text).await;
            assert_eq!(ended.next().await, DisconnectReason::Protocol { code: 1013.into() });
            // The bytes of the other connections no longer count towards the total.
            let mut next = Raw::join(&server).await;
            let text = "z".repeat(500 * KIB);
            next.write_while_reading(&masked(TEXT, text.as_bytes())).await;
            next.expect_text(&text).await;
            next.write_while_reading(&large[..600 * KIB]).await;
            assert_eq!(next.read_close(1013).await, "Too much unfinished data");
            assert_eq!(ended.next().await, DisconnectReason::Protocol { code: 1013.into() });
            drop((greedy, modest, next));
            ended.next().await;
        },
    )
    .await;
}

/// The first frame of a text in fragments, which has this many bytes of payload.
fn begun(size: usize) -> Vec<u8> {
    masked(0x01, &vec![b'x'; size])
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_no_more_than_its_share_of_the_unfinished_bytes_stays_connected() {
    let total = 512 * KIB;
    let (ends, ended) = ends();
    let narrow = limits(|limits| limits.inbound_total = total);
    let server = TestServer::new(ends.server().limits(narrow));
    let mut others = [Raw::join(&server).await, Raw::join(&server).await];
    // A message no longer counts once it is finished or its client has left.
    for other in &mut others {
        other.write(&begun(200 * KIB)).await;
        other.send(0x80, b"").await;
        other.expect_text(&"x".repeat(200 * KIB)).await;
    }
    let [gone, mut idle] = others;
    idle.send_text("here").await;
    idle.expect_text("here").await;
    drop(gone);
    ended.next().await;
    let (mut greedy, mut modest) = (Raw::join(&server).await, Raw::join(&server).await);
    // The first one is above its share, but both together are not above the total.
    greedy.write(&begun(total / 2 + KIB)).await;
    modest.write(&begun(total / 2 - KIB)).await;
    for _ in 0..3 {
        for raw in [&mut greedy, &mut modest] {
            raw.expect_silence(Duration::from_millis(1500)).await;
        }
    }
    // Now they are, and the second one has exactly its share.
    let rest = masked(0x00, &vec![b'x'; KIB]);
    modest.write(&rest).await;
    assert_eq!(greedy.read_close(1013).await, "Too much unfinished data");
    modest.send(0x80, b"").await;
    modest.expect_text(&"x".repeat(total / 2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_exceeds_its_share_with_a_further_byte_is_closed_at_once() {
    let narrow = limits(|limits| limits.inbound_total = 512 * KIB);
    let server = TestServer::new(ends().0.server().limits(narrow));
    let (mut modest, mut greedy) = (Raw::join(&server).await, Raw::join(&server).await);
    let start = Instant::now();
    modest.write(&begun(200 * KIB)).await;
    modest.send(0x89, b"read").await;
    assert_eq!(modest.read_frame().await.unwrap().payload, b"read");
    greedy.write(&begun(400 * KIB)).await;
    assert_eq!(greedy.read_close(1013).await, "Too much unfinished data");
    assert_eq!(start.elapsed(), Duration::ZERO);
    modest.expect_silence(Duration::from_secs(3)).await;
}

#[tokio::test(start_paused = true)]
async fn unfinished_messages_count_from_64_kib_on() {
    let narrow = limits(|limits| limits.inbound_total = 2 * 64 * KIB - 1);
    let server = TestServer::new(ends().0.server().limits(narrow));
    let mut small = Vec::new();
    for _ in 0..5 {
        let mut raw = Raw::join(&server).await;
        raw.write(&begun(64 * KIB - 1)).await;
        small.push(raw);
    }
    for raw in &mut small {
        raw.expect_silence(Duration::from_millis(1500)).await;
    }
    let (mut one, mut other) = (Raw::join(&server).await, Raw::join(&server).await);
    one.write(&begun(64 * KIB)).await;
    one.expect_silence(Duration::from_millis(1500)).await;
    other.write(&begun(64 * KIB)).await;
    assert_eq!(other.read_close(1013).await, "Too much unfinished data");
    for raw in small.iter_mut().chain([&mut one]) {
        raw.expect_silence(Duration::from_millis(1500)).await;
    }
}

/// Sets every limit to the largest value of its type.
fn unbounded() -> Limits {
    limits(|limits| {
        for limit in [
            &mut limits.message_size,
            &mut limits.fragments,
            &mut limits.request_head_size,
            &mut limits.request_headers,
            &mut limits.handshakes,
            &mut limits.inbound_messages,
            &mut limits.inbound_size,
            &mut limits.inbound_total,
            &mut limits.messages_per_turn,
            &mut limits.outbound_messages,
            &mut limits.outbound_size,
            &mut limits.outbound_total,
            &mut limits.rooms,
            &mut limits.room_members,
            &mut limits.room_name_size,
            &mut limits.member_info_size,
            &mut limits.connections,
        ] {
            *limit = usize::MAX;
        }
        for limit in [
            &mut limits.handshake_timeout,
            &mut limits.message_timeout,
            &mut limits.write_timeout,
            &mut limits.ping_interval,
            &mut limits.ping_timeout,
            &mut limits.close_timeout,
            &mut limits.disconnect_timeout,
        ] {
            *limit = Duration::MAX;
        }
    })
}

#[tokio::test]
async fn a_server_with_unbounded_limits_works_and_stops_gracefully() {
    for overflow in [Overflow::Disconnect, Overflow::DropOldest, Overflow::DropNewest] {
        let (ends, ended) = ends();
        let mut unbounded = unbounded();
        unbounded.overflow = overflow;
        over_both(
            || ends.server().limits(unbounded.clone()),
            async |server| {
                let mut raw = Raw::join(&server).await;
                for _ in 0..3 {
                    let text = "x".repeat(100 * KIB);
                    raw.write_while_reading(&masked(TEXT, text.as_bytes())).await;
                    raw.expect_text(&text).await;
                }
                // One client sends part of a message, another one part of a close frame.
                let mut half = Raw::join(&server).await;
                half.write(&masked(TEXT, b"half")[..7]).await;
                let mut leaving = Raw::join(&server).await;
                leaving.write(&[0x88]).await;
                let mut closed = Raw::join(&server).await;
                closed.send_close(1000, "").await;
                closed.read_close(1000).await;
                closed.expect_end().await;
                let left =
                    DisconnectReason::Peer { code: Some(1000.into()), reason: String::new() };
                assert_eq!(ended.next().await, left);
                drop(leaving);
                let lost = DisconnectReason::Peer { code: None, reason: String::new() };
                assert_eq!(ended.next().await, lost);
                let stopped = tokio::spawn(server.shutdown(Duration::MAX));
                raw.read_close(1001).await;
                raw.send_close(1001, "").await;
                raw.expect_end().await;
                half.read_close(1001).await;
                half.finish().await;
                half.expect_end().await;
                for _ in 0..2 {
                    assert_eq!(ended.next().await, DisconnectReason::Shutdown);
                }
                stopped.await.unwrap().unwrap();
            },
        )
        .await;
        drop(ends);
        ended.expect_no_more().await;
    }
}
