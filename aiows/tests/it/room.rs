//! A room with members that never read: measured from outside, over TCP, in a child process.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::raw::{REQUEST, Raw};
use crate::served::{Served, Setup};

const MIB: u64 = 1024 * 1024;
const READERS: usize = 990;
const DEAF: usize = 10;
const MESSAGES: usize = 100;
/// Within what the server copies for each member.
const SIZE: usize = 4_000;

/// Becomes a member. With a small window the kernel keeps little of what is not read.
async fn enter(served: &Served, window: Option<u32>) -> Raw<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(window) = window {
        socket.set_recv_buffer_size(window).unwrap();
    }
    let mut raw = Raw::over(socket.connect(served.address).await.unwrap());
    raw.write(REQUEST.replace("GET / ", "GET /room ").as_bytes()).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
    raw
}

/// Publishes, and returns what the server says about it when all readers have the message.
async fn publish(
    desk: &mut Raw<TcpStream>,
    readers: &mut [Raw<TcpStream>],
    number: usize,
) -> Value {
    let news = json!({ "type": "news", "text": format!("{number:0SIZE$}") });
    desk.send_text(&news.to_string()).await;
    let expected = format!(r#"{{"type":"news","text":"{number:0SIZE$}"}}"#);
    for reader in readers {
        reader.expect_text(&expected).await;
    }
    desk.read_json().await
}

async fn size(desk: &mut Raw<TcpStream>) -> Value {
    desk.send_text(r#"{"type":"size"}"#).await;
    desk.read_json().await["size"].take()
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "the numbers are reported, and decide nothing")]
async fn ten_members_that_never_read_cost_the_others_nothing() {
    let write = Duration::from_secs(1);
    let served = Served::start(&Setup { files: 2_000, write, send: 16 * 1024, ..Setup::default() });
    let mut desk = served.open().await;
    let (mut deaf, mut readers) = (Vec::new(), Vec::new());
    for _ in 0..READERS {
        readers.push(enter(&served, None).await);
    }
    publish(&mut desk, &mut readers, 0).await;
    for _ in 0..DEAF {
        deaf.push(enter(&served, Some(4 * 1024)).await);
    }
    assert_eq!(size(&mut desk).await, READERS + DEAF);
    let (before, mut grown, mut worst) = (served.resident(), 0, Duration::ZERO);
    for number in 1..=MESSAGES {
        let started = Instant::now();
        let delivery = publish(&mut desk, &mut readers, number).await;
        worst = worst.max(started.elapsed());
        grown = grown.max(served.resident().saturating_sub(before));
        assert!(delivery["accepted"].as_u64().unwrap() >= READERS as u64, "{delivery}");
    }
    let gone = timeout(Duration::from_secs(30), async {
        while size(&mut desk).await != READERS {
            sleep(Duration::from_millis(20)).await;
        }
    });
    gone.await.expect("who never reads is gone");
    let delivery = publish(&mut desk, &mut readers, 0).await;
    assert_eq!(delivery, json!({ "accepted": READERS, "refused": 0 }));
    eprintln!("worst delay {worst:?}, {} KiB more resident", grown / 1024);
    assert!(grown <= 16 * MIB, "{grown} bytes");
    drop(deaf);
}
