//! The queue against a model of it that only knows whole frames, over many random steps.

mod lifecycle;
mod model;

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use self::model::Model;
use super::{Outbound, Outbox, Published, Refused, SharedFrame, Totals};
use crate::codec::Encoded;
use crate::limits::Limits;
use crate::overflow::{Overflow, Rule};
use crate::transport::Opcode;

const STEPS: usize = 20_000;

const MAX_MESSAGES: usize = 12;
const MAX_SIZE: usize = 30_000;

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Writes to a socket that has room for this many bytes.
fn write(outbox: &Outbox, mut room: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = outbox.flush_with(|_, slices| {
        let before = bytes.len();
        for slice in slices {
            let taken = slice.len().min(room);
            bytes.extend_from_slice(&slice[..taken]);
            room -= taken;
        }
        match bytes.len() - before {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    });
    bytes
}

fn outbox(overflow: Overflow, change: impl FnOnce(&mut Limits), totals: &Arc<Totals>) -> Outbox {
    let mut limits = Limits {
        overflow,
        outbound_messages: MAX_MESSAGES,
        outbound_size: MAX_SIZE,
        ..Limits::default()
    };
    change(&mut limits);
    Outbox::new(&limits, Arc::clone(totals))
}

/// A payload of its own, of one of the sizes that are kept in different ways.
fn payload(random: &mut Random, step: usize) -> Vec<u8> {
    let size = match random.below(10) {
        0 => 4090 + random.below(20_000),
        1 => 100 + random.below(4000),
        _ => random.below(100),
    };
    let mut payload = format!("{step}:").into_bytes();
    payload.resize(size.max(payload.len()), b'.');
    payload
}

fn push(outbox: &Outbox, payload: &[u8], key: Option<usize>, shared: bool) -> bool {
    let rule = key.map_or(Rule::Server, |key| Rule::latest("tick", &key));
    let message = Encoded::raw(payload).with_rule(rule);
    match shared {
        true => {
            let frame = SharedFrame::new(Opcode::Text, message);
            outbox.publish(&frame, false) != Published::Refused
        }
        false => match outbox.try_push(Opcode::Text, message) {
            Ok(()) => true,
            Err(Refused::Full(message, _)) => {
                assert_eq!(message.payload(), payload);
                false
            }
            Err(Refused::Closed) => panic!("nobody has closed"),
        },
    }
}

fn compare(policy: Overflow, seed: u64) {
    let totals = Arc::default();
    let outbox = outbox(policy, |_| {}, &totals);
    let mut model = Model::new(policy);
    let mut random = Random(seed);
    for step in 0..STEPS {
        match random.below(100) {
            0..70 => {
                let payload = payload(&mut random, step);
                let key = (random.below(3) == 0).then(|| random.below(5));
                // A publish that is refused closes the connection.
                let shared = policy != Overflow::Disconnect && random.below(2) == 0;
                let expected = model.push(&payload, key);
                assert_eq!(push(&outbox, &payload, key, shared), expected, "{policy:?} {step}");
            }
            70..75 => {
                outbox.ping();
                model.ping();
            }
            75 => {
                outbox.discard_unsent();
                model.discard_unsent();
            }
            _ => {
                let room = match random.below(4) {
                    0 => random.below(20),
                    1 => random.below(40_000),
                    _ => random.below(800),
                };
                assert!(write(&outbox, room) == model.write(room), "{policy:?} {step}");
            }
        }
        assert_eq!(outbox.outbound(), model.outbound(), "{policy:?} {step}");
        assert_eq!(outbox.is_full(), !model.has_room(0), "{policy:?} {step}");
    }
    assert!(write(&outbox, usize::MAX) == model.write(usize::MAX), "{policy:?} at the end");
    let counts = model.outbound();
    assert_eq!((counts.pending, outbox.outbound()), (0, counts));
    assert!(counts.sent > 1000 && counts.replaced > 100, "{counts:?}");
    assert_eq!(totals.with([&outbox]), counts);
    outbox.end();
    assert_eq!(totals.with([&outbox]), counts);
}

#[test]
fn the_queue_does_what_a_list_of_frames_does() {
    let policies =
        [Overflow::Disconnect, Overflow::DropNewest, Overflow::DropOldest, Overflow::Reject];
    for (seed, policy) in policies.into_iter().enumerate() {
        compare(policy, 0x5eed + seed as u64);
    }
}

fn small(n: u8) -> Bytes {
    Bytes::from(vec![b'0' + n; 1000])
}

/// Writes nothing: from now on the socket is known to refuse bytes.
fn block(outbox: &Outbox) {
    assert_eq!(write(outbox, 0), b"");
}

#[test]
fn queues_that_are_stuck_share_their_room() {
    let totals = Arc::default();
    let (one, other) = (
        outbox(Overflow::Reject, |limits| limits.outbound_total = 3500, &totals),
        outbox(Overflow::DropOldest, |limits| limits.outbound_total = 3500, &totals),
    );
    for n in 0..3 {
        assert!(push(&one, &small(n), None, false));
    }
    assert!(push(&other, &small(0), None, false));
    // While sockets take bytes nothing is shared.
    assert!(push(&one, &small(3), None, false));
    block(&one);
    assert!(!push(&one, &small(4), None, false), "4000 of 3500 bytes are stuck");
    assert!(one.is_full());
    assert!(push(&other, &small(1), None, false), "its socket is not known to be stuck");
    block(&other);
    // What is dropped makes room for no more than one.
    assert!(push(&other, &small(2), None, false));
    assert_eq!(other.outbound(), Outbound { pending: 1, ..other.outbound() });
    assert_eq!(write(&one, 2100).len(), 2100);
    assert!(!one.is_full(), "two of one and one of the other");
    assert!(!push(&one, &small(4), None, false));
    other.end();
    assert!(push(&one, &small(4), None, false));
    drop(other);
    drop(one);
    assert_eq!(totals.without(0), 0);
    let all = totals.with([]);
    assert_eq!((all.queued, all.sent, all.dropped, all.pending), (8, 2, 6, 0));
}

#[test]
fn an_empty_queue_takes_a_message_however_much_is_stuck() {
    let totals = Arc::default();
    let narrow = |limits: &mut Limits| limits.outbound_total = 1;
    let (one, other) =
        (outbox(Overflow::Reject, narrow, &totals), outbox(Overflow::Reject, narrow, &totals));
    for outbox in [&one, &other] {
        outbox.ping();
        block(outbox);
        assert!(push(outbox, &small(0), None, true));
        assert!(!push(outbox, &small(1), None, true));
    }
}

#[test]
fn a_publish_that_finds_no_room_closes_by_default() {
    let outbox =
        outbox(Overflow::Disconnect, |limits| limits.outbound_messages = 1, &Arc::default());
    assert!(push(&outbox, b"one", None, true));
    assert!(!push(&outbox, b"two", None, false), "that is for the caller to decide");
    assert!(!outbox.is_closed());
    assert!(!push(&outbox, b"two", None, true));
    assert!(outbox.is_closed());
    let slow = Box::new(super::CloseRequest::slow_consumer());
    let order = outbox.take_close_order(super::Accepted::Pending);
    assert_eq!(order, super::CloseOrder::Close(slow));
}
