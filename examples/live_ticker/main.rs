//! A price ticker in which each symbol is a room, and clients receive the prices they watch.
//!
//! Run `cargo run --example live_ticker` and enter this in the console of <http://127.0.0.1:8000>:
//!
//! ```js
//! ws = new WebSocket("ws://127.0.0.1:8000")
//! ws.onmessage = (event) => console.log(event.data)
//! ws.onopen = () => ws.send(JSON.stringify({ type: "watch", symbol: "TEA" }))
//! ```

use std::time::Duration;

use aiows::{
    Error, HandlerError, Hub, Limits, Message, Result, Router, Server, WebSocket, message, routes,
};
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};

/// The listed symbols, each with its opening price in cents and its step per round.
const LISTED: [(&str, u64, u64); 3] = [("TEA", 1_200, 7), ("CAKE", 3_450, 31), ("JAM", 780, 5)];

#[derive(Message, Deserialize, Serialize)]
struct Watch {
    symbol: String,
}

#[derive(Message, Deserialize, Serialize)]
struct Unwatch {
    symbol: String,
}

/// A slow client receives the newest price of each symbol. Newer prices replace older ones in its
/// queue.
#[derive(Clone, Debug, PartialEq, Message, Deserialize, Serialize)]
#[aiows(delivery = "latest", key = "symbol")]
struct Price {
    symbol: String,
    cents: u64,
}

#[message("watch")]
async fn watch(ws: WebSocket, watch: Watch) -> Result {
    ws.join(&watch.symbol).await?;
    Ok(())
}

#[message("unwatch")]
async fn unwatch(ws: WebSocket, unwatch: Unwatch) {
    ws.leave(&unwatch.symbol);
}

async fn only_listed(symbol: String, _ws: WebSocket) -> Result {
    match LISTED.iter().any(|(listed, ..)| *listed == symbol) {
        true => Ok(()),
        false => Err(HandlerError::new("unknown_symbol", "nobody trades this")),
    }
}

/// Sends every price to the clients that watch it, without waiting for slow clients. The prices
/// stop when the future is dropped.
async fn trade(hub: Hub, pause: Duration) -> Result {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for round in 0_u64.. {
        ticks.tick().await;
        for (symbol, opening, step) in LISTED {
            let cents = opening + round * step % 97;
            hub.room(symbol).send(&Price { symbol: symbol.into(), cents }).await?;
        }
    }
    Ok(())
}

fn server() -> Server {
    let mut limits = Limits::default();
    // A client misses prices if its queue is full.
    limits.outbound_messages = 64;
    Server::from(Router::new().routes(routes![watch, unwatch]))
        .check_rooms(only_listed)
        .limits(limits)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let server = server();
    tokio::spawn(trade(server.handle().hub(), Duration::from_millis(100)));
    server.run("127.0.0.1:8000").await
}

#[cfg(test)]
mod tests {
    use aiows::hub::Delivery;
    use aiows::testing::{TestClient, TestServer};

    use super::*;

    async fn watcher(server: &TestServer, symbol: &str) -> TestClient {
        let mut client = server.connect().await;
        client.request(1, &Watch { symbol: symbol.into() }).await;
        assert_eq!(client.recv_json().await["type"], "ack");
        client
    }

    fn tea(cents: u64) -> Price {
        Price { symbol: "TEA".into(), cents }
    }

    async fn publish(server: &TestServer, price: &Price) -> Delivery {
        server.handle().hub().room(&price.symbol).send(price).await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_watcher_receives_the_prices_of_its_symbol() {
        let server = TestServer::new(server());
        let mut client = watcher(&server, "TEA").await;
        let trading = tokio::spawn(trade(server.handle().hub(), Duration::from_secs(1)));
        for cents in [1_200, 1_207, 1_214] {
            assert_eq!(client.recv::<Price>().await, tea(cents));
        }
        client.request(2, &Unwatch { symbol: "TEA".into() }).await;
        assert_eq!(client.recv_json().await["type"], "ack");
        client.expect_silence(Duration::from_secs(10)).await;
        trading.abort();
    }

    #[tokio::test]
    async fn a_client_cannot_watch_an_unlisted_symbol() {
        let server = TestServer::new(server());
        let mut client = server.connect().await;
        client.send(&Watch { symbol: "GOLD".into() }).await;
        assert_eq!(client.recv_json().await["code"], "unknown_symbol");
        assert_eq!(server.handle().hub().room_names(), [""; 0]);
    }

    #[tokio::test]
    async fn a_slow_client_does_not_delay_the_others() {
        let server = TestServer::new(server());
        let mut slow = watcher(&server, "TEA").await;
        let mut quick = watcher(&server, "TEA").await;
        for cents in 0..5_000 {
            assert_eq!(publish(&server, &tea(cents)).await.refused, 0);
            assert_eq!(quick.recv::<Price>().await, tea(cents));
        }
        let mut seen = 1;
        while slow.recv::<Price>().await != tea(4_999) {
            seen += 1;
        }
        assert!(seen < 5_000, "{seen}");
    }
}
