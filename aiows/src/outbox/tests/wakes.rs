//! The task that writes a message, and the tasks that are woken for it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::poll;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::super::{
    AcceptedMessages, CloseOrder, OfferResult, Outbox, SharedFrame, When, Writability,
};
use super::{block, outbox, push};
use crate::codec::Encoded;
use crate::limits::{Limits, Overflow};
use crate::transport::{Io, Transport};

/// A session that counts how often it is woken.
struct Session(Arc<Wakes>);

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Session {
    /// Returns a session that sleeps.
    fn asleep(outbox: &Outbox, writability: Writability) -> Self {
        let wakes = Arc::<Wakes>::default();
        let waker = Waker::from(Arc::clone(&wakes));
        assert!(outbox.sleep(
            &Context::from_waker(&waker),
            writability,
            AcceptedMessages::Answered
        ));
        Self(wakes)
    }

    fn wakes(&self) -> usize {
        self.0.0.load(Ordering::Relaxed)
    }
}

/// Opens an outbox that writes to plain TCP, to a client with a small receive buffer.
async fn open_tcp(outbox: &Outbox) -> (TcpStream, Io) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
    let (io, writer) = listener.accept().await.unwrap().0.split();
    outbox.open(None, writer);
    (client, io)
}

fn frame(size: usize) -> SharedFrame {
    SharedFrame::new(Encoded::raw(&vec![b'x'; size]))
}

#[test]
fn a_session_is_woken_for_a_message_only_if_its_socket_took_all_bytes() {
    for (writability, wakes) in [(Writability::Ready, 1), (Writability::Blocked, 0)] {
        for shared in [false, true] {
            let outbox = outbox(Overflow::Reject, |_| {}, &Arc::default());
            outbox.open(None, None);
            if writability == Writability::Blocked {
                assert!(push(&outbox, b"one", None, shared));
                block(&outbox);
            }
            let session = Session::asleep(&outbox, writability);
            for text in [b"two", b"tri"] {
                assert!(push(&outbox, text, None, shared));
            }
            assert_eq!(session.wakes(), wakes, "{writability:?} {shared}");
        }
    }
}

#[tokio::test]
async fn a_session_over_tcp_sleeps_while_publishers_write() {
    let narrow = |limits: &mut Limits| limits.outbound_messages = 1;
    let outbox = outbox(Overflow::Reject, narrow, &Arc::default());
    let (mut client, _io) = open_tcp(&outbox).await;
    let session = Session::asleep(&outbox, Writability::Ready);
    assert_eq!(outbox.offer(&frame(1), When::Offered), OfferResult::Deferred);
    // The queue is full, so the publisher writes it.
    for _ in 0..3 {
        assert_eq!(outbox.offer(&frame(1), When::Offered), OfferResult::Queued);
    }
    assert_eq!((outbox.outbound().sent, outbox.outbound().pending), (3, 1));
    outbox.flush_deferred();
    assert_eq!((outbox.outbound().sent, session.wakes()), (4, 0));
    assert_eq!(client.read(&mut [0; 100]).await.unwrap(), 4 * 3);
}

#[tokio::test]
async fn a_publisher_that_makes_room_over_tcp_wakes_the_senders_that_wait_for_it() {
    let outbox = outbox(Overflow::Reject, |_| {}, &Arc::default());
    let (mut client, _io) = open_tcp(&outbox).await;
    let text = [b'x'; 50_000];
    while push(&outbox, &text, None, false) {}
    let mut waiting = Box::pin(outbox.push(Encoded::raw(&text)));
    assert!(poll!(&mut waiting).is_pending());
    let mut buffer = vec![0; 1 << 20];
    let sent = loop {
        assert!(client.read(&mut buffer).await.unwrap() > 0);
        let before = outbox.outbound();
        assert_ne!(outbox.offer(&frame(1), When::Offered), OfferResult::Dropped);
        if outbox.outbound().sent > before.sent {
            break poll!(&mut waiting);
        }
    };
    assert!(matches!(sent, Poll::Ready(Ok(()))), "{sent:?}");
}

#[tokio::test]
async fn a_part_of_a_list_waits_if_a_write_leaves_no_room_for_it() {
    const MIB: usize = 1 << 20;
    let large = |limits: &mut Limits| limits.outbound_size = 80 * MIB;
    let outbox = outbox(Overflow::Reject, large, &Arc::default());
    let (_client, _io) = open_tcp(&outbox).await;
    // More than half of the queue, even without the bytes that the kernel takes.
    let (text, messages) = (frame(6 * MIB), 11);
    for _ in 0..messages {
        assert_eq!(outbox.offer(&text, When::Offered), OfferResult::Queued);
    }
    assert_eq!(outbox.offer(&frame(1), When::Never), OfferResult::Full);
    let counts = outbox.outbound();
    assert_eq!((counts.queued, counts.pending + counts.sent), (messages, messages));
    assert!(outbox.written() > 0);
}

#[test]
fn an_interrupted_write_is_tried_again() {
    let outbox = outbox(Overflow::Reject, |_| {}, &Arc::default());
    assert!(push(&outbox, b"one", None, false));
    let mut results = vec![Ok(5), Err(io::ErrorKind::Interrupted.into())];
    let flushed = outbox.flush(|_, _| results.pop().unwrap());
    assert!(matches!(flushed, Poll::Ready(Ok(()))), "{flushed:?}");
    assert_eq!((outbox.outbound().sent, results.len()), (1, 0));
}

#[test]
fn a_session_that_is_awake_is_not_woken() {
    for shared in [false, true] {
        let outbox = outbox(Overflow::Reject, |_| {}, &Arc::default());
        outbox.open(None, None);
        let session = Session::asleep(&outbox, Writability::Ready);
        assert_eq!(outbox.take_close_order(AcceptedMessages::Answered), CloseOrder::None);
        assert!(push(&outbox, b"one", None, shared));
        assert_eq!(session.wakes(), 0, "{shared}");
    }
}

#[tokio::test]
async fn a_message_is_refused_if_a_write_leaves_no_room_for_it() {
    const MIB: usize = 1 << 20;
    let large = |limits: &mut Limits| limits.outbound_size = 80 * MIB;
    let outbox = outbox(Overflow::Reject, large, &Arc::default());
    let (_client, _io) = open_tcp(&outbox).await;
    let text = frame(78 * MIB);
    assert_eq!(outbox.offer(&text, When::Offered), OfferResult::Queued);
    for _ in 0..2 {
        assert!(!push(&outbox, &vec![b'x'; 8 * MIB], None, false));
    }
    let counts = outbox.outbound();
    assert_eq!((counts.queued, counts.pending), (1, 1));
    assert!(outbox.written() > 0);
}
