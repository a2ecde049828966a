//! Compares the lifecycle with a table: every operation in every state, and many operations in a
//! row.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::poll;
use tokio::time::{Instant, timeout};

use super::super::lifecycle::Lifecycle;
use super::super::{
    AcceptedMessages, CloseMode, CloseOrder, CloseRequest, OfferResult, Outbox, SharedFrame, When,
    Writability,
};
use super::{Random, outbox, push, write};
use crate::close::DisconnectReason;
use crate::codec::Encoded;
use crate::error::SendError;
use crate::limits::Overflow;

use AcceptedMessages::{Answered, Pending};
use CloseMode::{Cut, Drain, Handshake};
use State::{
    CloseReceived, CloseSent, Closing, CutAfterEnd, CutRequested, Cutting, Draining, Ended, Open,
};

const CLOSE: &[u8] = b"\x88\x02\x03\xe8";

/// The states of [`Lifecycle`], with one per mode of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    CloseReceived,
    Draining,
    Closing,
    Cutting,
    CloseSent,
    CutRequested,
    Ended,
    CutAfterEnd,
}

const STATES: [State; 9] =
    [Open, CloseReceived, Draining, Closing, Cutting, CloseSent, CutRequested, Ended, CutAfterEnd];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Request(CloseMode),
    Take(AcceptedMessages),
    NoteClientEnd,
    Close,
    SendClose,
    Seal,
    End,
}

use Operation::{Close, End, NoteClientEnd, Request, Seal, SendClose, Take};

/// The state after each operation, for each of [`STATES`].
#[rustfmt::skip]
const TABLE: [(Operation, [State; 9]); 10] = [
    (
        Request(Drain),
        [Draining, Draining, Draining, Closing, Cutting, CloseSent, CutRequested, Ended, CutAfterEnd],
    ),
    (
        Request(Handshake),
        [Closing, Closing, Closing, Closing, Cutting, CloseSent, CutRequested, Ended, CutAfterEnd],
    ),
    (
        Request(Cut),
        [Cutting, Cutting, Cutting, Cutting, Cutting, CutRequested, CutRequested, CutAfterEnd, CutAfterEnd],
    ),
    (
        Take(Pending),
        [Open, CloseReceived, Draining, CloseSent, CloseSent, CloseSent, CloseSent, Ended, Ended],
    ),
    (
        Take(Answered),
        [Open, CloseReceived, CloseSent, CloseSent, CloseSent, CloseSent, CloseSent, Ended, Ended],
    ),
    (
        NoteClientEnd,
        [CloseReceived, CloseReceived, Draining, Closing, Cutting, CloseSent, CutRequested, Ended, CutAfterEnd],
    ),
    // A cut is carried out even if the connection closes for another reason in the meantime.
    (
        Close,
        [CloseSent, CloseSent, CloseSent, CloseSent, CutRequested, CloseSent, CutRequested, Ended, CutAfterEnd],
    ),
    (
        SendClose,
        [CloseSent, CloseSent, CloseSent, CloseSent, CutRequested, CloseSent, CutRequested, Ended, CutAfterEnd],
    ),
    (
        Seal,
        [CloseSent, CloseSent, CloseSent, CloseSent, CutRequested, CloseSent, CutRequested, Ended, CutAfterEnd],
    ),
    (End, [Ended, Ended, Ended, Ended, CutAfterEnd, Ended, CutAfterEnd, Ended, CutAfterEnd]),
];

impl State {
    fn after(self, operation: Operation) -> Self {
        let row = TABLE.iter().find(|(of, _)| *of == operation).unwrap().1;
        row[STATES.iter().position(|state| *state == self).unwrap()]
    }

    /// Returns the order that the session gets in this state.
    fn order(self, accepted: AcceptedMessages) -> CloseOrder {
        match (self, accepted) {
            (Draining, Pending) => CloseOrder::Drain,
            (Draining, _) => close(request(Drain)),
            (Closing, _) => close(request(Handshake)),
            (Cutting, _) => close(CloseRequest::shutdown(Cut)),
            (CutRequested | CutAfterEnd, _) => CloseOrder::Cut,
            _ => CloseOrder::None,
        }
    }

