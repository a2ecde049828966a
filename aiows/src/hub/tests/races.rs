//! Threads join, leave, send and disconnect at random. Between rounds a check compares both sides
//! of every membership.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::hint;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::json;

use crate::codec::Tag;
use crate::hub::registration::Registration;
use crate::hub::*;
use crate::limits::Limits;
use crate::outbox::Outbox;
use crate::websocket::Peer;

const ROOMS: [&str; 2] = ["a", "b"];
const USERS: [&str; 2] = ["ann", "bob"];
const THREADS: usize = 4;
const SOCKETS: usize = 4;
const ROUNDS: usize = 2_000;
/// Steps of each thread per round. Rounds are many and short because races are only detected
/// between them.
const STEPS: usize = 50;
/// Visits of each thread, which uses its connection alone.
const VISITS: usize = 50_000;
/// Members that end one after the other in each meeting, and the number of meetings.
const GUESTS: usize = 200;
const MEETINGS: usize = 200;
/// Connections that are closed one after the other.
const CLOSES: usize = 5_000;

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) >> 33).unwrap() % end
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Connections, some of which are replaced while other threads use them.
struct Crowd {
    hub: Hub,
    namespace: Arc<Namespace>,
    places: Vec<Mutex<(WebSocket, Registration)>>,
}

impl Crowd {
    fn new() -> Self {
        let (hub, namespace) = Hub::with_default_rules();
        let places = (0..SOCKETS).map(|_| Mutex::new(connect(&namespace))).collect();
        Self { hub, namespace, places }
    }

    fn step(&self, random: &mut Random) {
        let place = &self.places[random.below(SOCKETS)];
        let socket = place.lock().unwrap().0.clone();
        let room = random.of(&ROOMS);
        match random.below(16) {
            0..4 => drop(socket.join(room).now_or_never().expect("joining does not wait")),
            4 => {
                let about = json!({ "number": random.below(3) });
                // The connection may have no user, or change it at the same time.
                drop(
                    socket
                        .join_as_user(room, &about)
                        .now_or_never()
                        .expect("joining does not wait"),
                );
            }
            5 => {
                let about = json!({ "number": random.below(3) });
                drop(socket.join_as(room, &about).now_or_never().expect("joining does not wait"));
            }
            6..11 => drop(socket.leave(room)),
            11 => drop(socket.set_user(random.of(&USERS))),
            12 => drop(socket.clear_user()),
            13 => {
                let sent = self.hub.room(room).except(socket.id()).send_text("x");
                let sent = sent.now_or_never().unwrap().unwrap();
                assert!(sent.accepted + sent.refused <= SOCKETS);
            }
            // Another connection may have the name.
            14 => drop(socket.set_name(room)),
            // Other threads may still use the old connection.
            _ => drop(std::mem::replace(&mut *place.lock().unwrap(), connect(&self.namespace))),
        }
    }

    /// Empties a room again and again: its last member leaves while the next one joins.
    fn visit(&self, thread: usize) {
        let socket = self.places[thread].lock().unwrap().0.clone();
        let is_there = || self.hub.members("a").iter().any(|member| member.id() == socket.id());
        for visit in 0..VISITS {
            socket.join("a").now_or_never().unwrap().unwrap();
            assert!(is_there(), "not a member in visit {visit}");
            assert!(socket.leave("a").was_member());
            assert!(!is_there(), "still a member after visit {visit}");
        }
    }

    /// Checks that both sides of every membership agree, and that no entry is left over.
    fn check(&self) {
        let sockets: Vec<_> =
            self.places.iter().map(|place| place.lock().unwrap().0.clone()).collect();
        let mut rooms = BTreeMap::<String, BTreeSet<ConnectionId>>::new();
        let mut users = BTreeMap::<String, BTreeSet<ConnectionId>>::new();
        for socket in &sockets {
            if let Some(name) = socket.name() {
                assert_eq!(self.hub.named(name).map(|it| it.id()), Some(socket.id()));
            }
            for room in socket.rooms() {
                assert!(rooms.entry(room).or_default().insert(socket.id()), "joined twice");
            }
            if let Some(user) = socket.user() {
                users.entry(user.as_ref().to_owned()).or_default().insert(socket.id());
            }
        }
        self.check_groups(&rooms, self.hub.room_names(), |room| self.hub.members(room));
        self.check_groups(&users, self.hub.user_names(), |user| self.hub.connections_of(user));
        for (room, ids) in &rooms {
            assert_eq!(self.hub.room_size(room), ids.len());
            let infos = self.hub.member_infos(room);
            let there = sockets.iter().filter(|socket| ids.contains(&socket.id()));
            let users = there.filter_map(|socket| Some(socket.user()?.as_ref().to_owned()));
            let known: BTreeSet<_> = ids.iter().map(ToString::to_string).chain(users).collect();
            assert!(infos.iter().all(|info| known.contains(info["id"].as_str().unwrap())));
            let listed: BTreeSet<_> = infos.iter().map(|info| info["id"].to_string()).collect();
            assert_eq!(listed.len(), infos.len(), "listed twice");
        }
        assert_eq!(self.hub.size(), SOCKETS);
    }

