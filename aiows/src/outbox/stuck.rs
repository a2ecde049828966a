//! The bound on what waits for all sockets that refuse bytes: it acts on the largest queues.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use super::State;

/// What one queue holds of the bytes that wait for sockets that refuse them.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    bytes: AtomicUsize,
    status: AtomicU8,
    /// The session, while it sleeps and its socket refuses bytes.
    session: Mutex<Option<Waker>>,
}

const COUNTED: u8 = 0;
/// Another queue needs the bytes: the session must close its connection.
const CHOSEN: u8 = 1;
/// The session was told.
const CLOSED: u8 = 2;

/// The queues of all sockets that refuse bytes.
#[derive(Debug, Default)]
pub(super) struct StuckQueues {
    /// The bytes of all of them.
    bytes: AtomicUsize,
    /// No queue holds more bytes than this; lowered when the bound is reached.
    largest: AtomicUsize,
    queues: Mutex<Vec<Weak<Stuck>>>,
}

impl Stuck {
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

impl StuckQueues {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Stuck>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self) -> Arc<Stuck> {
        let stuck = Arc::<Stuck>::default();
        let mut queues = self.lock();
        if queues.len() == queues.capacity() {
            queues.retain(|queue| queue.strong_count() > 0);
        }
        queues.push(Arc::downgrade(&stuck));
        stuck
    }

    fn set(&self, stuck: &Stuck, bytes: usize) {
        let before = stuck.bytes.swap(bytes, Ordering::SeqCst);
        // Wraps around where it has become less.
        self.bytes.fetch_add(bytes.wrapping_sub(before), Ordering::Relaxed);
        // In this order, see `lower_largest`.
        if bytes > self.largest.load(Ordering::SeqCst) {
            self.largest.fetch_max(bytes, Ordering::SeqCst);
        }
    }

    /// Chooses the largest of `queues` if it has more than `own` bytes; `None` when there is none.
    fn choose<'a>(&self, queues: &'a [Arc<Stuck>], own: usize) -> Option<&'a Stuck> {
        let (mut chosen, mut most, mut second) = (None, own, own);
        for stuck in queues.iter().filter(|stuck| stuck.is_counted()) {
            let bytes = stuck.bytes.load(Ordering::Acquire);
            if bytes > most {
                second = most;
                (chosen, most) = (Some(stuck), bytes);
            } else {
                second = second.max(bytes);
            }
        }
        let stuck = chosen.filter(|stuck| stuck.change_status(COUNTED, CHOSEN));
        if let Some(stuck) = stuck {
            self.set(stuck, 0);
        }
        self.lower_largest(queues, second);
        stuck.map(|stuck| &**stuck)
    }

    /// Called when there is room: others look at it without the lock.
    fn lower_largest(&self, queues: &[Arc<Stuck>], size: usize) {
        self.largest.store(size, Ordering::SeqCst);
        // A queue that has grown meanwhile has compared itself with the former value. Either its bytes
        // are seen here, or it sees the value stored above.
        let grown = queues.iter().map(|stuck| stuck.bytes.load(Ordering::SeqCst)).max();
        self.largest.fetch_max(grown.unwrap_or(0), Ordering::SeqCst);
    }
}

impl StuckQueues {
    /// The bytes that wait in all queues whose sockets refuse them, without `own` of them.
    pub(super) fn without(&self, own: usize) -> usize {
        self.bytes.load(Ordering::Relaxed).saturating_sub(own)
    }

    /// Whether a queue that has `counted` bytes by now may hold `own`: within the bound any, beyond
    /// it those that hold less than others.
    pub(super) fn may_hold(&self, own: usize, counted: usize, bound: usize) -> bool {
        let fits = || self.without(counted).saturating_add(own) <= bound;
        // Once more, since another sender may have made room between the two looks.
        fits() || own < self.largest.load(Ordering::Acquire) || fits()
    }

    /// Makes `own` bytes fit into the bound, and chooses larger queues to be closed for it; `false`
    /// when there are none.
    pub(super) fn relieve(
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
        // Declared first: what is dropped last is dropped without the lock.
        let mut queues = Vec::new();
        // Senders choose one after another. Two that chose the same queue would leave one of them
        // without, and two that chose different ones might close a connection in vain.
        let all = self.lock();
        queues.extend(all.iter().filter_map(Weak::upgrade));
        while !fits() {
            let Some(stuck) = self.choose(&queues, own) else { return false };
            closed.extend(stuck.lock().take());
        }
        true
    }
}

impl State {
    /// What the totals have of the bytes that wait here.
    pub(super) fn accounted(&self) -> usize {
        self.stuck.as_ref().map_or(0, |stuck| stuck.bytes.load(Ordering::Relaxed))
    }

    pub(super) fn account_stuck(&mut self, queues: &StuckQueues) {
        let bytes = if self.blocked { self.queue.size() } else { 0 };
        match &self.stuck {
            None if bytes == 0 => {}
            None => {
                let stuck = self.stuck.insert(queues.add());
                queues.set(stuck, bytes);
            }
            Some(stuck) => {
                if !self.blocked && !stuck.is_counted() {
                    // It was chosen, but reads again before its session has seen that.
                    stuck.change_status(CHOSEN, COUNTED);
                }
                let bytes = if stuck.is_counted() { bytes } else { 0 };
                if stuck.bytes.load(Ordering::Relaxed) != bytes {
                    queues.set(stuck, bytes);
                }
            }
        }
    }

    /// Notes who is to be woken when the queue is chosen to be closed; `true` when it is already.
    pub(super) fn await_choice(&self, session: &Waker) -> bool {
        let Some(stuck) = self.stuck.as_ref().filter(|_| self.blocked) else {
            return false;
        };
        *stuck.lock() = Some(session.clone());
        stuck.change_status(CHOSEN, CLOSED)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    /// Two threads meet at every round; the queue that grows stands before many others, which the
    /// choice looks at after it.
    #[test]
    fn a_queue_that_grows_during_a_choice_is_not_above_the_largest() {
        const ROUNDS: usize = 5_000;
        let all = StuckQueues::default();
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
