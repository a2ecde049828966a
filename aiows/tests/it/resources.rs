//! What a server costs in the hands of hostile peers: measured from outside, in a child process.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use crate::hostile;
use crate::raw::{REQUEST, Raw, masked};
use crate::served::{Served, Setup};

const MIB: u64 = 1024 * 1024;

fn with_files(files: u32) -> Served {
    Served::start(&Setup { files, ..Setup::default() })
}

#[tokio::test]
async fn running_out_of_files_neither_stops_nor_burns_the_server() {
    let served = with_files(40);
    let mut kept = served.open().await;
    let mut raws = Vec::new();
    for _ in 0..60 {
        raws.push(Raw::dial_at(served.address).await);
    }
    timeout(Duration::from_secs(5), async {
        while served.files() < 40 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the server runs out of files");
    let before = served.cpu_ticks();
    sleep(Duration::from_secs(1)).await;
    let spent = served.cpu_ticks() - before;
    assert!(spent < 20, "{spent} % of a core");
    kept.send_text("still here").await;
    kept.expect_text("still here").await;
    drop(raws);
    served.expect_echo("and again").await;
}

#[tokio::test]
async fn fragments_without_end_cost_no_memory() {
    for (payload, bound) in [(&b"x"[..], 32), (&b""[..], 16)] {
        let served = Served::usual();
        let (before, idle) = (served.resident(), served.cpu_ticks());
        let mut raw = served.open().await;
        raw.send(0x01, payload).await;
        let fragments = masked(0x00, payload).repeat(200_000);
        raw.write_quietly(&fragments).await;
        raw.read_close(1009).await;
        let grown = served.resident().saturating_sub(before);
        assert!(grown < bound * MIB, "{grown} bytes");
        let spent = served.cpu_ticks() - idle;
        assert!(spent < 500, "{spent}0 ms of CPU");
        served.expect_echo("alive").await;
    }
}

#[tokio::test]
async fn an_announced_length_is_not_allocated() {
    let served = Served::usual();
    served.expect_echo("warm").await;
    let before = served.resident();
    let mut raws = Vec::new();
    for _ in 0..50 {
        let mut raw = served.open().await;
        // 1 MiB exactly is allowed; nothing of it comes.
        raw.write(&[0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4]).await;
        raws.push(raw);
    }
    served.expect_echo("alive").await;
    let grown = served.resident().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes");
    let mut raw = served.open().await;
    raw.write(&[0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]).await;
    raw.read_close(1009).await;
}

#[tokio::test]
async fn a_peer_that_never_reads_costs_its_queue_and_no_more() {
    let served = Served::usual();
    served.expect_echo("warm").await;
    let before = served.resident();
    let mut flooded = served.open().await;
    flooded.send_text(r#"{"type":"flood"}"#).await;
    let mut pinging = served.open().await;
    let pings = masked(0x89, &[7; 125]).repeat(1000);
    for _ in 0..100 {
        // The server goes on reading: of pongs that are not read it keeps a few.
        pinging.write_quietly(&pings).await;
    }
    served.expect_echo("alive").await;
    let grown = served.resident().saturating_sub(before);
    assert!(grown < 32 * MIB, "{grown} bytes");
}

#[tokio::test]
async fn large_messages_leave_no_large_buffers() {
    const BOUND: u64 = 8 * 1024;
    const CONNECTIONS: u64 = 200;
    let served = Served::start(&Setup { files: 400, ..Setup::default() });
    let text = "x".repeat(1 << 20);
    served.expect_echo(&text).await;
    let before = served.resident();
    let mut raws = Vec::new();
    for _ in 0..CONNECTIONS {
        raws.push(served.open().await);
    }
    for raw in &mut raws {
        raw.send_text(&text).await;
        raw.expect_text(&text).await;
    }
    let shrunk = timeout(Duration::from_secs(10), async {
        while served.resident().saturating_sub(before) > CONNECTIONS * BOUND {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let grown = || served.resident().saturating_sub(before);
    shrunk.await.unwrap_or_else(|_| panic!("{} bytes are kept", grown()));
    for raw in &mut raws {
        raw.send_text("still here").await;
        raw.expect_text("still here").await;
    }
}

#[tokio::test]
async fn many_streams_of_large_messages_keep_few_large_buffers() {
    const CONNECTIONS: u64 = 64;
    let served = Served::start(&Setup { files: 400, ..Setup::default() });
    let text = "x".repeat(1 << 20);
    served.expect_echo(&text).await;
    let before = served.resident();
    let mut raws = Vec::new();
    for _ in 0..CONNECTIONS {
        raws.push(served.open().await);
    }
    let mut most = 0;
    for raw in &mut raws {
        for text in [&text[..100_000], &text] {
            raw.send_text(text).await;
            raw.expect_text(text).await;
        }
        most = served.resident().saturating_sub(before).max(most);
    }
    assert!(most < 32 * MIB, "{} MiB", most / MIB);
}

#[tokio::test]
async fn connections_that_left_in_four_ways_leave_nothing_behind() {
    let ping = Duration::from_secs(1);
    let served = Served::start(&Setup { files: 4000, ping, ..Setup::default() });
    let mut vanished = Vec::new();
    let mut fill = async || {
        let mut raws = Vec::new();
        for number in 0..250 {
            let mut raw = served.open().await;
            raw.send_text("hello").await;
            raw.expect_text("hello").await;
            raws.push((number, raw));
        }
        for (number, mut raw) in raws {
            match number % 16 {
                0..5 => raw.write_quietly(&masked(0x88, &[0x03, 0xe8])).await,
                5..10 => drop(raw),
                10..15 => raw.reset(),
                // Neither an end nor another byte, as of a host whose link is down.
                _ => vanished.push(raw),
            }
        }
    };
    let files = served.files();
    fill().await;
    let before = served.settled(files).await;
    for _ in 0..10 {
        fill().await;
    }
    let grown = served.settled(files).await.saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
    served.expect_echo("alive").await;
}

#[tokio::test]
async fn five_hundred_half_open_handshakes_delay_nobody() {
    let served = Served::start(&Setup { files: 1000, ..Setup::default() });
    let mut halves = Vec::new();
    for number in 0..500 {
        let mut raw = Raw::dial_at(served.address).await;
        raw.write(&REQUEST.as_bytes()[..number % REQUEST.len()]).await;
        halves.push((number, raw));
    }
    let started = Instant::now();
    served.expect_echo("beside").await;
    let elapsed = started.elapsed();
    assert!(elapsed < Duration::from_millis(500), "{elapsed:?}");
    // They are not given up for it.
    for (number, mut raw) in halves.into_iter().step_by(50) {
        raw.write(&REQUEST.as_bytes()[number % REQUEST.len()..]).await;
        let head = raw.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw.send_text("late").await;
        raw.expect_text("late").await;
    }
}

#[tokio::test]
async fn json_bombs_cost_little() {
    let served = Served::usual();
    let mut raw = served.open_typed().await;
    let order = r#"{"type":"order","name":"ann","amount":1}"#;
    raw.send_text(order).await;
    raw.expect_text(order).await;
    let (before, idle) = (served.resident(), served.cpu_ticks());
    for text in hostile::texts() {
        raw.write_while_reading(&masked(0x81, text.as_bytes())).await;
        hostile::expect_short_error(&mut raw, &text).await;
    }
    let (grown, spent) = (served.resident().saturating_sub(before), served.cpu_ticks() - idle);
    assert!(grown < 64 * MIB, "{grown} bytes");

    assert!(spent < 200, "{spent}0 ms of CPU");
    raw.send_text(order).await;
    raw.expect_text(order).await;
}

#[tokio::test]
async fn requests_that_are_refused_cost_little() {
    let served = Served::usual();
    served.expect_echo("warm").await;
    let idle = served.cpu_ticks();
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
        let mut raw = Raw::dial_at(served.address).await;
        raw.write_quietly(request.as_bytes()).await;
        assert_eq!(raw.read_answer().await.0, *status, "{request:.60}");
    }
    // A head that never becomes whole, in as many pieces as it has bytes.
    let mut raw = Raw::dial_at(served.address).await;
    for _ in 0..20_000 {
        raw.write_quietly(b"x").await;
    }
    assert_eq!(raw.read_answer().await.0, 431);
    let spent = served.cpu_ticks() - idle;
    assert!(spent < 100, "{spent}0 ms of CPU");
    served.expect_echo("alive").await;
}

#[tokio::test]
async fn two_hundred_panics_leave_nothing() {
    let served = Served::usual();
    let panic = async || {
        let mut raw = served.open().await;
        raw.send_text(r#"{"type":"panic"}"#).await;
        let error = raw.read_json().await;
        assert_eq!((&error["type"], &error["code"]), (&"error".into(), &"internal".into()));
    };
    let files = served.files();
    panic().await;
    let before = served.settled(files).await;
    for _ in 0..200 {
        panic().await;
    }
    let grown = served.settled(files).await.saturating_sub(before);
    assert!(grown < MIB, "{grown} bytes");
    served.expect_echo("alive").await;
}
