//! A room with members that never read, on a server in a child process, over TCP.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::child_server::{ChildServer, Setup};
use crate::raw::{REQUEST, Raw};

const MIB: u64 = 1024 * 1024;
const READERS: usize = 990;
const STALLED: usize = 10;
const MESSAGES: usize = 100;
/// A size at which the server copies the message for each member.
const SIZE: usize = 4_000;

/// Becomes a member. With a small window the kernel buffers few unread bytes.
async fn enter(server: &ChildServer, window: Option<u32>) -> Raw<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(window) = window {
        socket.set_recv_buffer_size(window).unwrap();
    }
    let mut raw = Raw::over(socket.connect(server.address).await.unwrap());
    raw.write(REQUEST.replace("GET / ", "GET /room ").as_bytes()).await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 101 "));
    raw
}

/// Publishes a message, and returns the server's delivery counts after all readers received it.
async fn publish(
    publisher: &mut Raw<TcpStream>,
    readers: &mut [Raw<TcpStream>],
    number: usize,
) -> Value {
    let news = json!({ "type": "news", "text": format!("{number:0SIZE$}") });
    publisher.send_text(&news.to_string()).await;
    let expected = format!(r#"{{"type":"news","text":"{number:0SIZE$}"}}"#);
    for reader in readers {
        reader.expect_text(&expected).await;
    }
    publisher.read_json().await
}

async fn size(publisher: &mut Raw<TcpStream>) -> Value {
    publisher.send_text(r#"{"type":"size"}"#).await;
    publisher.read_json().await["size"].take()
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "the numbers are only reported")]
async fn ten_members_that_never_read_do_not_delay_the_others() {
    let write = Duration::from_secs(1);
    let server =
        ChildServer::start(&Setup { files: 2_000, write, send: 16 * 1024, ..Setup::default() });
    let mut publisher = server.open().await;
    let (mut stalled, mut readers) = (Vec::new(), Vec::new());
    for _ in 0..READERS {
        readers.push(enter(&server, None).await);
    }
    publish(&mut publisher, &mut readers, 0).await;
    for _ in 0..STALLED {
        stalled.push(enter(&server, Some(4 * 1024)).await);
    }
    assert_eq!(size(&mut publisher).await, READERS + STALLED);
    let (before, mut grown, mut worst) = (server.resident(), 0, Duration::ZERO);
    for number in 1..=MESSAGES {
        let started = Instant::now();
        let delivery = publish(&mut publisher, &mut readers, number).await;
        worst = worst.max(started.elapsed());
        grown = grown.max(server.resident().saturating_sub(before));
        assert!(delivery["accepted"].as_u64().unwrap() >= READERS as u64, "{delivery}");
    }
    let gone = timeout(Duration::from_secs(30), async {
        while size(&mut publisher).await != READERS {
            sleep(Duration::from_millis(20)).await;
        }
    });
    gone.await.expect("the members that never read are closed");
    let delivery = publish(&mut publisher, &mut readers, 0).await;
    assert_eq!(delivery, json!({ "accepted": READERS, "refused": 0 }));
    eprintln!("worst delay {worst:?}, {} KiB more resident", grown / 1024);
    assert!(grown <= 16 * MIB, "{grown} bytes");
    drop(stalled);
}