    fn check_groups(
        &self,
        expected: &BTreeMap<String, BTreeSet<ConnectionId>>,
        names: Vec<String>,
        members: impl Fn(&str) -> Vec<WebSocket>,
    ) {
        assert_eq!(names.into_iter().collect::<BTreeSet<_>>(), expected.keys().cloned().collect());
        for (name, ids) in expected {
            let found = members(name);
            assert_eq!(found.len(), ids.len(), "{name}");
            assert_eq!(&found.iter().map(WebSocket::id).collect::<BTreeSet<_>>(), ids);
        }
    }
}

fn connect(namespace: &Arc<Namespace>) -> (WebSocket, Registration) {
    connect_as(namespace, Peer::default())
}

fn connect_as(namespace: &Arc<Namespace>, peer: Peer) -> (WebSocket, Registration) {
    let outbox = Outbox::new(&Limits::default(), Arc::default());
    let socket = WebSocket::new(outbox, peer, Tag::default(), namespace.registry());
    let registration = namespace.register(&socket);
    registration.admit(None).unwrap();
    (socket, registration)
}

fn run(crowd: &Crowd, barrier: &Barrier, failed: &AtomicBool, seed: u64, thread: usize) {
    let mut random = Random(seed ^ (thread as u64) << 32);
    for _ in 0..ROUNDS {
        let steps = || (0..STEPS).for_each(|_| crowd.step(&mut random));
        note(failed, steps);
        barrier.wait();
        if thread == 0 {
            note(failed, || crowd.check());
        }
        barrier.wait();
        if failed.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// A panic must not leave the other threads waiting at the barrier.
fn note(failed: &AtomicBool, run: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(run)).is_err() {
        failed.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_join_is_not_lost_while_the_room_becomes_empty() {
    let crowd = Crowd::new();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let crowd = &crowd;
            scope.spawn(move || crowd.visit(thread));
        }
    });
    crowd.check();
    assert_eq!(crowd.hub.room_names(), [""; 0]);
}

#[test]
fn concurrent_joins_leaves_and_ends_lose_no_member_and_leave_no_entry() {
    let seed = std::env::var("AIOWS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0_u8));
    let (crowd, barrier, failed) = (Crowd::new(), Barrier::new(THREADS), AtomicBool::new(false));
    // Announcement tasks run on this runtime.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_time().build().unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (crowd, barrier, failed, runtime) = (&crowd, &barrier, &failed, &runtime);
            scope.spawn(move || {
                let _entered = runtime.enter();
                run(crowd, barrier, failed, seed, thread);
            });
        }
    });
    assert!(!failed.load(Ordering::Relaxed), "AIOWS_TEST_SEED={seed}");
    let Crowd { hub, places, .. } = crowd;
    drop(places);
    assert_eq!((hub.size(), hub.room_names(), hub.user_names()), (0, vec![], vec![]));
    assert_eq!((hub.room_size("a"), hub.room_size("b")), (0, 0));
    assert!(hub.named("a").is_none() && hub.named("b").is_none());
    assert_eq!(hub.all().send_text("x").now_or_never().unwrap().unwrap().accepted, 0);
}

/// A value of a connection whose destructor uses another connection, and so takes its lock.
struct Visitor(WebSocket);

impl Drop for Visitor {
    fn drop(&mut self) {
        drop(self.0.rooms());
    }
}

/// Joins and leaves a room while its members end. The thread that takes the member list out of the
/// room may drop the last handle on some of them.
fn meet_ending_members() {
    let (hub, namespace) = Hub::with_default_rules();
    let (host, _registration) = connect(&namespace);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                drop(hub.members("a"));
                host.join("a").now_or_never().unwrap().unwrap();
                drop(hub.members("a"));
                assert!(host.leave("a").was_member());
            }
        });
        for _ in 0..MEETINGS {
            let guests: Vec<_> = (0..GUESTS)
                .map(|_| {
                    let peer = Peer::default();
                    peer.context.insert(Visitor(host.clone()));
                    let (guest, registration) = connect_as(&namespace, peer);
                    guest.join("a").now_or_never().unwrap().unwrap();
                    (guest, registration)
                })
                .collect();
            drop(guests);
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_values_of_a_connection_are_dropped_outside_of_the_locks_of_others() {
    let (done, is_done) = mpsc::channel();
    // A thread that deadlocks on its own lock never ends, so it is not joined.
    thread::spawn(move || {
        meet_ending_members();
        done.send(())
    });
    is_done.recv_timeout(Duration::from_secs(30)).expect("no thread deadlocks");
}

#[test]
fn a_connection_that_has_left_its_rooms_is_found_nowhere() {
    let (hub, namespace) = Hub::with_default_rules();
    let sockets: Vec<_> = (0..CLOSES).map(|_| connect(&namespace)).collect();
    for (socket, _) in &sockets {
        socket.join("a").now_or_never().unwrap().unwrap();
    }
    let found = thread::scope(|scope| {
        scope.spawn(|| sockets.iter().for_each(|(socket, _)| socket.close(4000, "")));
        let is_found = |(socket, _): &&(WebSocket, Registration)| {
            while socket.is_in("a") {
                hint::spin_loop();
            }
            hub.get(socket.id()).is_some()
        };
        sockets.iter().filter(is_found).count()
    });
    assert_eq!(found, 0);
}
