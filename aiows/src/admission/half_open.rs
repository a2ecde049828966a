use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::limits::deadline_after;

/// The time a client may be silent before it is dropped for another one, if there is no room.
const FIRST_BYTE: Duration = Duration::from_millis(20);

/// The time between two clients that are dropped for others. Before a timer fires, the runtime
/// notices which sockets are readable, so a client does not count as silent once its request has
/// arrived.
const LOOK: Duration = Duration::from_millis(1);

/// Bounds the sockets that wait for a decision about their request.
pub(super) struct Handshakes {
    room: Arc<Semaphore>,
    silent: Mutex<Silent>,
}

/// Clients that are being served and have not sent a byte, the oldest first.
#[derive(Default)]
struct Silent {
    next: u64,
    clients: BTreeMap<u64, Client>,
}

struct Client {
    since: Instant,
    leave: Arc<Notify>,
}

/// A connection until its request is decided. Boxed, so that a session keeps no space for it.
pub(crate) struct HalfOpen(Box<Inner>);

struct Inner {
    deadline: Instant,
    /// `None` for a stream of the application, which bounds the number of its streams itself.
    silence: Option<Silence>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// An entry in the list of silent clients.
struct Silence {
    handshakes: Arc<Handshakes>,
    number: u64,
    leave: Arc<Notify>,
    is_over: AtomicBool,
}

impl Handshakes {
    pub(super) fn new(limit: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(limit)), silent: Mutex::default() }
    }

    /// Waits for room for a socket that has just been accepted. If there is none, the client that
    /// has been silent for longest is dropped.
    pub(super) async fn enter(self: &Arc<Self>, timeout: Duration) -> HalfOpen {
        let (accepted, deadline) = (Instant::now(), deadline_after(timeout));
        let mut permit = Box::pin(Arc::clone(&self.room).acquire_owned());
        let permit = loop {
            tokio::select! {
                biased;
                permit = &mut permit => break permit,
                () = self.make_room() => {}
            }
        };
        // The request gets some time, even if the socket has waited long for room.
        let deadline = deadline.max(deadline_after(timeout / 10));
        let silence = Some(self.enlist(accepted));
        // The semaphore is never closed.
        HalfOpen(Box::new(Inner { deadline, silence, _permit: permit.ok() }))
    }

    fn enlist(self: &Arc<Self>, since: Instant) -> Silence {
        let leave = Arc::new(Notify::new());
        let mut silent = self.silent();
        let number = silent.next;
        silent.next += 1;
        silent.clients.insert(number, Client { since, leave: Arc::clone(&leave) });
        drop(silent);
        Silence { handshakes: Arc::clone(self), number, leave, is_over: AtomicBool::new(false) }
    }

    /// Drops the oldest silent client, once it has had the time to send something.
    async fn make_room(&self) {
        let oldest = self.silent().clients.first_entry().map(|oldest| oldest.get().since);
        let now = Instant::now();
        let timeout = oldest.unwrap_or(now) + FIRST_BYTE;
        sleep_until(timeout.max(now + LOOK)).await;
        let mut silent = self.silent();
        if let Some(oldest) = silent.clients.first_entry()
            && oldest.get().since.elapsed() >= FIRST_BYTE
        {
            oldest.remove().leave.notify_one();
        }
    }

    fn silent(&self) -> MutexGuard<'_, Silent> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HalfOpen {
    /// Makes a half-open connection that is not counted.
    pub(super) fn uncounted(timeout: Duration) -> Self {
        let deadline = deadline_after(timeout);
        Self(Box::new(Inner { deadline, silence: None, _permit: None }))
    }

    /// Returns the time at which the head of the request must have arrived.
    pub(super) fn deadline(&self) -> Instant {
        self.0.deadline
    }

    /// Called when the client has sent something. It may then stay until the deadline.
    pub(super) fn end_silence(&self) {
        if let Some(silence) = &self.0.silence {
            silence.end();
        }
    }

    /// Waits until this client is dropped for another one.
    pub(super) async fn must_leave(&self) {
        let Some(silence) = &self.0.silence else { return pending().await };
        silence.leave.notified().await;
        // The client may have sent something since it was chosen.
        if silence.is_over.load(Ordering::Relaxed) {
            pending::<()>().await;
        }
        tracing::debug!("a silent client gives way to another one");
    }
}

impl Silence {
    fn end(&self) {
        if !self.is_over.swap(true, Ordering::Relaxed) {
            self.handshakes.silent().clients.remove(&self.number);
        }
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(3);

    fn handshakes(limit: usize) -> Arc<Handshakes> {
        Arc::new(Handshakes::new(limit))
    }

    /// Runs a client that sends no byte, and returns how long it stays.
    async fn stay(client: HalfOpen) -> Duration {
        let entered = Instant::now();
        tokio::select! {
            () = client.must_leave() => {}
            () = sleep_until(client.deadline()) => {}
        }
        entered.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn silent_clients_are_dropped_in_the_order_they_arrived() {
        let (handshakes, start) = (handshakes(5), Instant::now());
        let mut clients = Vec::new();
        for _ in 0..30 {
            clients.push(tokio::spawn(stay(handshakes.enter(TIMEOUT).await)));
        }
        let last = handshakes.enter(TIMEOUT).await;
        assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
        for (number, client) in clients.into_iter().enumerate() {
            let stayed = client.await.unwrap();
            match number {
                ..26 => assert!(stayed < Duration::from_millis(50), "{number}: {stayed:?}"),
                _ => assert!(stayed >= TIMEOUT - Duration::from_millis(200), "{stayed:?}"),
            }
        }
        drop(last);
        assert!(handshakes.silent().clients.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_has_sent_something_stays_and_the_next_one_has_a_deadline_of_its_own() {
        let (handshakes, start) = (handshakes(1), Instant::now());
        let first = handshakes.enter(TIMEOUT).await;
        first.end_silence();
        let first = tokio::spawn(stay(first));
        let second = handshakes.enter(TIMEOUT).await;
        assert_eq!(first.await.unwrap(), TIMEOUT);
        // It was accepted with the first one, and still gets some time.
        assert_eq!(start.elapsed().as_secs(), 3);
        let left = second.deadline() - Instant::now();
        assert_eq!(left.as_millis() / 10, (TIMEOUT / 10).as_millis() / 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_something_when_it_is_chosen_stays_and_the_next_one_is_dropped() {
        let handshakes = handshakes(2);
        let first = handshakes.enter(TIMEOUT).await;
        let second = tokio::spawn(stay(handshakes.enter(TIMEOUT).await));
        let first = tokio::spawn(async move {
            first.0.silence.as_ref().unwrap().leave.notified().await;
            first.end_silence();
            first.0.silence.as_ref().unwrap().leave.notify_one();
            stay(first).await
        });
        let third = handshakes.enter(TIMEOUT).await;
        assert!(second.await.unwrap() < Duration::from_millis(50));
        drop(third);
        assert!(first.await.unwrap() > Duration::from_secs(2));
    }
}
