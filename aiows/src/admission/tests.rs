//! Feeds byte strings to admission and checks the decisions and the bytes of the answers.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{duplex, join};
use tokio::time::Instant;

use super::{AdmissionControl, AdmissionRules, Admitted, Paths, PendingSession};
use crate::error::{HandlerError, Mistakes};
use crate::handshake::Origins;
use crate::hub::Rules;
use crate::limits::Limits;
use crate::middleware::{Handshake, Middleware};
use crate::router::{Router, build};
use crate::session::AcceptedPeer;
use crate::shutdown::{ConnectionPermit, Owner};
use crate::state::StateMap;

const REQUEST: &str = "GET /chat/red HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A server with one route, `/chat/{room}`, and capacity for one connection.
struct Fixture {
    control: AdmissionControl,
    owner: Owner,
}

impl Fixture {
    fn new(router: Router) -> Self {
        let (owner, mut mistakes) = (Owner::default(), Mistakes::default());
        let namespaces = owner.handle().hub().open(&["/chat/{room}"], Rules::default());
        let [namespace] = &namespaces.ok().unwrap()[..] else { panic!("one namespace") };
        let state = StateMap::default();
        let compiled = build(router, Arc::clone(namespace), &state, &mut mistakes);
        let rules = AdmissionRules {
            paths: Paths::new(None, vec![("/chat/{room}".into(), compiled)], &mut mistakes),
            limits: Arc::new(Limits { connections: 1, ..Limits::default() }),
            origins: Origins::default(),
            #[cfg(feature = "axum")]
            has_http: false,
        };
        let control = AdmissionControl::new(rules, owner.handle().clone());
        mistakes.or_ok(Self { control, owner }).unwrap()
    }

    /// Returns the decision about a request and the bytes of the answer.
    async fn admit(&self, request: &str) -> (Option<Admitted>, String) {
        let mut stream = join(request.as_bytes(), Vec::new());
        let half_open = self.control.uncounted();
        let admitted = self.control.admit(&mut stream, None, half_open).await;
        (admitted, String::from_utf8(stream.into_inner().1).unwrap())
    }

    async fn admit_session(&self, request: &str) -> (Box<PendingSession>, ConnectionPermit) {
        let (admitted, answer) = self.admit(request).await;
        assert_eq!(answer, "");
        match admitted {
            Some(Admitted::WebSocket(session, permit)) => (session, permit),
            _ => panic!("not admitted"),
        }
    }

    async fn refuse(&self, request: &str) -> String {
        let (admitted, answer) = self.admit(request).await;
        assert!(admitted.is_none());
        answer
    }

    fn rejected(&self) -> u64 {
        self.owner.handle().stats().rejected
    }
}

#[tokio::test]
async fn an_upgrade_request_is_admitted_with_its_answer_and_the_bytes_behind_it() {
    let server = Fixture::new(Router::new().subprotocols(["b", "a"]));
    let (session, _permit) = server.admit_session(&format!("{REQUEST}frames")).await;
    assert_eq!(session.leftover, b"frames");
    assert_eq!(
        String::from_utf8(session.answer.to_bytes()).unwrap(),
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
    assert!(matches!(session.peer, AcceptedPeer::Peer(_)));
    assert_eq!(server.rejected(), 0);
}

#[tokio::test]
async fn a_refused_request_is_answered_and_counted() {
    let server = Fixture::new(Router::new());
    let answer = server.refuse(&REQUEST.replace("GET", "PUT")).await;
    assert_eq!(
        answer,
        "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nContent-Type: application/json\r\n\
         Content-Length: 82\r\nConnection: close\r\n\r\n\
         {\"error\":{\"code\":\"method_not_allowed\",\"message\":\"a WebSocket is opened with GET\"}}"
    );
    let answer = server.refuse(&REQUEST.replace("/chat", "/game")).await;
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert_eq!(server.rejected(), 2);
}

#[tokio::test]
async fn a_client_that_leaves_within_its_request_gets_no_answer() {
    let server = Fixture::new(Router::new());
    for request in ["", "GET /chat/red HT"] {
        assert_eq!(server.refuse(request).await, "");
    }
    assert_eq!(server.rejected(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_gets_no_answer_when_its_time_is_over() {
    let server = Fixture::new(Router::new());
    let ((mut stream, _client), start) = (duplex(64), Instant::now());
    let half_open = server.control.uncounted();
    assert!(server.control.admit(&mut stream, None, half_open).await.is_none());
    assert_eq!(start.elapsed(), Limits::default().handshake_timeout);
}

#[tokio::test]
async fn an_admitted_connection_has_the_only_permit_until_it_is_dropped() {
    let server = Fixture::new(Router::new());
    let (_session, permit) = server.admit_session(REQUEST).await;
    let answer = server.refuse(REQUEST).await;
    assert!(answer.contains("Retry-After: 1\r\n"), "{answer}");
    assert!(answer.contains("the server has no room left"), "{answer}");
    drop(permit);
    server.admit_session(REQUEST).await;
}

#[tokio::test]
async fn a_stopping_server_admits_no_request() {
    let server = Fixture::new(Router::new());
    drop(server.owner.handle().shutdown(Duration::ZERO));
    let answer = server.refuse(REQUEST).await;
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
    assert!(answer.contains("the server is stopping"), "{answer}");
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn a_request_for_a_page_is_left_to_the_application() {
    let mut server = Fixture::new(Router::new());
    server.control.rules.has_http = true;
    let request = "GET /page HTTP/1.1\r\n\r\nrest";
    let (admitted, answer) = server.admit(request).await;
    let Some(Admitted::Http(bytes, _permit)) = admitted else { panic!("not for the application") };
    assert_eq!((bytes, answer.as_str()), (request.into(), ""));
}

struct Refuser;

impl Middleware for Refuser {
    async fn on_handshake(&self, handshake: &Handshake) -> Result<(), HandlerError> {
        match handshake.headers().contains_key("x-refuse") {
            true => Err(HandlerError::new("refused", "the middleware refuses")),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn the_checks_of_the_application_run_before_the_decision() {
    let server = Fixture::new(Router::new().middleware(Refuser).join_from_path("room"));
    let answer = server.refuse(&REQUEST.replace("Host", "X-Refuse: 1\r\nHost")).await;
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{answer}");
    assert!(answer.contains("the middleware refuses"), "{answer}");
    let (session, _permit) = server.admit_session(REQUEST).await;
    let AcceptedPeer::Member { room, .. } = session.peer else { panic!("no room of the path") };
    assert_eq!(&*room, "red");
}
