//! Compares the queue with a model that only knows whole frames, over many random steps.

mod lifecycle; // every operation in every state of the lifecycle
mod model; // the model of the queue
mod wakes; // the tasks that write, and those that are woken

use std::io;
use std::sync::{Arc, Barrier};
use std::task::{Context, Waker};

use bytes::Bytes;
use futures_util::poll;

use self::model::Model;
use super::policy::When;
use super::{OfferResult, Outbox, SharedFrame, Totals};
use crate::codec::Encoded;
use crate::limits::Limits;
use crate::limits::{KindOf, Overflow, Rule};

const STEPS: usize = 20_000;

const MAX_MESSAGES: usize = 12;
const MAX_SIZE: usize = 300_000;

/// A generator of numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// Writes the queue to a socket that has room for `room` bytes.
fn write(outbox: &Outbox, mut room: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = outbox.flush(|_, slices| {
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

/// Returns a unique payload. The queue stores its sizes in different ways.
fn payload(random: &mut Random, step: usize) -> Vec<u8> {
    let size = match random.below(20) {
        0 => 65_000 + random.below(150_000),
        1 => 4090 + random.below(20_000),
        2..4 => 100 + random.below(4000),
        _ => random.below(100),
    };
    let mut payload = format!("{step}:").into_bytes();
    payload.resize(size.max(payload.len()), b'.');
    payload
}

/// The kind of a message. Policies treat each kind differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MessageKind {
    Plain,
    Latest(usize),
    /// An answer or a request, with or without a key.
    Kept(Option<usize>),
    /// A type of messages that drops its own oldest ones.
    Own(usize),
}

impl MessageKind {
    fn random(random: &mut Random, keys: usize) -> Self {
        let key = random.below(keys);
        match random.below(12) {
            0..5 => Self::Plain,
            5..9 => Self::Latest(key),
            9 => Self::Kept((key % 5 < 3).then_some(key)),
            _ => Self::Own(key % 2),
        }
    }

    fn rule(self) -> Rule {
        static KINDS: [KindOf; 2] = [KindOf::new(), KindOf::new()];
        match self {
            Self::Plain => Rule::Server,
            Self::Latest(key) => Rule::latest("tick", &key),
            Self::Kept(None) => Rule::Kept(None),
            Self::Kept(Some(key)) => Rule::latest("tick", &key).kept(),
            Self::Own(kind) => Rule::drop_oldest(&KINDS[kind]),
        }
    }
}

fn push(outbox: &Outbox, payload: &[u8], key: Option<usize>, shared: bool) -> bool {
    push_as(outbox, payload, key.map_or(MessageKind::Plain, MessageKind::Latest), shared)
}

fn push_as(outbox: &Outbox, payload: &[u8], kind: MessageKind, shared: bool) -> bool {
    let rule = kind.rule();
    let mut message = Encoded::raw(payload).with_rule(rule);
    match shared {
        true => {
            let frame = SharedFrame::new(message);
            let published = outbox.offer(&frame, When::Now);
            matches!(published, OfferResult::Queued | OfferResult::Deferred | OfferResult::Dropped)
        }
        false => match outbox.offer(&mut message, When::Now) {
            OfferResult::Queued | OfferResult::Dropped => true,
            OfferResult::Full => {
                assert_eq!(message.payload(), payload);
                false
            }
            other => panic!("{other:?}"),
        },
    }
}

fn compare(policy: Overflow, seed: u64, max_messages: usize) {
    let is_long = max_messages > MAX_MESSAGES;
    let totals = Arc::default();
    let outbox = outbox(policy, |limits| limits.outbound_messages = max_messages, &totals);
    let mut model = Model::new(policy, max_messages);
    let mut random = Random(seed);
    for step in 0..STEPS {
        match random.below(100) {
            0..70 => {
                let payload = payload(&mut random, step);
                let payload =
                    if is_long { payload[..payload.len().min(90)].to_vec() } else { payload };
                let kind = MessageKind::random(&mut random, if is_long { 60 } else { 5 });
                // The socket refuses bytes, so that policies are applied.
                block(&outbox);
                // There are no more answers than the client reads.
                if let MessageKind::Kept(key) = kind
                    && model.has_room(0)
                    && random.below(3) == 0
                {
                    model.answer(&payload, key);
                    let answer = Encoded::raw(&payload).with_rule(kind.rule());
                    outbox.push_answer(answer);
                    continue;
                }
                // A refused publish closes the connection. Answers are not published.
                let shared = policy != Overflow::Disconnect
                    && !matches!(kind, MessageKind::Kept(_))
                    && random.below(2) == 0;
                let expected = model.push(&payload, kind);
                let pushed = push_as(&outbox, &payload, kind, shared);
                assert_eq!(pushed, expected, "{policy:?} {step} {kind:?}");
            }
            70..75 => {
                outbox.ping();
                model.ping();
            }
            // A message that is cut is the last one; see `a_cut_message_is_the_last_one`.
            75 if model.is_within_message() => {}
            75 => {
                drop_unsent(&outbox);
                model.discard_unsent();
            }
            _ => {
                let room = match random.below(4) {
                    0 => random.below(20),
                    1 if is_long => random.below(600),
                    1 => random.below(200_000),
                    _ if is_long => random.below(100),
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
fn the_queue_behaves_like_a_list_of_frames() {
    let policies =
        [Overflow::Disconnect, Overflow::DropNewest, Overflow::DropOldest, Overflow::Reject];
    for (seed, policy) in policies.into_iter().enumerate() {
        compare(policy, 0x5eed + seed as u64, MAX_MESSAGES);
        // A long queue, with an index of its keys and gaps of removed messages.
        compare(policy, 0xfeed + seed as u64, 300);
    }
}

fn small(n: u8) -> Bytes {
    Bytes::from(vec![b'0' + n; 1000])
}

/// Writes no byte, so that the socket is known to refuse bytes.
fn block(outbox: &Outbox) {
    assert_eq!(write(outbox, 0), b"");
}

fn drop_unsent(outbox: &Outbox) -> usize {
    let mut state = outbox.lock();
    let dropped = state.drop_unsent();
    state.account(outbox.bounds.totals());
    dropped
}

#[test]
fn the_largest_blocked_queue_is_closed_when_all_exceed_the_limit() {
    let totals = Arc::default();
    let (one, other) = (
        outbox(Overflow::Reject, |limits| limits.outbound_total = 3500, &totals),
        outbox(Overflow::DropOldest, |limits| limits.outbound_total = 3500, &totals),
    );
    for n in 0..3 {
        assert!(push(&one, &small(n), None, false));
    }
    assert!(push(&other, &small(0), None, false));
    // As long as the sockets take bytes, the common limit does not apply.
    assert!(push(&one, &small(3), None, false));
    block(&one);
    assert!(!push(&one, &small(4), None, false), "it holds most of all itself");
    assert!(one.is_full());
    block(&other);
    assert!(!other.is_full());
    assert!(push(&other, &small(1), None, false));
    assert_eq!(totals.blocked.without(0), 2000, "the other queue is given up");
    assert!(!one.is_closed(), "its session does that, when it sleeps");
    assert!(!one.sleep(
        &Context::from_waker(Waker::noop()),
        super::Writability::Blocked,
        super::AcceptedMessages::Pending
    ));
    let slow = Box::new(super::CloseRequest::slow_consumer());
    let order = one.take_close_order(super::AcceptedMessages::Pending);
    assert_eq!(order, super::CloseOrder::Close { request: slow, dropped: 4 });
    assert!(push(&other, &small(2), None, false));
    // If it is the only queue, it drops its own messages, one for each new one.
    assert!(push(&other, &small(3), None, false));
    assert_eq!((other.outbound().pending, other.outbound().dropped), (3, 1));
    drop(other);
    drop(one);
    assert_eq!(totals.blocked.without(0), 0);
    let all = totals.with([]);
    assert_eq!((all.queued, all.sent, all.dropped, all.pending), (8, 0, 8, 0));
}

#[test]
fn the_largest_of_many_blocked_queues_is_found() {
    let totals = Arc::default();
    let narrow = |limits: &mut Limits| limits.outbound_total = 14_000;
    let queues: Vec<_> = (0..10)
        .map(|number| {
            let outbox = outbox(Overflow::Reject, narrow, &totals);
            let messages = if number == 0 { 5 } else { 1 };
            (0..messages).for_each(|n| assert!(push(&outbox, &small(n), None, false)));
            block(&outbox);
            outbox
        })
        .collect();
    assert_eq!(totals.blocked.without(0), 14_000);
    assert!(push(&queues[9], &small(1), None, false));
    assert_eq!(totals.blocked.without(0), 10_000, "the largest queue is given up");
    assert!(!queues[0].sleep(
        &Context::from_waker(Waker::noop()),
        super::Writability::Blocked,
        super::AcceptedMessages::Pending
    ));
    let closed: Vec<_> = queues.iter().map(Outbox::is_closed).collect();
    assert_eq!(closed.iter().position(|closed| *closed), Some(0), "{closed:?}");
    assert_eq!(closed.iter().filter(|closed| **closed).count(), 1, "{closed:?}");
}

/// Publishes a part of a list; `true` if it is queued.
fn publish_part(outbox: &Outbox, size: usize) -> bool {
    match outbox.offer(&SharedFrame::new(Encoded::raw(&vec![b'x'; size])), When::Never) {
        OfferResult::Queued => true,
        OfferResult::Full => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_parts_of_a_list_leave_half_of_the_queue_to_other_messages() {
    for is_blocked in [false, true] {
        let outbox = || {
            let outbox = outbox(Overflow::Reject, |_| {}, &Arc::default());
            assert!(publish_part(&outbox, 1000));
            if is_blocked {
                block(&outbox);
            }
            outbox
        };
        let queue = outbox();
        let queued = (0..MAX_MESSAGES).filter(|_| publish_part(&queue, 1000)).count();
        assert_eq!(queued, MAX_MESSAGES / 2 - 1);
        assert!(push(&queue, &small(0), None, false));
        let queue = outbox();
        assert!(!publish_part(&queue, MAX_SIZE / 2 - 999));
        assert!(publish_part(&queue, MAX_SIZE / 2 - 1000));
        assert!(push(&queue, &vec![b'x'; MAX_SIZE / 2], None, false));
    }
}

#[test]
fn the_parts_of_a_list_close_no_other_connection() {
    let totals = Arc::default();
    let narrow = |limits: &mut Limits| limits.outbound_total = 6000;
    let [large, one] = [3, 1].map(|messages| {
        let outbox = outbox(Overflow::Reject, narrow, &totals);
        (0..messages).for_each(|n| assert!(push(&outbox, &small(n), None, false)));
        outbox
    });
    block(&large);
    // As long as the socket takes bytes, the common limit does not apply.
    assert!(publish_part(&one, 2001));
    assert_eq!(write(&one, usize::MAX).len(), 4 + 1000 + 4 + 2001);
    assert!(push(&one, &small(0), None, false));
    block(&one);
    assert!(!publish_part(&one, 2001));
    assert!(publish_part(&one, 2000));
    assert_eq!(totals.blocked.without(0), 6000);
    // An empty queue takes a part in any case.
    let empty = outbox(Overflow::Reject, narrow, &totals);
    empty.ping();
    block(&empty);
    assert!(publish_part(&empty, 1000));
    assert!(!publish_part(&empty, 1000));
}

#[test]
fn a_queue_chosen_to_be_closed_is_kept_if_its_client_reads_again() {
    let totals = Arc::default();
    let narrow = |limits: &mut Limits| limits.outbound_total = 2500;
    let (one, other) =
        (outbox(Overflow::Reject, narrow, &totals), outbox(Overflow::Reject, narrow, &totals));
    for outbox in [&one, &one, &other] {
        assert!(push(outbox, &small(0), None, false));
    }
    block(&one);
    block(&other);
    assert!(!push(&other, &small(1), None, false), "both would hold as much");
    assert!(push(&other, &small(1)[..600], None, false));
    assert_eq!(write(&one, 3000).len(), 2008);
    assert!(one.sleep(
        &Context::from_waker(Waker::noop()),
        super::Writability::Ready,
        super::AcceptedMessages::Pending
    ));
    assert_eq!(one.take_close_order(super::AcceptedMessages::Pending), super::CloseOrder::None);
}

/// Lets the session sleep until the socket takes bytes; `false` if it has to close the connection.
fn sleeps_blocked(outbox: &Outbox) -> bool {
    outbox.sleep(
        &Context::from_waker(Waker::noop()),
        super::Writability::Blocked,
        super::AcceptedMessages::Pending,
    )
}

#[test]
fn a_queue_whose_client_has_read_again_is_not_closed_when_its_socket_refuses_bytes_again() {
    let totals = Arc::default();
    let narrow = |limits: &mut Limits| limits.outbound_total = 2500;
    let [one, other] = [2, 1].map(|messages| {
        let outbox = outbox(Overflow::Reject, narrow, &totals);
        (0..messages).for_each(|n| assert!(push(&outbox, &small(n), None, false)));
        block(&outbox);
        outbox
    });
    assert!(push(&other, &small(1)[..600], None, false), "the larger queue is chosen");
    assert_eq!(totals.blocked.without(0), 1600);
    assert_eq!(write(&one, usize::MAX).len(), 2008);
    assert!(push(&one, &small(2), None, false));
    block(&one);
    assert!(sleeps_blocked(&one));
    assert!(!one.is_closed());
}

#[test]
fn messages_queued_before_their_sockets_refuse_bytes_count_when_the_sessions_sleep() {
    let queues = |total: usize, all: &[(u8, usize)]| {
        let totals = Arc::default();
        let queues = all.iter().map(|(messages, size)| {
            let outbox = outbox(Overflow::Reject, |limits| limits.outbound_total = total, &totals);
            let text = vec![b'x'; *size];
            (0..*messages).for_each(|_| assert!(push(&outbox, &text, None, false)));
            outbox
        });
        let queues: Vec<_> = queues.collect();
        queues.iter().for_each(block);
        queues
    };
    // A single message is accepted whatever its size, so its own session does not enforce the
    // limit.
    let two = queues(4500, &[(2, 1000), (1, 3000)]);
    assert!(sleeps_blocked(&two[1]));
    assert!(sleeps_blocked(&two[0]));
    assert!(!sleeps_blocked(&two[1]), "it is the largest one");
    assert_eq!((two[0].is_closed(), two[1].is_closed()), (false, true));
    // The queue is as large as the limit, and others exceed it.
    let two = queues(2000, &[(2, 1000), (1, 500)]);
    assert!(!sleeps_blocked(&two[0]));
    assert_eq!((two[0].is_closed(), two[1].is_closed()), (true, false));
}

#[test]
fn an_empty_queue_takes_a_message_even_if_blocked_queues_exceed_the_limit() {
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
fn by_default_a_publish_to_a_full_queue_closes_the_connection() {
    let outbox =
        outbox(Overflow::Disconnect, |limits| limits.outbound_messages = 1, &Arc::default());
    assert!(push(&outbox, b"one", None, true));
    block(&outbox);
    assert!(!push(&outbox, b"two", None, false), "that is for the caller to decide");
    assert!(!outbox.is_closed());
    assert!(!push(&outbox, b"two", None, true));
    assert!(outbox.is_closed());
    let slow = Box::new(super::CloseRequest::slow_consumer());
    let order = outbox.take_close_order(super::AcceptedMessages::Pending);
    assert_eq!(order, super::CloseOrder::Close { request: slow, dropped: 1 });
}

/// Returns the first bytes and the lengths of completely written frames.
fn frames(mut bytes: &[u8]) -> Vec<(u8, usize)> {
    let mut frames = Vec::new();
    while let [first, length, ..] = *bytes {
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
        let (header, length) = match length {
            126 => (4, number(&bytes[2..4])),
            127 => (10, number(&bytes[2..10])),
            short => (2, usize::from(short)),
        };
        frames.push((first, length));
        bytes = &bytes[header + length..];
    }
    frames
}

#[test]
fn a_cut_message_is_the_last_one() {
    const FRAGMENT: usize = 65_536;
    let size = 3 * FRAGMENT - 5;
    // Before the message, within each part of a fragment, and between two fragments.
    for written in [1, 3, 10, FRAGMENT - 1, FRAGMENT + 4, FRAGMENT + 9, FRAGMENT + 50] {
        for pings in 0..2 {
            let outbox = outbox(Overflow::Reject, |_| {}, &Arc::default());
            assert!(push(&outbox, &vec![b'x'; size], None, true));
            assert!(push(&outbox, b"behind", None, false));
            let mut bytes = write(&outbox, written);
            (0..pings).for_each(|_| outbox.ping());
            outbox.seal(None);
            assert_eq!(drop_unsent(&outbox), 2);
            outbox.ping();
            bytes.extend(write(&outbox, usize::MAX));
            let all = frames(&bytes);
            let begun = all.iter().filter(|(first, _)| *first != 0x89).count();
            let expected = 1 + usize::from(written > FRAGMENT - 5 + 4);
            assert_eq!(begun, expected, "{written} {all:?}");
            assert!(all.iter().all(|(first, _)| first & 0x80 == 0 || *first == 0x89), "{all:?}");
            assert_eq!(all.len(), begun + pings);
            let counts = outbox.outbound();
            assert_eq!((counts.queued, counts.sent, counts.dropped, counts.pending), (2, 0, 2, 0));
        }
    }
}

#[test]
fn a_session_that_a_publisher_awaits_writes_before_it_sleeps() {
    let outbox =
        outbox(Overflow::DropNewest, |limits| limits.outbound_messages = 1, &Arc::default());
    let session = Context::from_waker(Waker::noop());
    outbox.open(None, None);
    assert!(push(&outbox, b"one", None, true));
    block(&outbox);
    let frame = SharedFrame::new(Encoded::raw(b"two"));
    let OfferResult::Busy(since) = outbox.offer(&frame, When::Offered) else {
        panic!("it was not tried since")
    };
    assert!(!outbox.sleep(&session, super::Writability::Blocked, super::AcceptedMessages::Pending));
    block(&outbox);
    assert!(outbox.sleep(&session, super::Writability::Blocked, super::AcceptedMessages::Pending));
    let published = outbox.offer(&frame, When::TriedAgain(since));
    assert_eq!((published, outbox.outbound().dropped), (OfferResult::Dropped, 1));
}

#[test]
fn a_cut_that_comes_while_the_session_closes_is_not_lost() {
    let outbox = outbox(Overflow::Reject, |_| {}, &Arc::default());
    outbox.request_close(super::CloseRequest::shutdown(super::CloseMode::Cut));
    outbox.seal(Some(Bytes::from_static(&[0x88, 0])));
    assert_eq!(outbox.take_close_order(super::AcceptedMessages::Pending), super::CloseOrder::Cut);
}

#[test]
fn two_senders_at_once_close_only_one_queue_to_make_room() {
    for _ in 0..3000 {
        let totals = Arc::default();
        let [large, one, other] = [3, 1, 1].map(|messages| {
            let outbox = outbox(Overflow::Reject, |limits| limits.outbound_total = 5000, &totals);
            (0..messages).for_each(|n| assert!(push(&outbox, &small(n), None, false)));
            block(&outbox);
            outbox
        });
        let start = Barrier::new(2);
        let offer = |outbox: &Outbox| {
            start.wait();
            push(outbox, &small(1), None, false)
        };
        let offered = std::thread::scope(|scope| {
            let first = scope.spawn(|| offer(&one));
            (offer(&other), first.join().unwrap())
        });
        assert_eq!(offered, (true, true));
        assert_eq!(totals.blocked.without(0), 4000);
        drop(large);
    }
}

#[test]
fn the_oldest_message_behind_a_partly_written_one_is_dropped() {
    let outbox =
        outbox(Overflow::DropOldest, |limits| limits.outbound_messages = 1, &Arc::default());
    assert!(push(&outbox, b"one", None, false));
    let mut bytes = write(&outbox, 3);
    for text in [b"two", b"tri"] {
        assert!(push(&outbox, text, None, false));
    }
    let counts = outbox.outbound();
    assert_eq!((counts.pending, counts.dropped), (2, 1));
    bytes.extend(write(&outbox, usize::MAX));
    assert_eq!(bytes, b"\x81\x03one\x81\x03tri");
}

#[test]
fn a_message_that_has_begun_is_neither_dropped_nor_finished_between_its_fragments() {
    const FRAGMENT: usize = 65_536;
    const PING: [u8; 2] = [0x89, 0];
    // Exactly the first fragment is written, or also half of the ping behind it.
    for (pings, written) in [(0, 0), (1, 0), (1, 1)] {
        let begin = || {
            let narrow = |limits: &mut Limits| limits.outbound_messages = 1;
            let outbox = outbox(Overflow::DropOldest, narrow, &Arc::default());
            // The first fragment has 10 bytes.
            assert!(push(&outbox, &vec![b'x'; 2 * FRAGMENT + 10], None, true));
            let mut bytes = write(&outbox, 5);
            (0..pings).for_each(|_| outbox.ping());
            bytes.extend(write(&outbox, 7 + written));
            assert_eq!(bytes.len(), 12 + written);
            (outbox, bytes)
        };
        let (outbox, mut bytes) = begin();
        for text in [b"two", b"tri"] {
            assert!(push(&outbox, text, None, false));
        }
        assert_eq!((outbox.outbound().pending, outbox.outbound().dropped), (2, 1));
        bytes.extend(write(&outbox, usize::MAX));
        let mut expected = vec![(0x01, 10), (0x00, FRAGMENT), (0x80, FRAGMENT), (0x81, 3)];
        expected.splice(1..1, [(PING[0], 0)].into_iter().take(pings));
        assert_eq!(frames(&bytes), expected);
        assert!(bytes.ends_with(b"tri"));

        let (outbox, mut bytes) = begin();
        outbox.seal(None);
        assert_eq!(drop_unsent(&outbox), 1);
        assert_eq!((outbox.outbound().pending, outbox.outbound().dropped), (0, 1));
        bytes.extend(write(&outbox, usize::MAX));
        expected.truncate(1 + pings);
        assert_eq!(frames(&bytes), expected);
    }
}

#[test]
fn the_oldest_message_is_kept_if_dropping_it_makes_no_room() {
    let outbox =
        outbox(Overflow::DropOldest, |limits| limits.outbound_messages = 2, &Arc::default());
    assert!(push(&outbox, b"old", None, false));
    for answer in [b"one", b"two"] {
        outbox.push_answer(Encoded::raw(answer).with_rule(Rule::Kept(None)));
    }
    block(&outbox);
    assert!(push(&outbox, b"new", None, false));
    assert_eq!((outbox.outbound().pending, outbox.outbound().dropped), (3, 1));
    let bytes = write(&outbox, usize::MAX);
    assert_eq!(bytes, b"\x81\x03old\x81\x03one\x81\x03two");
}

#[test]
fn the_newest_sixteen_pongs_are_kept() {
    let outbox = outbox(Overflow::Reject, |_| {}, &Arc::default());
    (0..100).for_each(|number| outbox.pong(&[number]));
    let bytes = write(&outbox, usize::MAX);
    let expected: Vec<u8> = (84..100).flat_map(|number| [0x8a, 1, number]).collect();
    assert_eq!(bytes, expected);
}

#[test]
fn as_long_as_a_socket_takes_bytes_its_messages_are_replaced_regardless_of_other_queues() {
    let totals = Arc::default();
    let narrow = |limits: &mut Limits| {
        (limits.outbound_messages, limits.outbound_total) = (2, 1000);
    };
    let [one, other] = [(); 2].map(|()| outbox(Overflow::Reject, narrow, &totals));
    assert!(push(&other, &vec![b'x'; 2000], None, false));
    block(&other);
    assert!(push(&one, b"1", Some(0), false));
    assert!(push(&one, b"full", None, false));
    assert!(push(&one, b"10", Some(0), false));
    block(&one);
    assert!(!push(&one, b"100", Some(0), false));
    assert_eq!(write(&one, usize::MAX), b"\x81\x0210\x81\x04full");
}

#[tokio::test(start_paused = true)]
async fn a_small_send_does_not_overtake_a_large_one_that_waits() {
    let outbox = outbox(Overflow::Disconnect, |limits| limits.outbound_size = 10, &Arc::default());
    outbox.open(None, None);
    let send = |payload: &'static [u8]| Box::pin(outbox.push(Encoded::raw(payload)));
    send(b"small").await.unwrap();
    send(b"fills").await.unwrap();
    let (mut large, mut small) = (send(b"a large 1"), send(b"tiny"));
    assert!(poll!(&mut large).is_pending());
    let mut bytes = write(&outbox, 7);
    assert!(poll!(&mut large).is_pending(), "there is room for 5 bytes");
    assert!(poll!(&mut small).is_pending());
    bytes.extend(write(&outbox, usize::MAX));
    large.await.unwrap();
    assert!(poll!(&mut small).is_pending());
    bytes.extend(write(&outbox, usize::MAX));
    small.await.unwrap();
    bytes.extend(write(&outbox, usize::MAX));
    assert_eq!(bytes, b"\x81\x05small\x81\x05fills\x81\x09a large 1\x81\x04tiny");
}
