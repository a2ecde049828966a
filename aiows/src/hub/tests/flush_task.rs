//! The writes of a broadcast to plain TCP, while the sessions of its recipients sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::task::yield_now;

use crate::codec::{Encoded, Tag};
use crate::hub::flush_task::{CHUNK, FlushTask};
use crate::hub::*;
use crate::limits::Limits;
use crate::outbox::{AcceptedMessages, OfferResult, Outbox, SharedFrame, When, Writability};
use crate::transport::{Io, Transport};
use crate::websocket::{Members, Peer};

/// Counts how often sessions are woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Members with sleeping sessions. Each has a message that waits for its deferred flush.
struct Crowd {
    members: Members,
    wakes: Arc<Wakes>,
    _streams: Vec<(TcpStream, Io)>,
}

impl Crowd {
    async fn new(size: usize) -> Self {
        let (_, namespace) = Hub::with_default_rules();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wakes = Arc::<Wakes>::default();
        let waker = Waker::from(Arc::clone(&wakes));
        let frame = SharedFrame::new(Encoded::raw(b"news"));
        let (mut members, mut streams) = (Vec::new(), Vec::new());
        for _ in 0..size {
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (io, writer) = listener.accept().await.unwrap().0.split();
            let outbox = Outbox::new(&Limits::default(), Arc::default());
            let socket =
                WebSocket::new(outbox, Peer::default(), Tag::default(), namespace.registry());
            let (outbox, cx) = (socket.outbox(), Context::from_waker(&waker));
            outbox.open(None, writer);
            assert!(outbox.sleep(&cx, Writability::Ready, AcceptedMessages::Answered));
            assert_eq!(outbox.offer(&frame, When::Offered), OfferResult::Deferred);
            members.push(socket);
            streams.push((client, io));
        }
        Self { members: members.into(), wakes, _streams: streams }
    }

    /// Returns the members that the message is written to, and how many sessions were woken.
    fn state(&self) -> (usize, usize) {
        let is_written = |member: &&WebSocket| member.outbox().outbound().sent == 1;
        (self.members.iter().filter(is_written).count(), self.wakes.0.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_flush_task_writes_to_its_members_and_wakes_no_session() {
    let crowd = Crowd::new(CHUNK + 2).await;
    let mut task = FlushTask::new(&crowd.members, 0);
    task.include(CHUNK);
    task.spawn(Some(&Handle::current()));
    assert_eq!(crowd.state(), (0, 0));
    yield_now().await;
    // Other tasks get a turn after a chunk.
    assert_eq!(crowd.state(), (CHUNK, 0));
    yield_now().await;
    assert_eq!(crowd.state(), (CHUNK + 1, 0));
}

#[tokio::test]
async fn the_sessions_write_what_a_flush_task_has_not_written() {
    let crowd = Crowd::new(4).await;
    let mut task = FlushTask::new(&crowd.members, 1);
    task.include(2);
    // No runtime can run the task.
    task.spawn(None);
    assert_eq!(crowd.state(), (0, 2));
}
