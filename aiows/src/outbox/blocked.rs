//! The limit on the bytes that wait for all blocked sockets together. If it is exceeded, the
//! largest queues are closed.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use super::State;

/// One queue's part of the bytes that wait for blocked sockets.
#[derive(Debug, Default)]
pub(super) struct BlockedQueue {
    bytes: AtomicUsize,
    /// `COUNTED`, `CHOSEN` or `CLOSED`.
    status: AtomicU8,
    /// Wakes the session. Set while it sleeps and its socket refuses bytes.
    session: Mutex<Option<Waker>>,
}

const COUNTED: u8 = 0;
/// The queue was chosen to make room for another one: its session must close the connection.
const CHOSEN: u8 = 1;
/// The session has seen that, and closes the connection.
const CLOSED: u8 = 2;

/// The queues of all blocked sockets: those that refuse bytes.
#[derive(Debug, Default)]
pub(super) struct BlockedQueues {
    /// The sum of their bytes.
    bytes: AtomicUsize,
    /// An upper bound for the bytes of a single queue. Lowered when a queue is chosen.
    largest: AtomicUsize,
    queues: Mutex<Vec<Weak<BlockedQueue>>>,
}

impl BlockedQueue {
    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_counted(&self) -> bool {
        self.status.load(Ordering::Acquire) == COUNTED
    }

    fn change_status(&self, from: u8, to: u8) -> bool {
        self.status.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }
}

impl BlockedQueues {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<BlockedQueue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self) -> Arc<BlockedQueue> {
        let queue = Arc::<BlockedQueue>::default();
        let mut queues = self.lock();
        if queues.len() == queues.capacity() {
            queues.retain(|queue| queue.strong_count() > 0);
        }
        queues.push(Arc::downgrade(&queue));
        queue
    }

    fn set(&self, queue: &BlockedQueue, bytes: usize) {
        let before = queue.bytes.swap(bytes, Ordering::SeqCst);
        // Adding a negative difference wraps around.
        self.bytes.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
        // This order matters; see `lower_largest`.
        if bytes > self.largest.load(Ordering::SeqCst) {
            self.largest.fetch_max(bytes, Ordering::SeqCst);
        }
    }

    /// Chooses the largest of `queues` to be closed if it holds more than `own` bytes; `None` if
    /// there is none.
    fn choose<'a>(&self, queues: &'a [Arc<BlockedQueue>], own: usize) -> Option<&'a BlockedQueue> {
        let (mut chosen, mut most, mut second) = (None, own, own);
        for queue in queues.iter().filter(|queue| queue.is_counted()) {
            let bytes = queue.bytes.load(Ordering::Acquire);
            if bytes > most {
                second = most;
                (chosen, most) = (Some(queue), bytes);
            } else {
                second = second.max(bytes);
            }
        }
        let queue = chosen.filter(|queue| queue.change_status(COUNTED, CHOSEN));
        if let Some(queue) = queue {
            self.set(queue, 0);
        }
        self.lower_largest(queues, second);
        queue.map(|queue| &**queue)
    }

    /// Lowers `largest`, which other threads read and raise without the lock.
    fn lower_largest(&self, queues: &[Arc<BlockedQueue>], size: usize) {
        self.largest.store(size, Ordering::SeqCst);
        // A queue that has grown in the meantime has compared itself with the former value. Either
        // its bytes are seen here, or it sees the value stored above.
        let grown = queues.iter().map(|queue| queue.bytes.load(Ordering::SeqCst)).max();
        self.largest.fetch_max(grown.unwrap_or(0), Ordering::SeqCst);
    }
}

impl BlockedQueues {
    /// Returns the bytes that wait for all blocked sockets, without `own` of them.
    pub(super) fn without(&self, own: usize) -> usize {
        self.bytes.load(Ordering::Relaxed).saturating_sub(own)
    }

    /// Whether a queue that is counted with `counted` bytes may hold `own`. Within the limit any
    /// queue may; beyond it, only one that holds less than another.
    pub(super) fn may_hold(&self, own: usize, counted: usize, bound: usize) -> bool {
        let fits = || self.without(counted).saturating_add(own) <= bound;
        // Checked once more, because another sender may have made room between the two checks.
        fits() || own < self.largest.load(Ordering::Acquire) || fits()
    }

    /// Makes `own` bytes fit into the limit by choosing larger queues to be closed; `false` if
    /// there are none.
    pub(super) fn close_larger(
        &self,
        own: usize,
        counted: usize,
        bound: usize,
        closed: &mut Vec<Waker>,
    ) -> bool {
        let fits = || self.without(counted).saturating_add(own) <= bound;
        if fits() {
            return true;
        }
        // Declared before the guard, so that it is dropped after the lock is released.
        let mut queues = Vec::new();
        // Senders choose one after another. If two of them chose at once, they could choose the
        // same queue, which makes room for only one of them, or close two queues where one is
        // enough.
        let all = self.lock();
        queues.extend(all.iter().filter_map(Weak::upgrade));
        while !fits() {
            let Some(queue) = self.choose(&queues, own) else { return false };
            closed.extend(queue.lock().take());
        }
        true
    }
}

impl State {
    /// Returns the bytes of this queue that the total includes.
    pub(super) fn accounted(&self) -> usize {
        self.blocked_queue.as_ref().map_or(0, |queue| queue.bytes.load(Ordering::Relaxed))
    }

    /// Updates the total with the bytes that wait here.
    pub(super) fn account_blocked(&mut self, queues: &BlockedQueues) {
        let bytes = if self.is_blocked { self.queue.size() } else { 0 };
        match &self.blocked_queue {
            None if bytes == 0 => {}
            None => {
                let queue = self.blocked_queue.insert(queues.add());
                queues.set(queue, bytes);
            }
            Some(queue) => {
                if !self.is_blocked && !queue.is_counted() {
                    // The queue was chosen, but its client reads again before its session has
                    // noticed.
                    queue.change_status(CHOSEN, COUNTED);
                }
                let bytes = if queue.is_counted() { bytes } else { 0 };
                if queue.bytes.load(Ordering::Relaxed) != bytes {
                    queues.set(queue, bytes);
                }
            }
        }
    }

    /// Stores the session's waker for the case that the queue is chosen; `true` if it is chosen
    /// already.
    pub(super) fn await_choice(&self, session: &Waker) -> bool {
        let Some(queue) = self.blocked_queue.as_ref().filter(|_| self.is_blocked) else {
            return false;
        };
        *queue.lock() = Some(session.clone());
        queue.change_status(CHOSEN, CLOSED)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    /// Two threads meet in every round. The growing queue stands before many others, so the choice
    /// reads it first.
    #[test]
    fn a_queue_that_grows_while_another_is_chosen_stays_below_the_upper_bound() {
        const ROUNDS: usize = 5_000;
        let all = BlockedQueues::default();
        let queues: Vec<_> = (0..500).map(|_| all.add()).collect();
        let (growing, chosen) = (&queues[0], &queues[499]);
        let meet = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    meet.wait();
                    all.set(growing, 90);
                    meet.wait();
                }
            });
            let largest = (0..ROUNDS).map(|_| {
                all.set(growing, 10);
                chosen.status.store(COUNTED, Ordering::Relaxed);
                all.set(chosen, 100);
                meet.wait();
                all.choose(&queues, 20);
                meet.wait();
                all.largest.load(Ordering::Relaxed)
            });
            let lowest = largest.collect::<Vec<_>>().into_iter().min();
            assert_eq!(lowest, Some(90));
        });
    }
}
