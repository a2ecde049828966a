//! A server in a child process that is terminated or killed, and started again.

use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::child_server::{ChildServer, Setup};
use crate::raw::Raw;

#[tokio::test]
async fn on_sigterm_the_server_answers_received_messages_closes_with_1001_and_exits_successfully() {
    let mut server = ChildServer::with_defaults();
    let mut raws = Vec::new();
    for number in 0..60 {
        let mut raw = server.open().await;
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
    server.signal("-TERM");
    for (is_busy, raw) in &mut raws {
        if *is_busy {
            raw.expect_text("done").await;
        }
        assert_eq!(raw.read_close(1001).await, "Server shutdown");
        raw.send_close(1001, "").await;
        raw.expect_end().await;
    }
    let status = server.ended().await;
    assert!(status.success(), "{status}");
    assert_eq!(server.returned(), "ok");
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn on_sigterm_the_server_exits_within_its_drain_timeout_whatever_clients_do() {
    let drain = Duration::from_secs(1);
    let mut server = ChildServer::start(&Setup { drain, ..Setup::default() });
    let mut silent = server.open().await;
    let mut hung = server.open().await;
    hung.send_text(r#"{"type":"hang"}"#).await;
    hung.expect_text("hanging").await;
    let mut stalled = server.open().await;
    stalled.send_text(r#"{"type":"flood"}"#).await;
    stalled.await_frame().await;
    let mut late = Raw::dial_at(server.address).await;
    late.write(b"GET / HTTP/1.1\r\n").await;
    // Connections are accepted in order, so the others have been accepted before this one.
    server.expect_echo("accepted").await;
    let started = Instant::now();
    server.signal("-TERM");
    assert_eq!(silent.read_close(1001).await, "Server shutdown");
    // The server accepts no connection while it waits for the existing ones.
    assert!(TcpStream::connect(server.address).await.is_err());
    assert_eq!(late.read_answer().await.0, 503);
    let status = server.ended().await;
    let elapsed = started.elapsed();
    assert!(status.success(), "{status}");
    assert!(elapsed < drain + Duration::from_secs(1), "{elapsed:?}");
    assert_eq!(server.returned(), "shutdown was forced, connections were cut");
    drop((hung, stalled));
}

#[tokio::test]
async fn a_restarted_server_can_bind_its_port_at_once_even_after_a_kill() {
    // Other tests bind their ports on another address.
    let mut address = "127.0.0.2:0".to_owned();
    let mut clients = Vec::new();
    for signal in ["-KILL", "-TERM", "-KILL", "-KILL"] {
        let mut server = ChildServer::start(&Setup { address, ..Setup::default() });
        address = server.address.to_string();
        for _ in 0..20 {
            let mut raw = server.open().await;
            raw.send_text("back").await;
            raw.expect_text("back").await;
            clients.push(raw);
        }
        server.signal(signal);
        if signal == "-TERM" {
            for raw in clients.iter_mut().rev().take(20) {
                raw.read_close(1001).await;
                raw.send_close(1001, "").await;
            }
        }
        assert_eq!(server.ended().await.success(), signal == "-TERM");
        // The client sockets stay open, so that the kernel keeps the state of their connections.
    }
    let server = ChildServer::start(&Setup { address, ..Setup::default() });
    server.expect_echo("and again").await;
    drop(clients);
}
