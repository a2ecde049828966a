//! A server in a process of its own that is told to end, or killed, and comes back.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::raw::Raw;
use crate::served::{Served, Setup};

#[tokio::test]
async fn sigterm_answers_what_was_read_tells_everybody_1001_and_ends_well() {
    let mut served = Served::usual();
    let mut raws = Vec::new();
    for number in 0..60 {
        let mut raw = served.open().await;
        let is_busy = number % 3 == 0;
        if is_busy {
            raw.send_text(r#"{"type":"slow"}"#).await;
            raw.expect_text("started").await;
        } else {
            raw.send_text("idle").await;
            raw.expect_text("idle").await;
        }
        raws.push((is_busy, raw));
    }
    served.signal("-TERM");
    for (is_busy, raw) in &mut raws {
        if *is_busy {
            raw.expect_text("done").await;
        }
        assert_eq!(raw.read_close(1001).await, "Server shutdown");
        raw.send_close(1001, "").await;
        raw.expect_end().await;
    }
    let status = served.ended().await;
    assert!(status.success(), "{status}");
    assert_eq!(served.returned(), "ok");
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn sigterm_takes_no_longer_than_its_deadline_whatever_peers_do() {
    let drain = Duration::from_secs(1);
    let mut served = Served::start(&Setup { drain, ..Setup::default() });
    let mut silent = served.open().await;
    let mut hung = served.open().await;
    hung.send_text(r#"{"type":"hang"}"#).await;
    hung.expect_text("hanging").await;
    let mut deaf = served.open().await;
    deaf.send_text(r#"{"type":"flood"}"#).await;
    deaf.await_frame().await;
    let mut late = Raw::dial_at(served.address).await;
    late.write(b"GET / HTTP/1.1\r\n").await;
    // Connections are accepted in order: with this one the others are accepted as well.
    served.expect_echo("accepted").await;
    let started = Instant::now();
    served.signal("-TERM");
    assert_eq!(silent.read_close(1001).await, "Server shutdown");
    // Nobody is let in while it waits for those it has.
    assert!(TcpStream::connect(served.address).await.is_err());
    assert_eq!(late.read_answer().await.0, 503);
    let status = served.ended().await;
    let elapsed = started.elapsed();
    assert!(status.success(), "{status}");
    assert!(elapsed < drain + Duration::from_secs(1), "{elapsed:?}");
    assert_eq!(served.returned(), "shutdown was forced, connections were cut");
    drop((hung, deaf));
}

#[tokio::test]
async fn a_port_is_served_again_at_once_also_after_a_kill() {
    // Not where other tests find their free ports.
    let mut address = "127.0.0.2:0".to_owned();
    let mut gone = Vec::new();
    for signal in ["-KILL", "-TERM", "-KILL", "-KILL"] {
        let mut served = Served::start(&Setup { address, ..Setup::default() });
        address = served.address.to_string();
        for _ in 0..20 {
            let mut raw = served.open().await;
            raw.send_text("back").await;
            raw.expect_text("back").await;
            gone.push(raw);
        }
        served.signal(signal);
        if signal == "-TERM" {
            for raw in gone.iter_mut().rev().take(20) {
                raw.read_close(1001).await;
                raw.send_close(1001, "").await;
            }
        }
        assert_eq!(served.ended().await.success(), signal == "-TERM");
        // They stay, so that the kernel keeps what it knows of their connections.
    }
    let served = Served::start(&Setup { address, ..Setup::default() });
    served.expect_echo("and again").await;
    drop(gone);
}