    fn accepts_messages(self) -> bool {
        matches!(self, Open | CloseReceived | Draining)
    }

    fn accepts_control(self) -> bool {
        self.accepts_messages() || matches!(self, Closing | Cutting)
    }
}

/// The grace in which clients can make room while the server shuts down.
const GRACE: Duration = Duration::from_secs(3);

fn request(mode: CloseMode) -> CloseRequest {
    match mode {
        Handshake => CloseRequest::handshake(4000.into(), "enough", DisconnectReason::Shutdown),
        Drain => CloseRequest::drain(GRACE),
        Cut => CloseRequest::shutdown(mode),
    }
}

fn close(request: CloseRequest) -> CloseOrder {
    CloseOrder::Close { request: Box::new(request), dropped: 0 }
}

fn open() -> Arc<Outbox> {
    let change = |limits: &mut crate::limits::Limits| limits.outbound_messages = 2;
    Arc::new(outbox(Overflow::Reject, change, &Arc::default()))
}

/// Performs an operation and checks the order that the session gets.
fn perform(outbox: &Outbox, operation: Operation, before: State) {
    match operation {
        Request(mode) => outbox.request_close(request(mode)),
        Take(accepted) => {
            let order = outbox.take_close_order(accepted);
            assert_eq!(order, before.order(accepted), "{operation:?} when {before:?}");
        }
        NoteClientEnd => outbox.note_client_end(),
        Close => assert_eq!(outbox.close(&request(Handshake)), 0),
        SendClose => outbox.seal(Some(Bytes::from_static(CLOSE))),
        Seal => outbox.seal(None),
        End => outbox.end(),
    }
}

fn in_state(state: State) -> Arc<Outbox> {
    let outbox = open();
    let path: &[Operation] = match state {
        Open => &[],
        CloseReceived => &[NoteClientEnd],
        Draining => &[Request(Drain)],
        Closing => &[Request(Handshake)],
        Cutting => &[Request(Cut)],
        CloseSent => &[Seal],
        CutRequested => &[Seal, Request(Cut)],
        Ended => &[End],
        CutAfterEnd => &[End, Request(Cut)],
    };
    path.iter().fold(Open, |before, operation| {
        perform(&outbox, *operation, before);
        before.after(*operation)
    });
    outbox
}

fn state_of(outbox: &Outbox) -> State {
    match &outbox.lock().lifecycle {
        Lifecycle::Open => Open,
        Lifecycle::CloseReceived => CloseReceived,
        Lifecycle::CloseRequested(request) => match request.mode {
            Drain => Draining,
            Handshake => Closing,
            Cut => Cutting,
        },
        Lifecycle::CloseSent => CloseSent,
        Lifecycle::CutRequested => CutRequested,
        Lifecycle::Ended => Ended,
        Lifecycle::CutAfterEnd => CutAfterEnd,
    }
}

/// Checks that the lock-free view agrees with the state, and which frames are accepted.
async fn check(outbox: &Outbox, state: State, why: &str) {
    assert_eq!(state_of(outbox), state, "{why}");
    assert_eq!(outbox.is_closed(), !state.accepts_messages(), "{why}");
    assert_eq!(outbox.awaits_close(), matches!(state, Closing | Cutting), "{why}");
    assert_eq!(poll!(pin!(outbox.ending())).is_ready(), state != Open, "{why}");
    assert_eq!(!outbox.lock().lifecycle.is_sealed(), state.accepts_control(), "{why}");
}

#[tokio::test(start_paused = true)]
async fn every_operation_leads_to_the_state_in_the_table() {
    for before in STATES {
        for (operation, _) in TABLE {
            let why = format!("{operation:?} when {before:?}");
            let outbox = in_state(before);
            check(&outbox, before, "before").await;
            perform(&outbox, operation, before);
            check(&outbox, before.after(operation), &why).await;
        }
    }
}

