//! Fifty clients join, leave, change their names, stall and disconnect at random. Once no change is
//! pending, each of them holds the correct member list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aiows::hub::Joined;
use aiows::messages::Overflow;
use aiows::{App, Message, Result, Router, Server, WebSocket, message, routes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::members::{Known, server_list};
use crate::random::Random;
use crate::raw::{Raw, Wire, limits};

const CLIENTS: usize = 50;
const SEEDS: u64 = 20;
const STEPS: usize = 150;
const GRACE: Duration = Duration::from_millis(200);
/// The number of users that the clients share when they enter as users.
const USERS: usize = 12;

#[derive(Message, Deserialize)]
struct Enter {
    name: String,
}

#[message("enter")]
async fn enter(ws: WebSocket, Enter { name }: Enter) -> Result {
    ws.join_as("lobby", &json!({ "name": name })).await?;
    Ok(())
}

#[derive(Message, Deserialize)]
struct EnterAsUser {
    user: String,
    name: String,
}

#[message("enter_as_user")]
async fn enter_as_user(ws: WebSocket, EnterAsUser { user, name }: EnterAsUser) -> Result<Joined> {
    ws.set_user(user)?;
    ws.join_as_user("lobby", &json!({ "name": name })).await
}

#[message("leave")]
async fn leave(ws: WebSocket) {
    ws.leave("lobby");
}

/// Fills the queues of stalled clients.
#[derive(Message, Serialize)]
struct Noise {
    text: String,
}

enum Command {
    Send(Value),
    Stall,
    Read,
}

/// A client with a task of its own, which reads unless the client is stalled.
struct Client {
    commands: mpsc::Sender<Command>,
    known: Arc<Mutex<Known>>,
    is_closed: Arc<AtomicBool>,
    /// The user it enters as; `None` while it is not in the room.
    listed: Option<usize>,
}

/// Whether a room lists connections or users.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Listed {
    Connections,
    Users,
}

impl Client {
    async fn connect(app: &App) -> Self {
        let (ours, theirs) = tokio::io::duplex(4 * 1024);
        app.serve_stream(theirs, None);
        let mut raw = Raw::over(Box::new(ours) as Box<dyn Wire>);
        raw.handshake().await;
        let (commands, next) = mpsc::channel(64);
        let (known, is_closed) = (Arc::<Mutex<Known>>::default(), Arc::<AtomicBool>::default());
        tokio::spawn(act(raw, next, Arc::clone(&known), Arc::clone(&is_closed)));
        Self { commands, known, is_closed, listed: None }
    }

    async fn command(&self, command: Command) {
        // The task of a client that the server has closed has ended.
        drop(self.commands.send(command).await);
    }

    async fn enter(&mut self, name: usize, random: &mut Random, listed: Listed) {
        let user = random.below(USERS);
        let message = match listed {
            Listed::Connections => json!({ "type": "enter", "name": name.to_string() }),
            Listed::Users => {
                let user = user.to_string();
                json!({ "type": "enter_as_user", "user": user, "name": name.to_string() })
            }
        };
        self.command(Command::Send(message)).await;
        self.listed = Some(user);
    }

    async fn leave(&mut self) {
        self.command(Command::Send(json!({ "type": "leave" }))).await;
        self.listed = None;
    }

    fn agrees_with(&self, server_list: &BTreeMap<String, Value>) -> bool {
        self.listed.is_none()
            || self.is_closed.load(Ordering::Relaxed)
            || self.known.lock().unwrap().members == *server_list
    }
}

async fn act(
    mut raw: Raw,
    mut commands: mpsc::Receiver<Command>,
    known: Arc<Mutex<Known>>,
    is_closed: Arc<AtomicBool>,
) {
    let mut reads = true;
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                // The client is dropped: the stream ends without a close frame.
                None => return,
                Some(Command::Send(message)) => raw.send_quietly(&message.to_string()).await,
                Some(Command::Stall) => reads = false,
                Some(Command::Read) => reads = true,
            },
            frame = raw.read_frame(), if reads => match frame {
                Some(frame) if frame.first == 0x81 => {
                    let message = serde_json::from_slice(&frame.payload).unwrap();
                    known.lock().unwrap().apply(&message);
                }
                // A ping needs no answer within so short a time.
                Some(frame) if frame.first == 0x89 => {}
                _ => break,
            },
        }
    }
    is_closed.store(true, Ordering::Relaxed);
}

