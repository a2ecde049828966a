//! Rooms and users of a connection while it is checked, closed by the server, leaving, or gone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aiows::error::SendError;
use aiows::{
    DisconnectReason, HandlerError, Limits, Message, Result, Router, Server, State, WebSocket,
    connect, disconnect, message, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::kit::TestServer;
use crate::raw::{Raw, close_payload, masked};

const CLOSE: u8 = 0x88;

const SOON: Duration = Duration::from_secs(10);

/// Sends reports of the handlers to the test.
#[derive(Clone)]
struct Events(mpsc::Sender<Value>);

struct Reported(mpsc::Receiver<Value>);

impl Reported {
    async fn next(&mut self) -> Value {
        timeout(SOON, self.0.recv()).await.unwrap().unwrap()
    }
}

fn events() -> (Events, Reported) {
    let (sender, receiver) = mpsc::channel(16);
    (Events(sender), Reported(receiver))
}

/// Holds a handler until the test opens the gate, and notifies the test when the handler arrives.
#[derive(Clone, Default)]
struct Gate(Arc<(Notify, Notify)>);

impl Gate {
    async fn pass(&self) {
        self.0.0.notify_one();
        self.0.1.notified().await;
    }

    async fn reached(&self) {
        timeout(SOON, self.0.0.notified()).await.unwrap();
    }

    fn open(&self) {
        self.0.1.notify_one();
    }
}

/// Keeps the handle of the latest connection, even after that connection has ended.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Option<WebSocket>>>);

#[connect]
async fn enter(ws: WebSocket, State(kept): State<Kept>) -> Result<Value> {
    ws.set_user("ann")?;
    ws.join("tea").await?;
    *kept.0.lock().unwrap() = Some(ws);
    Ok(json!({ "event": "entered" }))
}

#[disconnect]
async fn leave(ws: WebSocket, reason: DisconnectReason, State(events): State<Events>) {
    let sent = ws.to("tea").send_text("bye").await.is_ok();
    let left = json!({ "rooms": ws.rooms(), "user": ws.user().as_deref(), "sent": sent });
    events.0.try_send(json!({ "left": left, "reason": reason.to_string() })).unwrap();
}

#[disconnect(always)]
async fn end(State(events): State<Events>) {
    events.0.try_send(json!("end")).unwrap();
}

#[tokio::test]
async fn the_handle_of_an_ended_connection_cannot_send_to_a_room() {
    for by_client in [false, true] {
        let (kept, (events, mut reported)) = (Kept::default(), events());
        let router = Router::new().routes(routes![enter, leave, end]).state(kept.clone());
        let server = TestServer::new(router.state(events));
        let mut member = server.connect().await;
        member.recv_json().await;
        let mut client = server.connect().await;
        client.recv_json().await;
        let ws = kept.0.lock().unwrap().take().unwrap();
        if by_client {
            client.close(1000, "").await;
        } else {
            assert!(server.handle().hub().disconnect(ws.id(), 4000, "out"));
            client.expect_closed(4000).await;
            drop(client);
        }
        let left = json!({ "rooms": ["tea"], "user": "ann", "sent": true });
        assert_eq!(reported.next().await["left"], left);
        assert_eq!(reported.next().await, "end");
        assert_eq!(member.recv_text().await, "bye");
        while server.handle().hub().size() > 1 || ws.is_in("tea") {
            tokio::task::yield_now().await;
        }
        assert!(matches!(ws.to("tea").send_text("again").await, Err(SendError::Closed)));
        assert!(ws.rooms().is_empty() && ws.user().is_none());
        member.expect_silence(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_its_connect_handler_has_the_room_in_its_path_once() {
    #[connect]
    async fn check(ws: WebSocket, State(gate): State<Gate>) -> Result {
        ws.join("tea").await?;
        gate.pass().await;
        Ok(())
    }
    let (gate, (events, mut reported)) = (Gate::default(), events());
    let router = Router::new().routes(routes![check, leave]).state(gate.clone()).state(events);
    let server = TestServer::new(Server::new().route("/{room}", router.join_from_path("room")));
    let client = server.connect_to("/tea").await;
    gate.reached().await;
    let closing = tokio::spawn(client.close(1000, ""));
    while server.handle().hub().room_size("tea") > 0 {
        tokio::task::yield_now().await;
    }
    gate.open();
    assert_eq!(reported.next().await["left"]["rooms"], json!(["tea"]));
    closing.await.unwrap();
}

#[derive(Message, Deserialize, Serialize)]
struct Step {
    action: String,
}

#[message("step")]
async fn step(
    ws: WebSocket,
    State(gate): State<Gate>,
    State(events): State<Events>,
    step: Step,
) -> Result {
    let done = match step.action.as_str() {
        "wait" => {
            gate.pass().await;
            json!("waited")
        }
        "leave" => {
            let left = ws.leave("tea");
            json!({ "was_member": left.was_member(), "is_last": left.is_last() })
        }
        "sign out" => json!(ws.clear_user().last_of()),
        "say" => json!(ws.to("tea").send_text("hi").await.map(|_| ()).map_err(|e| e.to_string())),
        "close" => {
            ws.close(4000, "enough");
            json!("closed")
        }
        "fail" => return Err(HandlerError::new("enough", "enough").close(4000)),
        _ => json!({ "rooms": ws.rooms(), "user": ws.user().as_deref() }),
    };
    events.0.try_send(done).unwrap();
    Ok(())
}

/// Sends the steps of a script, ends the connection with `finish` while the first step is pending,
/// and returns the reports of the handlers.
async fn run_script<const N: usize>(
    script: [&str; N],
    finish: impl AsyncFnOnce(Raw<tokio::net::TcpStream>) -> Option<Raw>,
) -> Reported {
    let (gate, (events, mut reported)) = (Gate::default(), events());
    let router = Router::new().routes(routes![enter, step, leave, end]);
    let router = router.state(Kept::default()).state(gate.clone()).state(events);
    let server = TestServer::bind(router).await;
    let mut raw = Raw::open(&server).await;
    assert_eq!(raw.read_frame().await.unwrap().text(), r#"{"event":"entered"}"#);
    for action in ["wait"].into_iter().chain(script) {
        raw.send_text(&json!({ "type": "step", "action": action }).to_string()).await;
    }
    gate.reached().await;
    let _kept = finish(raw).await;
    while server.handle().hub().size() > 0 {
        tokio::task::yield_now().await;
    }
    gate.open();
    assert_eq!(reported.next().await, "waited");
    reported
}

async fn close_frame(mut raw: Raw<tokio::net::TcpStream>) -> Option<Raw> {
    raw.write(&masked(CLOSE, &close_payload(1000, ""))).await;
    Some(raw.boxed())
}

#[tokio::test]
async fn a_client_can_leave_a_room_and_clear_its_user_in_messages_before_its_close_frame() {
    let script = ["leave", "say", "sign out", "look"];
    let mut reported = run_script(script, close_frame).await;
    assert_eq!(reported.next().await, json!({ "was_member": true, "is_last": true }));
    let refused = SendError::NotMember.to_string();
    assert_eq!(reported.next().await, json!({ "Err": refused }));
    assert_eq!(reported.next().await, "ann");
    assert_eq!(reported.next().await, json!({ "rooms": [], "user": null }));
    let left = json!({ "rooms": [], "user": null, "sent": false });
    assert_eq!(reported.next().await["left"], left);
}

#[tokio::test]
async fn no_message_is_handled_after_a_handler_closes_if_the_client_has_reset_the_connection() {
    for close in ["close", "fail"] {
        let reset = async |raw: Raw<tokio::net::TcpStream>| {
            raw.reset();
            None
        };
        let mut reported = run_script([close, "look"], reset).await;
        if close == "close" {
            assert_eq!(reported.next().await, "closed");
        }
        assert_eq!(reported.next().await["reason"], "connection lost", "{close}");
    }
}

#[tokio::test]
async fn a_connection_closed_during_its_room_check_is_never_admitted() {
    #[connect]
    async fn count(State(events): State<Events>) {
        events.0.try_send(json!("connect")).unwrap();
    }
    for has_handler in [false, true] {
        let (gate, (events, mut reported)) = (Gate::default(), events());
        let handlers = if has_handler { routes![count, leave, end] } else { routes![leave, end] };
        let router = Router::new().routes(handlers).state(events).join_from_path("room");
        let waiting = gate.clone();
        let check = move |_: String, ws: WebSocket| {
            let gate = waiting.clone();
            async move {
                ws.set_user("ann")?;
                gate.pass().await;
                Ok::<_, HandlerError>(())
            }
        };
        let server = TestServer::new(Server::new().route("/{room}", router).check_rooms(check));
        let kick = async {
            gate.reached().await;
            assert_eq!(server.handle().hub().disconnect_user("ann", 4001, "out"), 1);
            gate.open();
        };
        let (mut client, ()) = tokio::join!(server.connect_to("/tea"), kick);
        client.expect_closed(4001).await;
        assert_eq!(reported.next().await, "end", "{has_handler}");
        assert_eq!(server.handle().hub().room_size("tea"), 0);
    }
}

#[tokio::test]
async fn a_slow_client_leaves_the_hub_when_the_overflow_policy_closes_it() {
    let mut limits = Limits::default();
    limits.outbound_messages = 4;
    let router = Router::new().routes(routes![enter]).state(Kept::default());
    let server = TestServer::bind(Server::from(router).limits(limits)).await;
    let mut raw = Raw::open(&server).await;
    assert_eq!(raw.read_frame().await.unwrap().text(), r#"{"event":"entered"}"#);
    let (hub, text) = (server.handle().hub(), "x".repeat(60_000));
    while hub.room("tea").send_text(&text).await.unwrap().refused == 0 {}
    assert_eq!((hub.size(), hub.room_size("tea")), (0, 0));
    assert!(hub.user_names().is_empty());
    drop(raw);
}
