//! The clients, which repeat acts that their seeded generator chooses.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::connection::{self, Connection, Flow};
use crate::random::Random;
use crate::request::Request;
use crate::shared::{Shared, Stage};
use crate::tally::{Count, Fault};
use crate::verdict::Manner;

/// The number of clients that share a room.
const ROOM_SIZE: usize = 20;
/// The room of all clients.
const EVERYBODY: &str = "everybody";
const SMALL_BURST: RangeInclusive<u64> = 10..=500;
/// More messages than the server queues for one client. The queue and the smallest socket buffers
/// together have room for them.
const LARGE_BURST: RangeInclusive<u64> = 1100..=1500;
/// The size of one large answer in bytes.
const BULK: u64 = 64 * 1024;
/// The pause between the messages of a client that sends faster than its handler returns.
const PUSH_PAUSE: Duration = Duration::from_millis(20);
/// The time that this handler takes, in milliseconds.
const PUSH_HANDLER: u64 = 25;
/// The number of unanswered requests at which such a client stops sending.
const PUSH_UNANSWERED: usize = 100;

#[derive(Clone, Copy, Debug)]
enum Act {
    /// Sends one request.
    Ask,
    /// Sends several requests at once.
    Pipeline,
    /// Sends more requests at once than the server accepts ahead of the running handler.
    Flood,
    /// Publishes many messages to the room. One client of each room does this.
    Burst,
    /// Publishes a few messages to all clients.
    Announce,
    /// Requests large answers and does not read them for a while.
    Stall,
    /// Sends requests steadily, and faster than they are answered.
    Push,
    /// Sends requests and then a close frame.
    Close,
    /// Sends requests and then ends the stream.
    Fin,
    Reset,
    /// Leaves while a handler that never returns is running.
    Abandon,
}

/// The acts and their relative frequencies.
const ACTS: [(Act, u64); 11] = [
    (Act::Ask, 6000),
    (Act::Pipeline, 1500),
    (Act::Flood, 150),
    (Act::Burst, 1000),
    (Act::Announce, 5),
    (Act::Stall, 100),
    (Act::Push, 30),
    (Act::Close, 200),
    (Act::Fin, 150),
    (Act::Reset, 200),
    (Act::Abandon, 150),
];

struct Client {
    shared: Arc<Shared>,
    random: Random,
    index: usize,
    room: String,
    connections: u64,
}

/// Runs one client until the stage is [`Stage::Leaving`].
pub(crate) async fn run(shared: Arc<Shared>, index: usize) {
    let mut stage = shared.stage.subscribe();
    let random = Random::new(shared.options.seed, index);
    let room = format!("r{}", index / ROOM_SIZE);
    let mut client = Client { shared, random, index, room, connections: 0 };
    while let Some(life) = next_life(&mut stage).await {
        // Spread the clients, so that they do not all connect at once.
        let jitter = 1 + client.shared.options.clients as u64;
        sleep(client.random.millis(0..=jitter)).await;
        if client.random.one_in(50) {
            client.leave_half_open().await;
        }
        if *stage.borrow() == (Stage::Up { life }) {
            client.live(life).await;
        }
    }
}

/// Waits for a server. Returns `None` if no further server starts.
async fn next_life(stage: &mut watch::Receiver<Stage>) -> Option<u64> {
    let stage = stage.wait_for(|stage| *stage != Stage::Down).await.ok()?;
    match *stage {
        Stage::Up { life } => Some(life),
        Stage::Down | Stage::Leaving => None,
    }
}

impl Client {
    /// Opens one connection and uses it until it ends.
    async fn live(&mut self, life: u64) {
        self.connections += 1;
        let key = format!("c{}-{}", self.index, self.connections);
        let is_small = self.random.one_in(4);
        let mut connection = match Connection::open(&self.shared, &key, life, is_small).await {
            Ok(connection) => connection,
            Err(error) => {
                match self.shared.since_stop(life) {
                    Some(_) => self.shared.tally.count(Count::Refused),
                    None => self.shared.tally.fault(Fault::NoConnection, format!("{key}: {error}")),
                }
                self.shared.ledger.forget(key);
                sleep(Duration::from_millis(100)).await;
                return;
            }
        };
        if let Flow::Break(end) = self.act_for_ever(&mut connection).await {
            connection.conclude(end);
        }
    }

    /// Connects, sends a part of the upgrade request, and leaves.
    async fn leave_half_open(&mut self) {
        if let Ok(mut stream) = connection::connect(&self.shared, false).await {
            self.shared.tally.count(Count::HalfOpen);
            let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: local").await;
            sleep(self.random.millis(0..=3000)).await;
        }
    }

    /// Acts until the connection ends.
    async fn act_for_ever(&mut self, connection: &mut Connection) -> Flow {
        let rooms = [self.room.clone(), EVERYBODY.to_owned()];
        connection.send(rooms.map(Request::Join)).await;
        connection.read_answers().await?;
        if self.connections == 1 {
            // Even a short run contains every act.
            self.act(ACTS[self.index % ACTS.len()].0, connection).await?;
        }
        loop {
            if self.is_leaving() {
                return self.leave(connection).await;
            }
            let act = self.choose();
            self.act(act, connection).await?;
            let pause = self.random.millis(200..=3000);
            connection.read_for(pause).await?;
        }
    }

