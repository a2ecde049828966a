//! What a server costs in the hands of hostile peers: measured from outside, in a child process.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aiows::{Call, Message, Route, Router, Server, Text, WebSocket, fallback, routes};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use crate::raw::Raw;

const SERVE: &str = "AIOWS_TEST_RESOURCES";
const MIB: u64 = 1024 * 1024;

/// A server in a process of its own.
struct Served {
    child: Child,
    address: SocketAddr,
}

impl Served {
    /// Starts a server that may open this many files.
    fn start(files: u32) -> Self {
        let binary = std::env::current_exe().unwrap();
        let script = format!("ulimit -n {files}; exec \"$0\" resources::serve --exact --nocapture");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .arg(binary)
            .env(SERVE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let address = lines.find_map(|line| line.split_once("serving ")?.1.parse().ok()).unwrap();
        Self { child, address }
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    fn resident(&self) -> u64 {
        self.status("VmRSS") * 1024
    }

    fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// CPU time used so far, in hundredths of a second.
    fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    async fn open(&self) -> Raw<tokio::net::TcpStream> {
        let mut raw = Raw::dial_at(self.address).await;
        raw.handshake().await;
        raw
    }

    async fn expect_echo(&self, text: &str) {
        let mut raw = self.open().await;
        raw.send_text(text).await;
        raw.expect_text(text).await;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Its standard input is closed with it, which ends it; this is for a child that hangs.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[derive(Message, Serialize)]
struct Flood {
    text: String,
}

#[fallback]
async fn echo(ws: WebSocket, Text(text): Text) -> aiows::Result {
    Ok(ws.send_text(&text).await?)
}

async fn flood(call: Call) -> aiows::Result {
    loop {
        call.websocket().send(&Flood { text: "x".repeat(1000) }).await?;
    }
}

/// The child process: serves until its standard input is closed.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "the parent process reads it")]
async fn serve() {
    if std::env::var_os(SERVE).is_none() {
        // As a test of its own it proves that the server it starts answers.
        Served::start(200).expect_echo("hello").await;
        return;
    }
    let router = Router::new().routes(routes![echo]).route(Route::message("flood", flood));
    let server = Server::from(router);
    let handle = server.handle();
    tokio::spawn(server.run("127.0.0.1:0"));
    println!("serving {}", handle.ready().await[0]);
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn running_out_of_files_neither_stops_nor_burns_the_server() {
    let served = Served::start(40);
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
    assert!(spent < 50, "{spent} % of a core");
    kept.send_text("still here").await;
    kept.expect_text("still here").await;
    drop(raws);
    served.expect_echo("and again").await;
}

#[tokio::test]
async fn fragments_without_end_cost_no_memory() {
    for (payload, bound) in [(&b"x"[..], 32), (&b""[..], 16)] {
        let served = Served::start(200);
        let before = served.resident();
        let mut raw = served.open().await;
        raw.send(0x01, payload).await;
        let fragments = crate::raw::masked(0x00, payload).repeat(200_000);
        raw.write_quietly(&fragments).await;
        raw.read_close(1009).await;
        let grown = served.resident().saturating_sub(before);
        assert!(grown < bound * MIB, "{grown} bytes");
        served.expect_echo("alive").await;
    }
}

#[tokio::test]
async fn an_announced_length_is_not_allocated() {
    let served = Served::start(200);
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
    let served = Served::start(200);
    served.expect_echo("warm").await;
    let before = served.resident();
    let mut flooded = served.open().await;
    flooded.send_text(r#"{"type":"flood"}"#).await;
    let mut pinging = served.open().await;
    let pings = crate::raw::masked(0x89, &[7; 125]).repeat(1000);
    for _ in 0..100 {
        // The server goes on reading: pongs that are not read replace each other.
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
    let served = Served::start(400);
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
async fn connections_that_left_leave_nothing_behind() {
    let served = Served::start(2000);
    let fill = async || {
        let mut raws = Vec::new();
        for number in 0..500 {
            let mut raw = served.open().await;
            raw.send_text("hello").await;
            raw.expect_text("hello").await;
            raws.push((number, raw));
        }
        for (number, mut raw) in raws {
            match number % 3 {
                0 => raw.send(0x88, &[0x03, 0xe8]).await,
                1 => drop(raw),
                _ => raw.reset(),
            }
        }
    };
    let files = served.files();
    fill().await;
    let settled = async || {
        let freed = timeout(Duration::from_secs(15), async {
            while served.files() > files {
                sleep(Duration::from_millis(5)).await;
            }
        });
        freed.await.unwrap_or_else(|_| panic!("{} of {files} files", served.files()));
        served.resident()
    };
    let before = settled().await;
    for _ in 0..4 {
        fill().await;
    }
    let grown = settled().await.saturating_sub(before);
    assert!(grown < 8 * MIB, "{grown} bytes");
}
