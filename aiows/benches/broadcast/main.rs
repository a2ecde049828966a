//! The instructions of one message to a room; see `benches/README.md`.

#![expect(missing_docs, unused_qualifications, reason = "the macros of gungraun expand to this")]
#![expect(clippy::exit, clippy::unwrap_used, unreachable_pub, reason = "a bench")]

#[path = "../shared/handshake.rs"]
mod handshake;
mod room;

use std::hint::black_box;

use gungraun::{
    Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use room::Room;
use room::Sender::{Member, Server};
use room::Transport::{Memory, Tcp};

/// The README's figures are per broadcast.
const BROADCASTS: usize = 100;

fn end(room: Room) {
    drop(room);
}

#[library_benchmark(teardown = end)]
#[bench::room_of_1(Room::open(1, Tcp, Server))]
#[bench::room_of_64(Room::open(64, Tcp, Server))]
#[bench::room_of_64_by_member(Room::open(65, Tcp, Member))]
#[bench::streams_1(Room::open(1, Memory, Server))]
#[bench::streams_64(Room::open(64, Memory, Server))]
fn broadcast(mut room: Room) -> Room {
    room.run(black_box(BROADCASTS));
    room
}

library_benchmark_group!(name = rooms, benchmarks = broadcast);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = rooms
);
