//! The instructions of one message from end to end over a stream in memory; see
//! `benches/README.md`.

#![expect(missing_docs, unused_qualifications, reason = "the macros of gungraun expand to this")]
#![expect(clippy::exit, clippy::unwrap_used, unreachable_pub, reason = "a bench")]

mod bare;
mod chat;
mod exchange;
#[path = "../shared/handshake.rs"]
mod handshake;
mod servers;

use std::hint::black_box;

use chat::{CHAT, OTHER, REQUEST, TYPE_LAST};
use exchange::Exchange;
use gungraun::{
    Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use servers::{Layers, echo, typed};

/// The README's figures are per message.
const MESSAGES: usize = 1_000;

fn end(exchange: Exchange) {
    drop(exchange);
}

#[library_benchmark(teardown = end)]
#[bench::bare_typed(Exchange::open(bare::typed, CHAT))]
#[bench::typed(Exchange::open(|| typed(Layers(0)), CHAT))]
#[bench::typed_in_1_middleware(Exchange::open(|| typed(Layers(1)), CHAT))]
#[bench::typed_in_4_middleware(Exchange::open(|| typed(Layers(4)), CHAT))]
#[bench::typed_request(Exchange::open(|| typed(Layers(0)), REQUEST))]
#[bench::typed_request_in_1_middleware(Exchange::open(|| typed(Layers(1)), REQUEST))]
#[bench::type_key_last(Exchange::open(|| typed(Layers(0)), TYPE_LAST))]
#[bench::unknown_type(Exchange::open(|| typed(Layers(0)), OTHER))]
#[bench::bare_echo(Exchange::open(bare::echo, OTHER))]
#[bench::fallback(Exchange::open(|| echo(Layers(0)), OTHER))]
#[bench::fallback_in_1_middleware(Exchange::open(|| echo(Layers(1)), OTHER))]
fn dispatch(mut exchange: Exchange) -> Exchange {
    exchange.run(black_box(MESSAGES));
    exchange
}

library_benchmark_group!(name = messages, benchmarks = dispatch);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = messages
);
