//! Connections of several namespaces connect, join, send and disconnect at random. A model predicts
//! the recipients of every message.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};

use aiows::error::SendError;
use aiows::hub::Recipients;
use aiows::testing::TestClient;
use aiows::{ConnectionId, Hub, Router, Server, State, WebSocket, connect, routes};

use super::kit::TestServer;
use crate::random::Random;

const ROUNDS: u64 = 60;
const STEPS: usize = 60;

/// Paths, and the namespaces of their connections.
const PATHS: [(&str, &str); 6] = [
    ("/chat/1", "/chat/{room}"),
    ("/game/1", "/game/{room}"),
    ("/play", "together"),
    ("/watch", "together"),
    ("/elsewhere", "root"),
    ("/chat/2", "/chat/{room}"),
];
const NAMESPACES: [&str; 4] = ["/chat/{room}", "/game/{room}", "together", "root"];
const ROOMS: [&str; 3] = ["red", "blue", "green"];
const USERS: [&str; 3] = ["ann", "bob", "cat"];
const NAMES: [&str; 2] = ["red", "ann"];

/// The handle of the latest connection.
#[derive(Clone, Default)]
struct Latest(Arc<Mutex<Option<WebSocket>>>);

#[connect]
async fn note(ws: WebSocket, State(latest): State<Latest>) {
    *latest.0.lock().unwrap() = Some(ws);
}

fn server(latest: &Latest) -> Server {
    let router = || Router::new().routes(routes![note]).state(latest.clone());
    let together = || Router::new().namespace("together").include(router());
    Server::new()
        .route("/chat/{room}", router())
        .route("/game/{room}", router())
        .route("/play", together())
        .route("/watch", together())
        .include_router(Router::new().include(router()))
}

/// A connection, and its state in the model.
struct Guest {
    ws: WebSocket,
    client: TestClient,
    namespace: &'static str,
    rooms: BTreeSet<&'static str>,
    user: Option<&'static str>,
    name: Option<&'static str>,
    /// The texts that its client must have received.
    expected: Vec<String>,
}

/// The hub that a send or a query uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Server,
    Namespace(&'static str),
}

