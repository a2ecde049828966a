//! The memory, CPU time and files that hostile clients cost a server, measured on a child process.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::child_server::{ChildServer, Setup};
use crate::hostile;
use crate::raw::{REQUEST, Raw, masked};

const MIB: u64 = 1024 * 1024;

fn with_files(files: u32) -> ChildServer {
    ChildServer::start(&Setup { files, ..Setup::default() })
}

#[tokio::test]
async fn a_server_that_runs_out_of_files_keeps_serving_without_a_busy_loop() {
    let server = with_files(40);
    let mut kept = server.open().await;
    let mut raws = Vec::new();
    for _ in 0..60 {
        raws.push(Raw::dial_at(server.address).await);
    }
    timeout(Duration::from_secs(5), async {
        while server.files() < 40 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the server runs out of files");
    let before = server.cpu_ticks();
    sleep(Duration::from_secs(1)).await;
    let spent = server.cpu_ticks() - before;
    assert!(spent < 20, "{spent} % of a core");
    kept.send_text("still here").await;
    kept.expect_text("still here").await;
    drop(raws);
    server.expect_echo("and again").await;
}

#[tokio::test]
async fn an_endless_stream_of_fragments_costs_no_memory() {
    for (payload, bound) in [(&b"x"[..], 32), (&b""[..], 16)] {
        let server = ChildServer::with_defaults();
        let (before, idle) = (server.resident(), server.cpu_ticks());
        let mut raw = server.open().await;
        raw.send(0x01, payload).await;
        let fragments = masked(0x00, payload).repeat(200_000);
        raw.write_quietly(&fragments).await;
        raw.read_close(1009).await;
        let grown = server.resident().saturating_sub(before);
        assert!(grown < bound * MIB, "{grown} bytes");
        let spent = server.cpu_ticks() - idle;
        assert!(spent < 500, "{spent}0 ms of CPU");
        server.expect_echo("alive").await;
    }
}

#[tokio::test]
async fn the_server_does_not_allocate_an_announced_length_in_advance() {
    let server = ChildServer::with_defaults();
    server.expect_echo("warm").await;
    let before = server.resident();
    let mut raws = Vec::new();
    for _ in 0..50 {
        let mut raw = server.open().await;
        // The announced length is exactly the limit, 1 MiB. The payload never arrives.
        raw.write(&[0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4]).await;
        raws.push(raw);
    }
    server.expect_echo("alive").await;
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes");
    let mut raw = server.open().await;
    raw.write(&[0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]).await;
    raw.read_close(1009).await;
}

#[tokio::test]
async fn a_client_that_never_reads_costs_no_more_than_its_queue() {
    let server = ChildServer::with_defaults();
    server.expect_echo("warm").await;
    let before = server.resident();
    let mut flooded = server.open().await;
    flooded.send_text(r#"{"type":"flood"}"#).await;
    let mut pinging = server.open().await;
    let pings = masked(0x89, &[7; 125]).repeat(1000);
    for _ in 0..100 {
        // The server goes on reading and keeps only a few pongs for the client.
        pinging.write_quietly(&pings).await;
    }
    server.expect_echo("alive").await;
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 32 * MIB, "{grown} bytes");
}

#[tokio::test]
async fn connections_keep_no_large_buffers_after_large_messages() {
    const BOUND: u64 = 4 * 1024;
    const CONNECTIONS: u64 = 200;
    let server = ChildServer::start(&Setup { files: 400, ..Setup::default() });
    let text = "x".repeat(1 << 20);
    server.expect_echo(&text).await;
    let mut raws = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut raw = server.open().await;
        raw.send_text("idle").await;
        raw.expect_text("idle").await;
        raws.push(raw);
    }
    // The connections themselves are not counted, only the memory that large messages leave.
    let before = server.resident();
    for raw in &mut raws {
        raw.send_text(&text).await;
        raw.expect_text(&text).await;
    }
    let shrunk = timeout(Duration::from_secs(10), async {
        while server.resident().saturating_sub(before) > CONNECTIONS * BOUND {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let grown = || server.resident().saturating_sub(before);
    shrunk.await.unwrap_or_else(|_| panic!("{} bytes are kept", grown()));
    for raw in &mut raws {
        raw.send_text("still here").await;
        raw.expect_text("still here").await;
    }
}

#[tokio::test]
async fn many_connections_with_large_messages_keep_few_large_buffers() {
    const CONNECTIONS: u64 = 64;
    let server = ChildServer::start(&Setup { files: 400, ..Setup::default() });
    let text = "x".repeat(1 << 20);
    server.expect_echo(&text).await;
    let before = server.resident();
    let mut raws = Vec::new();
    for _ in 0..CONNECTIONS {
        raws.push(server.open().await);
    }
    let mut most = 0;
    for raw in &mut raws {
        for text in [&text[..100_000], &text] {
            raw.send_text(text).await;
            raw.expect_text(text).await;
        }
        most = server.resident().saturating_sub(before).max(most);
    }
    assert!(most < 32 * MIB, "{} MiB", most / MIB);
}

#[tokio::test]
async fn connections_that_end_in_any_of_four_ways_release_their_resources() {
    let ping = Duration::from_secs(1);
    let server = ChildServer::start(&Setup { files: 4000, ping, ..Setup::default() });
    let mut vanished = Vec::new();
    let mut fill = async || {
        let mut raws = Vec::new();
        for number in 0..250 {
            let mut raw = server.open().await;
            raw.send_text("hello").await;
            raw.expect_text("hello").await;
            raws.push((number, raw));
        }
        for (number, mut raw) in raws {
            match number % 16 {
                0..5 => raw.write_quietly(&masked(0x88, &[0x03, 0xe8])).await,
                5..10 => drop(raw),
                10..15 => raw.reset(),
                // The client neither ends the stream nor sends another byte, like a host with a
                // broken link.
                _ => vanished.push(raw),
            }
        }
    };
    let files = server.files();
    fill().await;
    let before = server.settled(files).await;
    for _ in 0..10 {
        fill().await;
    }
    let grown = server.settled(files).await.saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
    server.expect_echo("alive").await;
}

#[tokio::test]
async fn five_hundred_half_open_handshakes_do_not_delay_other_clients() {
    let server = ChildServer::start(&Setup { files: 1000, ..Setup::default() });
    let mut halves = Vec::new();
    for number in 0..500 {
        let mut raw = Raw::dial_at(server.address).await;
        raw.write(&REQUEST.as_bytes()[..number % REQUEST.len()]).await;
        halves.push((number, raw));
    }
    let started = Instant::now();
    server.expect_echo("meanwhile").await;
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_millis(500), "{elapsed:?}");
    // The server still completes the pending handshakes.
    for (number, mut raw) in halves.into_iter().step_by(50) {
        raw.write(&REQUEST.as_bytes()[number % REQUEST.len()..]).await;
        let head = raw.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw.send_text("late").await;
        raw.expect_text("late").await;
    }
}

#[tokio::test]
async fn json_bombs_cost_little_memory_and_cpu_time() {
    let server = ChildServer::with_defaults();
    let mut raw = server.open_typed().await;
    let order = r#"{"type":"order","name":"ann","amount":1}"#;
    raw.send_text(order).await;
    raw.expect_text(order).await;
    let (before, idle) = (server.resident(), server.cpu_ticks());
    for text in hostile::texts() {
        raw.write_while_reading(&masked(0x81, text.as_bytes())).await;
        hostile::expect_short_error(&mut raw, &text).await;
    }
    let (grown, spent) = (server.resident().saturating_sub(before), server.cpu_ticks() - idle);
    assert!(grown < 64 * MIB, "{grown} bytes");

    assert!(spent < 200, "{spent}0 ms of CPU");
    raw.send_text(order).await;
    raw.expect_text(order).await;
}

#[tokio::test]
async fn refused_requests_cost_little_cpu_time() {
    let server = ChildServer::with_defaults();
    server.expect_echo("warm").await;
    let idle = server.cpu_ticks();
    let with = |header: &str| REQUEST.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"));
    let requests = [
        (with(&["X: x"].repeat(2000).join("\r\n")), 431),
        (with(&format!("X: {}", "x".repeat(60_000))), 431),
        (REQUEST.replace("GET /", &format!("GET /{}", "x".repeat(60_000))), 431),
        ("x".repeat(60_000), 431),
        (format!("\x01{}", "x".repeat(60_000)), 400),
        (" ".repeat(60_000), 400),
        ("\r\n".repeat(30_000), 400),
        (with("Transfer-Encoding: chunked"), 400),
    ];
    for (request, status) in requests.iter().cycle().take(10 * requests.len()) {
        let mut raw = Raw::dial_at(server.address).await;
        raw.write_quietly(request.as_bytes()).await;
        assert_eq!(raw.read_answer().await.0, *status, "{request:.60}");
    }
    // The client sends an endless head byte by byte.
    let mut raw = Raw::dial_at(server.address).await;
    for _ in 0..20_000 {
        raw.write_quietly(b"x").await;
    }
    assert_eq!(raw.read_answer().await.0, 431);
    let spent = server.cpu_ticks() - idle;
    assert!(spent < 100, "{spent}0 ms of CPU");
    server.expect_echo("alive").await;
}

#[tokio::test]
async fn two_hundred_panics_leak_no_memory_or_files() {
    let server = ChildServer::with_defaults();
    let panic = async || {
        let mut raw = server.open().await;
        raw.send_text(r#"{"type":"panic"}"#).await;
        let error = raw.read_json().await;
        assert_eq!((&error["type"], &error["code"]), (&"error".into(), &"internal".into()));
    };
    let files = server.files();
    panic().await;
    let before = server.settled(files).await;
    for _ in 0..200 {
        panic().await;
    }
    let grown = server.settled(files).await.saturating_sub(before);
    assert!(grown < MIB, "{grown} bytes");
    server.expect_echo("alive").await;
}