#[test]
fn messages_are_queued_until_the_connection_has_to_close_and_control_frames_until_it_does() {
    for state in STATES {
        let outbox = in_state(state);
        let _ = write(&outbox, usize::MAX);
        let message = || Encoded::raw(b"x");
        let tried = outbox.try_push(message()).is_ok();
        assert_eq!(tried, state.accepts_messages(), "{state:?}");
        let published = outbox.offer(&SharedFrame::new(message()), When::Offered);
        assert_eq!(published != OfferResult::Closed, tried, "{state:?}");
        outbox.push_answer(message());
        let counts = outbox.outbound();
        assert_eq!(counts.queued, if tried { 3 } else { 0 }, "{state:?}");
        let _ = write(&outbox, usize::MAX);
        outbox.ping();
        outbox.pong(b"");
        let sent = write(&outbox, usize::MAX).len();
        assert_eq!(sent, if state.accepts_control() { 4 } else { 0 }, "{state:?}");
    }
}

struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_request_to_close_wakes_the_session() {
    for before in STATES {
        for mode in [Drain, Handshake, Cut] {
            let outbox = in_state(before);
            let wakes = Arc::new(Wakes(AtomicUsize::new(0)));
            let waker = Waker::from(Arc::clone(&wakes));
            let asleep = outbox.sleep(&Context::from_waker(&waker), Writability::Ready, Pending);
            assert_eq!(asleep, before.order(Pending) == CloseOrder::None || before == Draining);
            outbox.request_close(request(mode));
            let changed = before.after(Request(mode)) != before;
            let expected = usize::from(asleep && changed);
            let woken = wakes.0.load(Ordering::Relaxed);
            // A request that changes no state may wake the session, too.
            assert!(woken >= expected && woken <= 1, "{mode:?} when {before:?}");
            // The session checks again before it sleeps.
            let again = outbox.sleep(&Context::from_waker(&waker), Writability::Ready, Answered);
            let after = before.after(Request(mode));
            assert_eq!(again, after.order(Answered) == CloseOrder::None, "{after:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_that_wait_for_the_end_or_for_room_are_woken() {
    const SOON: Duration = Duration::from_secs(1);
    for before in [Open, CloseReceived, Draining] {
        for (operation, _) in TABLE {
            let why = format!("{operation:?} when {before:?}");
            let outbox = in_state(before);
            let after = before.after(operation);
            for _ in 0..2 {
                assert!(push(&outbox, b"x", None, false), "{why}");
            }
            let mut ending = pin!(outbox.ending());
            let mut sending = pin!(outbox.push(Encoded::raw(b"x")));
            assert_eq!(poll!(ending.as_mut()).is_pending(), before == Open, "{why}");
            assert!(poll!(sending.as_mut()).is_pending(), "{why}");
            perform(&outbox, operation, before);
            if before == Open {
                assert_eq!(timeout(SOON, ending).await.is_ok(), after != Open, "{why}");
            }
            let sent = timeout(SOON, sending).await;
            match after.accepts_messages() {
                true => assert!(sent.is_err(), "{why}"),
                false => assert!(matches!(sent, Ok(Err(SendError::Closed))), "{why}: {sent:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn senders_that_wait_for_room_give_up_after_the_grace_of_a_drain() {
    for before in [Open, Draining] {
        let outbox = in_state(before);
        for _ in 0..2 {
            assert!(push(&outbox, b"x", None, false));
        }
        let senders = [(), ()].map(|()| outbox.push(Encoded::raw(b"x")));
        let mut sending = pin!(join_all(senders));
        assert!(poll!(sending.as_mut()).is_pending());
        outbox.request_close(request(Drain));
        let started = Instant::now();
        let sent = sending.await;
        assert!(sent.iter().all(|sent| matches!(sent, Err(SendError::Closed))), "{sent:?}");
        // Tokio's timer rounds up.
        assert!(started.elapsed() - GRACE <= Duration::from_millis(1), "{before:?}");
    }
}

#[test]
fn after_the_end_no_message_waits_and_each_is_counted_once() {
    let totals = Arc::default();
    for state in STATES {
        let outbox = outbox(Overflow::Reject, |_| {}, &totals);
        for _ in 0..3 {
            assert!(push(&outbox, b"message", None, false));
        }
        let _ = write(&outbox, 9);
        if state != Ended {
            outbox.request_close(request(Handshake));
        }
        outbox.end();
        outbox.end();
        let counts = outbox.outbound();
        assert_eq!((counts.queued, counts.sent, counts.dropped), (3, 1, 2));
        assert_eq!((counts.pending, counts.pending_bytes), (0, 0));
    }
    let all = totals.with([]);
    assert_eq!((all.queued, all.sent, all.dropped, all.pending), (27, 9, 18, 0));
}

/// Returns the first byte of each frame that a client has received.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut firsts = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        firsts.push(*first);
        bytes = &rest[usize::from(*length)..];
    }
    firsts
}

/// Performs random operations in random order. The session closes only once.
async fn walk(seed: u64) {
    let totals = Arc::default();
    // There is always room, so a message is refused only because of the state.
    let outbox = outbox(Overflow::Reject, |limits| limits.outbound_messages = 100, &totals);
    let (mut state, mut closed, mut accepted) = (Open, false, 0);
    let mut random = Random(seed);
    let mut sent = Vec::new();
    for step in 0..60 {
        let why = format!("seed {seed}, step {step}");
        match random.below(12) {
            0..4 => {
                let queued = outbox.try_push(Encoded::raw(b"message")).is_ok();
                assert_eq!(queued, state.accepts_messages(), "{why}");
                accepted += u64::from(queued);
            }
            4 => outbox.ping(),
            5 => outbox.pong(b"pong"),
            6..8 => sent.extend(write(&outbox, random.below(40))),
            8 => {
                let mode = [Drain, Handshake, Cut][random.below(3)];
                perform(&outbox, Request(mode), state);
                state = state.after(Request(mode));
            }
            9 => {
                perform(&outbox, NoteClientEnd, state);
                state = state.after(NoteClientEnd);
            }
            _ => {
                let accepted = [Pending, Answered][random.below(2)];
                let order = state.order(accepted);
                perform(&outbox, Take(accepted), state);
                state = state.after(Take(accepted));
                closed |= matches!(order, CloseOrder::Close { .. });
                // The client may also have closed, or the session ends for another reason.
                if !closed && random.below(20) == 0 {
                    closed = true;
                    let operation = [Close, SendClose, Seal][random.below(3)];
                    perform(&outbox, operation, state);
                    state = state.after(operation);
                }
                if order == CloseOrder::Cut {
                    outbox.end();
                    state = Ended;
                }
            }
        }
        check(&outbox, state, &why).await;
        let counts = outbox.outbound();
        assert_eq!(counts.queued, accepted, "{why}");
        assert_eq!(counts.queued, counts.sent + counts.dropped + counts.pending, "{why}");
    }
    sent.extend(write(&outbox, usize::MAX));
    if !matches!(state, Ended | CutAfterEnd) {
        let firsts = frames(&sent);
        let close = firsts.iter().position(|first| *first == CLOSE[0]);
        assert!(close.is_none_or(|at| at + 1 == firsts.len()), "seed {seed}: {firsts:x?}");
    }
    outbox.end();
    let counts = totals.with([]);
    assert_eq!((counts.queued, counts.pending), (accepted, 0), "seed {seed}");
    assert_eq!(counts.sent + counts.dropped, accepted, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn in_any_order_the_close_frame_is_the_last_and_no_message_is_miscounted() {
    for seed in 1..=3_000 {
        walk(seed).await;
    }
}