    fn choose(&mut self) -> Act {
        let sum = ACTS.iter().map(|(_, weight)| weight).sum::<u64>();
        let mut rest = self.random.between(0..=sum - 1);
        for (act, weight) in ACTS {
            match rest.checked_sub(weight) {
                Some(less) => rest = less,
                None => return act,
            }
        }
        Act::Ask
    }

    async fn act(&mut self, act: Act, connection: &mut Connection) -> Flow {
        match act {
            Act::Ask => self.ask(connection, 1..=1).await,
            Act::Pipeline => self.ask(connection, 2..=16).await,
            Act::Flood => {
                let count = self.random.between(50..=300);
                connection.send((0..count).map(|number| Request::Add(number, count))).await;
                connection.read_answers().await
            }
            // Two bursts at the same time could fill the queue of a client that reads.
            Act::Burst if !self.index.is_multiple_of(ROOM_SIZE) => {
                self.ask(connection, 2..=16).await
            }
            Act::Burst => {
                self.shared.tally.count(Count::Bursts);
                let is_large = self.random.one_in(2);
                let count = self.random.between(if is_large { LARGE_BURST } else { SMALL_BURST });
                let burst = connection.publication(&self.room, count);
                connection.send([burst]).await;
                connection.read_answers().await
            }
            Act::Announce => {
                let count = self.random.between(1..=3);
                let announcement = connection.publication(EVERYBODY, count);
                connection.send([announcement]).await;
                connection.read_answers().await
            }
            Act::Stall => self.stall(connection).await,
            Act::Push => self.push(connection).await,
            Act::Close => {
                self.send_some(connection, 0..=16).await;
                self.leave(connection).await
            }
            Act::Fin => {
                self.send_some(connection, 0..=16).await;
                self.shared.tally.count(Count::Fins);
                connection.manner = Manner::Leaves;
                connection.finish().await
            }
            Act::Reset => {
                self.send_some(connection, 0..=16).await;
                self.shared.tally.count(Count::Resets);
                connection.reset()
            }
            Act::Abandon => self.abandon(connection).await,
        }
    }

    async fn ask(&mut self, connection: &mut Connection, count: RangeInclusive<u64>) -> Flow {
        self.send_some(connection, count).await;
        connection.read_answers().await
    }

    async fn send_some(&mut self, connection: &mut Connection, count: RangeInclusive<u64>) {
        let mut requests = Vec::new();
        for _ in 0..self.random.between(count) {
            requests.push(match self.random.between(0..=99) {
                0..50 => Request::Add(self.random.between(0..=1000), 1),
                50..75 => Request::Wait(self.random.between(50..=500)),
                75..80 => Request::Panic,
                _ => connection.publication(&self.room, 1),
            });
        }
        connection.send(requests).await;
    }

    async fn stall(&mut self, connection: &mut Connection) -> Flow {
        self.shared.tally.count(Count::Stalls);
        let count = self.random.between(1..=24);
        connection.send((0..count).map(|_| Request::Bulk(BULK))).await;
        connection.stall(self.random.millis(300..=6000)).await;
        connection.read_answers().await?;
        // If the server answers a request sent after the stall, it has not given up this client.
        connection.send([Request::Add(1, 1)]).await;
        connection.read_answers().await?;
        connection.manner = Manner::Reads;
        Flow::Continue(())
    }

    async fn push(&mut self, connection: &mut Connection) -> Flow {
        let end = Instant::now() + self.random.millis(5_000..=40_000);
        while Instant::now() < end && !self.is_leaving() {
            if connection.unanswered() < PUSH_UNANSWERED {
                connection.send([Request::Wait(PUSH_HANDLER)]).await;
            }
            connection.read_for(PUSH_PAUSE).await?;
        }
        connection.read_answers().await
    }

    async fn leave(&mut self, connection: &mut Connection) -> Flow {
        self.shared.tally.count(Count::Closes);
        connection.manner = Manner::Leaves;
        connection.close().await
    }

    async fn abandon(&mut self, connection: &mut Connection) -> Flow {
        self.shared.tally.count(Count::Abandoned);
        connection.manner = Manner::Abandons;
        connection.send([Request::Hang]).await;
        if self.random.one_in(3) {
            // With a full inbound queue, the server must detect the client's departure behind it.
            connection.send((0..100).map(|number| Request::Add(number, 1))).await;
        }
        connection.read_for(self.random.millis(50..=1000)).await?;
        match self.random.between(0..=2) {
            0 => connection.close().await,
            1 => connection.finish().await,
            _ => connection.reset(),
        }
    }

    fn is_leaving(&self) -> bool {
        *self.shared.stage.borrow() == Stage::Leaving
    }
}
