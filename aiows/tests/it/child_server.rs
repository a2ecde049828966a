//! A server in a child process, which tests can measure, signal and kill.

use std::fs;
use std::io::{BufRead, BufReader, Lines, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use aiows::extract::Call;
use aiows::routing::Route;
use aiows::{Hub, Message, Router, Server, Text, WebSocket, connect, fallback, message, routes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::raw::{REQUEST, Raw, limits};

const ADDRESS: &str = "AIOWS_TEST_ADDRESS";
const DRAIN: &str = "AIOWS_TEST_DRAIN";
const PING: &str = "AIOWS_TEST_PING";
const SEND: &str = "AIOWS_TEST_SEND";
const WRITE: &str = "AIOWS_TEST_WRITE";

/// How long the process may take for any expected step.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of the child process.
pub struct Setup {
    /// The number of files it may open.
    pub files: u32,
    pub address: String,
    /// How long a stop may take.
    pub drain: Duration,
    /// The ping interval and the ping timeout.
    pub ping: Duration,
    /// The write timeout.
    pub write: Duration,
    /// The send buffer size of each connection in bytes; 0 is the kernel's default.
    pub send: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            files: 200,
            address: "127.0.0.1:0".to_owned(),
            drain: Duration::from_secs(30),
            ping: Duration::from_secs(20),
            write: Duration::from_secs(10),
            send: 0,
        }
    }
}

pub struct ChildServer {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub address: SocketAddr,
}

impl ChildServer {
    pub fn start(setup: &Setup) -> Self {
        let files = setup.files;
        let script =
            format!("ulimit -n {files}; exec \"$0\" child_server::serve --exact --nocapture");
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .arg(std::env::current_exe().unwrap())
            .env(ADDRESS, &setup.address)
            .env(DRAIN, setup.drain.as_millis().to_string())
            .env(PING, setup.ping.as_millis().to_string())
            .env(WRITE, setup.write.as_millis().to_string())
            .env(SEND, setup.send.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = after(&mut lines, "serving ").parse().unwrap();
        Self { child, lines, address }
    }

    /// Starts a server with the default settings.
    pub fn with_defaults() -> Self {
        Self::start(&Setup::default())
    }

    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    pub fn resident(&self) -> u64 {
        self.status("VmRSS") * 1024
    }

    pub fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// CPU time used so far, in hundredths of a second.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Waits until no more files are open than before; returns the resident memory.
    pub async fn settled(&self, files: usize) -> u64 {
        let freed = timeout(Duration::from_secs(15), async {
            while self.files() > files {
                sleep(Duration::from_millis(5)).await;
            }
        });
        freed.await.unwrap_or_else(|_| panic!("{} of {files} files", self.files()));
        self.resident()
    }

    pub async fn open(&self) -> Raw<TcpStream> {
        let mut raw = Raw::dial_at(self.address).await;
        raw.handshake().await;
        raw
    }

    /// Joins the route that has typed messages.
    pub async fn open_typed(&self) -> Raw<TcpStream> {
        let mut raw = Raw::dial_at(self.address).await;
        raw.write(REQUEST.replace("GET / ", "GET /typed ").as_bytes()).await;
        let head = raw.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        raw
    }

    pub async fn expect_echo(&self, text: &str) {
        let mut raw = self.open().await;
        raw.send_text(text).await;
        raw.expect_text(text).await;
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// Waits until the process exits, without blocking the clients in this process.
    pub async fn ended(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < TIMEOUT, "the process has not exited");
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Returns the result of `run` after the process has exited.
    pub fn returned(&mut self) -> String {
        after(&mut self.lines, "returned ")
    }
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        // Closing its standard input ends the child. The signal is for a child that hangs.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the rest of the next line that contains this text.
fn after(lines: &mut Lines<BufReader<ChildStdout>>, text: &str) -> String {
    let mut lines = lines.map(Result::unwrap);
    lines.find_map(|line| Some(line.split_once(text)?.1.to_owned())).expect(text)
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

async fn hang(call: Call) -> aiows::Result {
    call.websocket().send_text("hanging").await?;
    std::future::pending().await
}

async fn slow(call: Call) -> aiows::Result {
    call.websocket().send_text("started").await?;
    sleep(Duration::from_millis(300)).await;
    Ok(call.websocket().send_text("done").await?)
}

async fn panics(_: Call) {
    // This prints no panic message.
    std::panic::resume_unwind(Box::new("no luck"));
}

#[derive(Message, Deserialize, Serialize)]
struct Order {
    name: String,
    amount: u8,
}

#[message("order")]
async fn order(order: Order) -> Order {
    order
}

#[connect]
async fn enter(ws: WebSocket) -> aiows::Result {
    ws.join("room").await?;
    Ok(())
}

#[derive(Message, Deserialize, Serialize)]
struct News {
    text: String,
}

#[message("news")]
async fn publish(hub: Hub, news: News) -> aiows::Result<Value> {
    Ok(json!(hub.room("room").send(&news).await?))
}

#[message("size")]
async fn size(hub: Hub) -> Value {
    json!({ "size": hub.room_size("room") })
}

fn number(name: &str) -> u64 {
    std::env::var(name).unwrap().parse().unwrap()
}

fn server() -> Server {
    let ping = Duration::from_millis(number(PING));
    let plain = Router::new()
        .routes(routes![echo, publish, size])
        .route(Route::message("flood", flood))
        .route(Route::message("hang", hang))
        .route(Route::message("slow", slow))
        .route(Route::message("panic", panics))
        .namespace("news");
    Server::new()
        .include_router(plain)
        .route("/typed", Router::new().routes(routes![order]))
        .route("/room", Router::new().routes(routes![enter]).namespace("news"))
        .shutdown_timeout(Duration::from_millis(number(DRAIN)))
        .limits(limits(|limits| {
            limits.ping_interval = ping;
            limits.ping_timeout = ping;
            limits.write_timeout = Duration::from_millis(number(WRITE));
        }))
}

/// Creates a listener that gives every connection a send buffer of this size.
fn listener(address: &str, send: u32) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(send).unwrap();
    socket.bind(address.parse().unwrap()).unwrap();
    socket.listen(1024).unwrap()
}

async fn run(server: Server, address: String) -> Result<(), aiows::Error> {
    match u32::try_from(number(SEND)).unwrap() {
        0 => server.run(address).await,
        send => server.serve(listener(&address, send)).await,
    }
}

/// The child process: it serves until it receives a signal or its standard input is closed.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "the parent process reads it")]
async fn serve() {
    let Ok(address) = std::env::var(ADDRESS) else {
        // Run as a test, it checks that the server in the child process answers.
        return ChildServer::with_defaults().expect_echo("hello").await;
    };
    let (sender, closed) = oneshot::channel();
    // A thread, because the end of the runtime would wait for a blocking task.
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        let _ = sender.send(());
    });
    let server = server();
    let handle = server.handle();
    let ready = async {
        println!("serving {}", handle.ready().await[0]);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        returned = run(server, address) => match returned {
            Ok(()) => println!("returned ok"),
            Err(error) => println!("returned {error}"),
        },
        _ = closed => {}
        () = ready => {}
    }
}
