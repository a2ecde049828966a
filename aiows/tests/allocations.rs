//! What a message costs in allocations once its connection is warm: all of the process are counted,
//! and the client makes none.

#![expect(clippy::unwrap_used, unreachable_pub, reason = "helpers of tests")]

#[path = "../benches/dispatch/chat.rs"]
mod chat;
#[path = "../benches/dispatch/exchange.rs"]
mod exchange;
#[path = "../benches/dispatch/servers.rs"]
mod servers;

use chat::{CHAT, OTHER, REQUEST, TYPE_LAST};
use exchange::{Exchange, Served};
use servers::{Layers, echo, typed};

const MESSAGES: u64 = 1_000;

/// The difference of two runs, so that what a run itself allocates is not in it.
fn per_message(serve: impl AsyncFnOnce() -> Served, text: &str) -> f64 {
    let mut exchange = Exchange::open(serve, text);
    let mut count = |messages: u64| {
        let run = || exchange.run(usize::try_from(messages).unwrap());
        allocation_counter::measure(run).count_total
    };
    let (once, twice) = (count(MESSAGES), count(2 * MESSAGES));
    (twice - once) as f64 / MESSAGES as f64
}

fn typed_in(layers: usize) -> impl AsyncFnOnce() -> Served {
    async move || typed(Layers(layers)).await
}

#[test]
fn a_typed_message_costs_its_string_and_the_handlers_future() {
    assert_eq!(per_message(typed_in(0), CHAT), 2.0);
    assert_eq!(per_message(typed_in(0), TYPE_LAST), 2.0);
}

#[test]
fn an_id_costs_one_more() {
    assert_eq!(per_message(typed_in(0), REQUEST), 3.0);
}

#[test]
fn each_middleware_costs_its_future() {
    assert_eq!(per_message(typed_in(1), CHAT), 3.0);
    assert_eq!(per_message(typed_in(4), CHAT), 6.0);
}

#[test]
fn a_fallback_costs_its_copies_and_its_future() {
    let echo = async || echo(Layers(0)).await;
    assert_eq!(per_message(echo, OTHER), 3.0);
}