#[derive(Clone, Debug)]
enum Selector {
    All,
    Rooms(Vec<&'static str>),
    Users(Vec<&'static str>),
    Connection(ConnectionId),
}

struct Model {
    random: Random,
    server: TestServer,
    hub: Hub,
    latest: Latest,
    guests: Vec<Guest>,
    sent: usize,
}

impl Model {
    fn new(seed: u64) -> Self {
        let latest = Latest::default();
        let server = TestServer::new(server(&latest));
        let hub = server.handle().hub();
        Self { random: Random(seed), server, hub, latest, guests: Vec::new(), sent: 0 }
    }

    async fn step(&mut self) {
        match self.random.below(16) {
            0..3 if self.guests.len() < 8 => self.connect().await,
            _ if self.guests.is_empty() => self.connect().await,
            3 => self.close().await,
            4 => self.disconnect().await,
            5..8 => self.join().await,
            8 => self.leave(),
            9 => self.set_user(),
            10 => self.set_name(),
            11 => self.send_to_room().await,
            _ => self.send().await,
        }
        self.check();
    }

    async fn connect(&mut self) {
        let (path, namespace) = self.random.of(&PATHS);
        let client = self.server.connect_to(path).await;
        while self.hub.size() == self.guests.len() {
            tokio::task::yield_now().await;
        }
        let ws = self.latest.0.lock().unwrap().take().unwrap();
        assert_eq!(ws.namespace(), namespace);
        let (rooms, user, name) = Default::default();
        self.guests.push(Guest { ws, client, namespace, rooms, user, name, expected: Vec::new() });
    }

    fn pick(&mut self) -> usize {
        self.random.below(self.guests.len())
    }

    /// Lets a client close its connection.
    async fn close(&mut self) {
        let at = self.pick();
        let mut guest = self.guests.swap_remove(at);
        guest.expect_texts().await;
        guest.client.close(1000, "").await;
    }

    /// Closes a connection, or all connections of its user, through any hub.
    async fn disconnect(&mut self) {
        let at = self.pick();
        let (id, user) = (self.guests[at].ws.id(), self.guests[at].user);
        let source = self.random_source();
        let hub = self.hub_of(source);
        let is_gone = |guest: &Guest| match user {
            Some(user) => guest.user == Some(user),
            None => guest.ws.id() == id,
        };
        let (gone, left) = std::mem::take(&mut self.guests).into_iter().partition(is_gone);
        let gone: Vec<Guest> = gone;
        self.guests = left;
        match user {
            Some(user) => assert_eq!(hub.disconnect_user(user, 4000, "out"), gone.len()),
            None => assert!(hub.disconnect(id, 4000, "out") && !hub.disconnect(id, 4000, "out")),
        }
        self.check();
        for mut guest in gone {
            assert!(guest.ws.join("red").await.is_err() && guest.ws.set_user("ann").is_err());
            guest.expect_texts().await;
            assert_eq!(guest.client.expect_closed(4000).await, "out");
        }
    }

    async fn join(&mut self) {
        let (at, room) = (self.pick(), self.random.of(&ROOMS));
        let is_first = !self.guests.iter().any(|it| self.guests[at].shares(it, room));
        let guest = &mut self.guests[at];
        let joined = guest.ws.join(room).await.unwrap();
        let is_new = guest.rooms.insert(room);
        assert_eq!((joined.is_new(), joined.is_first()), (is_new, is_new && is_first));
    }

    fn leave(&mut self) {
        let (at, room) = (self.pick(), self.random.of(&ROOMS));
        let was_member = self.guests[at].rooms.remove(room);
        let is_last = !self.guests.iter().any(|it| self.guests[at].shares(it, room));
        let left = self.guests[at].ws.leave(room);
        assert_eq!((left.was_member(), left.is_last()), (was_member, was_member && is_last));
    }

    fn set_user(&mut self) {
        let at = self.pick();
        let user = Some(self.random.of(&USERS)).filter(|_| self.random.below(4) > 0);
        let before = std::mem::replace(&mut self.guests[at].user, user);
        let count = |user| self.guests.iter().filter(|it| it.user == user).count();
        let is_last = before != user && before.is_some() && count(before) == 0;
        let is_first = before != user && user.is_some() && count(user) == 1;
        let ws = &self.guests[at].ws;
        let change = user.map_or_else(|| ws.clear_user(), |user| ws.set_user(user).unwrap());
        let expected = (is_first, before.filter(|_| is_last));
        assert_eq!((change.is_first(), change.last_of()), expected);
    }

    fn set_name(&mut self) {
        let (at, name) = (self.pick(), self.random.of(&NAMES));
        let Guest { ws, namespace, .. } = &self.guests[at];
        let holds = |it: &Guest| it.namespace == *namespace && it.name == Some(name);
        let others = self.guests.iter().filter(|it| it.ws.id() != ws.id());
        let is_taken = others.into_iter().any(holds);
        match ws.set_name(name) {
            Ok(()) => assert!(!is_taken),
            Err(error) => assert_eq!((error.code(), is_taken), ("name_taken", true)),
        }
        if !is_taken {
            self.guests[at].name = Some(name);
        }
    }

    /// Sends to a room from a connection, which may not be a member.
    async fn send_to_room(&mut self) {
        let (at, room) = (self.pick(), self.random.of(&ROOMS));
        let text = self.text();
        let Guest { ws, rooms, .. } = &self.guests[at];
        let (id, is_member, sent) =
            (ws.id(), rooms.contains(room), ws.to(room).send_text(&text).await);
        if !is_member {
            assert!(matches!(sent, Err(SendError::NotMember)));
            return;
        }
        let namespace = self.guests[at].namespace;
        let receives = |it: &Guest| it.is_in(namespace, room) && it.ws.id() != id;
        assert_eq!(sent.unwrap().accepted, self.expect(&text, receives));
    }

    async fn send(&mut self) {
        let (source, selector) = (self.random_source(), self.random_selector());
        let is_everywhere = self.random.below(3) == 0;
        let target = selector.of(&self.hub_of(source));
        let target = if is_everywhere { target.everywhere() } else { target };
        let text = self.text();
        let sent = target.send_text(&text).await;
        let source = if is_everywhere { Source::Server } else { source };
        if source == Source::Server && matches!(selector, Selector::Rooms(_)) {
            assert!(matches!(sent, Err(SendError::NoNamespace)));
            return;
        }
        let recipients = self.expect(&text, |it| selector.reaches(source, it));
        assert_eq!(sent.unwrap().accepted, recipients, "{source:?} {selector:?}");
    }

    fn text(&mut self) -> String {
        self.sent += 1;
        format!("message {}", self.sent)
    }

    /// Records the recipients of a text, and counts them.
    fn expect(&mut self, text: &str, receives: impl Fn(&Guest) -> bool) -> usize {
        let recipients = self.guests.iter_mut().filter(|it| receives(it));
        recipients.map(|it| it.expected.push(text.to_owned())).count()
    }

    fn random_source(&mut self) -> Source {
        match self.random.below(2) {
            0 => Source::Server,
            _ => Source::Namespace(self.random.of(&NAMESPACES)),
        }
    }

    fn random_selector(&mut self) -> Selector {
        match self.random.below(6) {
            0 => Selector::All,
            1 => Selector::Rooms(vec![self.random.of(&ROOMS)]),
            2 => Selector::Rooms(vec![self.random.of(&ROOMS), self.random.of(&ROOMS)]),
            3 => Selector::Users(vec![self.random.of(&USERS)]),
            4 => Selector::Users(vec![self.random.of(&USERS), self.random.of(&USERS)]),
            _ => Selector::Connection(self.guests[self.random.below(self.guests.len())].ws.id()),
        }
    }

    fn hub_of(&self, source: Source) -> Hub {
        match source {
            Source::Server => self.hub.clone(),
            Source::Namespace(name) => self.hub.namespace(name).unwrap(),
        }
    }

    /// Compares every hub with the model.
    fn check(&self) {
        let sources = NAMESPACES.into_iter().map(Source::Namespace).chain([Source::Server]);
        for source in sources {
            let hub = self.hub_of(source);
            let seen: Vec<_> = self.guests.iter().filter(|it| source.sees(it)).collect();
            assert_eq!(hub.size(), seen.len(), "{source:?}");
            let mut rooms = BTreeMap::<&str, BTreeSet<ConnectionId>>::new();
            for guest in &seen {
                for room in &guest.rooms {
                    rooms.entry(*room).or_default().insert(guest.ws.id());
                }
            }
            let names: BTreeSet<_> = hub.room_names().into_iter().collect();
            assert!(names.iter().eq(rooms.keys()), "{source:?} {names:?}");
            for (room, ids) in rooms {
                assert_eq!(hub.room_size(room), ids.len(), "{source:?} {room}");
                assert_eq!(ids_of(&hub.members(room)), ids, "{source:?} {room}");
            }
            for name in NAMES {
                let mut holders = seen.iter().filter(|it| it.name == Some(name));
                let expected = holders.next().filter(|_| holders.next().is_none());
                let found = hub.named(name).map(|ws| ws.id());
                assert_eq!(found, expected.map(|it| it.ws.id()), "{source:?} {name}");
            }
            let users: BTreeSet<_> = self.guests.iter().filter_map(|it| it.user).collect();
            let known: BTreeSet<_> = hub.user_names().into_iter().collect();
            assert!(known.iter().eq(&users), "{source:?} {known:?}");
            for user in users {
                let of_user = self.guests.iter().filter(|it| it.user == Some(user));
                let expected: BTreeSet<_> = of_user.map(|it| it.ws.id()).collect();
                assert_eq!(ids_of(&hub.connections_of(user)), expected, "{source:?} {user}");
            }
        }
    }

    async fn end(mut self) {
        for guest in &mut self.guests {
            guest.expect_texts().await;
        }
        drop(std::mem::take(&mut self.guests));
        while self.server.handle().stats().active > 0 {
            tokio::task::yield_now().await;
        }
        self.check();
    }
}

fn ids_of(sockets: &[WebSocket]) -> BTreeSet<ConnectionId> {
    sockets.iter().map(WebSocket::id).collect()
}

impl Source {
    fn sees(self, guest: &Guest) -> bool {
        match self {
            Self::Server => true,
            Self::Namespace(name) => guest.namespace == name,
        }
    }
}

impl Selector {
    fn of(&self, hub: &Hub) -> Recipients {
        match self {
            Self::All => hub.all(),
            Self::Rooms(rooms) => hub.rooms(rooms),
            Self::Users(users) => hub.users(users),
            Self::Connection(id) => hub.connection(*id),
        }
    }

    fn reaches(&self, source: Source, guest: &Guest) -> bool {
        match self {
            Self::All => source.sees(guest),
            Self::Rooms(rooms) => {
                source.sees(guest) && rooms.iter().any(|it| guest.rooms.contains(it))
            }
            Self::Users(users) => {
                source.sees(guest) && guest.user.is_some_and(|it| users.contains(&it))
            }
            // Every hub can reach all connections of the server.
            Self::Connection(id) => guest.ws.id() == *id,
        }
    }
}

impl Guest {
    fn is_in(&self, namespace: &str, room: &str) -> bool {
        self.namespace == namespace && self.rooms.contains(room)
    }

    /// Returns whether another guest is a member of this guest's room of this name.
    fn shares(&self, other: &Self, room: &str) -> bool {
        other.is_in(self.namespace, room)
    }

    async fn expect_texts(&mut self) {
        for text in self.expected.drain(..) {
            assert_eq!(self.client.recv_text().await, text);
        }
    }
}

#[tokio::test]
async fn every_client_receives_exactly_the_messages_that_a_model_of_the_namespaces_predicts() {
    let seed = std::env::var("AIOWS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0_u8));
    for round in 0..ROUNDS {
        let seed = seed.wrapping_add(round);
        let run = tokio::spawn(async move {
            let mut model = Model::new(seed);
            for _ in 0..STEPS {
                model.step().await;
            }
            model.end().await;
        });
        run.await.unwrap_or_else(|error| panic!("AIOWS_TEST_SEED={seed}: {error}"));
    }
}