async fn step(clients: &mut [Client], app: &App, random: &mut Random, listed: Listed) {
    let at = random.below(clients.len());
    let client = &mut clients[at];
    match random.below(24) {
        0..6 => {
            let name = random.below(3);
            client.enter(name, random, listed).await;
        }
        6..9 => client.leave().await,
        9..12 => client.command(Command::Stall).await,
        12..15 => client.command(Command::Read).await,
        15 => clients[at] = Client::connect(app).await,
        16..21 => {
            let text = "x".repeat(500);
            app.handle().hub().all().send(&Noise { text }).await.unwrap();
        }
        _ => sleep(Duration::from_millis(random.below(60) as u64)).await,
    }
}

/// Lets all clients read, and waits until each of them holds the correct member list.
async fn expect_agreement(clients: &[Client], app: &App, listed: Listed, run: &str) {
    for client in clients {
        client.command(Command::Read).await;
    }
    // After the grace period no absent user is listed any more.
    sleep(GRACE + Duration::from_millis(100)).await;
    let mut wrong = usize::MAX;
    for _ in 0..30 {
        sleep(Duration::from_millis(100)).await;
        let server_list = server_list(&app.handle().hub());
        wrong = clients.iter().filter(|client| !client.agrees_with(&server_list)).count();
        if wrong == 0 {
            break;
        }
    }
    assert_eq!(wrong, 0, "clients with a wrong list: {run}");
    let open = |client: &&Client| !client.is_closed.load(Ordering::Relaxed);
    let expected = clients.iter().filter(open).filter_map(|client| client.listed);
    let expected = match listed {
        Listed::Connections => expected.count(),
        Listed::Users => expected.collect::<BTreeSet<_>>().len(),
    };
    assert_eq!(server_list(&app.handle().hub()).len(), expected, "{run}");
    assert!(expected > 0, "{run}");
}

async fn run(overflow: Overflow, seed: u64, listed: Listed) -> (usize, u64) {
    let narrow = limits(|limits| {
        limits.overflow = overflow;
        limits.presence_grace = GRACE;
        limits.outbound_messages = 8;
        // With every other seed a list comes in parts that do not fit into the queue at once.
        limits.outbound_size = if seed.is_multiple_of(2) { 6 * 1024 } else { 2 * 1024 };
        limits.write_timeout = Duration::from_secs(600);
    });
    let router = Router::new().routes(routes![enter, enter_as_user, leave]);
    let app = Server::from(router).limits(narrow).build().unwrap();
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (seed + 1));
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::connect(&app).await);
    }
    for phase in 0..3 {
        for _ in 0..STEPS {
            step(&mut clients, &app, &mut random, listed).await;
        }
        let run = format!("{listed:?}, {overflow:?}, seed {seed}, {phase}");
        expect_agreement(&clients, &app, listed, &run).await;
    }
    let lists = clients.iter().map(|client| client.known.lock().unwrap().lists).sum();
    (lists, app.handle().stats().outbound.dropped)
}

fn check(overflow: Overflow) {
    check_listed(overflow, Listed::Connections);
}

fn check_listed(overflow: Overflow, listed: Listed) {
    let (mut lists, mut dropped) = (0, 0);
    let first = std::env::var("AIOWS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let first: u64 = first.unwrap_or_default();
    for seed in first..first + SEEDS {
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        let (more, lost) = runtime.block_on(run(overflow, seed, listed));
        (lists, dropped) = (lists + more, dropped + lost);
    }
    // The runs reached both cases: lists sent anew and messages dropped.
    assert!(lists > 0 && dropped > 100, "{lists} lists, {dropped} messages dropped");
}

#[test]
fn every_client_ends_with_the_correct_list_if_slow_clients_are_closed() {
    check(Overflow::Disconnect);
}

#[test]
fn every_client_ends_with_the_correct_list_if_the_newest_messages_are_dropped() {
    check(Overflow::DropNewest);
}

#[test]
fn every_client_ends_with_the_correct_list_if_the_oldest_messages_are_dropped() {
    check(Overflow::DropOldest);
}

#[test]
fn every_client_ends_with_the_correct_list_if_messages_are_refused() {
    check(Overflow::Reject);
}

#[test]
fn every_client_ends_with_the_correct_list_of_users_if_slow_clients_are_closed() {
    check_listed(Overflow::Disconnect, Listed::Users);
}

#[test]
fn every_client_ends_with_the_correct_list_of_users_if_messages_are_refused() {
    check_listed(Overflow::Reject, Listed::Users);
}
