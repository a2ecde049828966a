//! The values of a connection and their lifetime: `ws.context()` and `Local`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc as threads;
use std::thread;
use std::time::Duration;

use aiows::extract::Call;
use aiows::routing::Route;
use aiows::testing::socket;
use aiows::{
    Context, HandlerError, Local, Router, Server, State, WebSocket, connect, disconnect, message,
    routes,
};
use serde_json::json;
use tokio::sync::mpsc;

use super::kit::{TestServer, over_both};

type Log = mpsc::Sender<&'static str>;

/// Logs when it is dropped, and holds a handle to the connection.
#[derive(Default)]
struct Kept {
    ws: Option<WebSocket>,
    log: Option<(Log, &'static str)>,
}

impl Kept {
    fn new(ws: &WebSocket, log: &Log, name: &'static str) -> Self {
        Self { ws: Some(ws.clone()), log: Some((log.clone(), name)) }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some((log, name)) = self.log.take() {
            log.try_send(name).unwrap();
        }
    }
}

#[connect]
async fn keep(ws: WebSocket, mut local: Local<Kept>, State(log): State<Log>) {
    ws.context().insert(Kept::new(&ws, &log, "context"));
    *local = Kept::new(&ws, &log, "local");
}

#[disconnect]
async fn leave(ws: WebSocket, local: Local<Kept>, State(log): State<Log>) {
    assert!(local.ws.is_some());
    // The context still has its value.
    let kept = ws.context().remove::<Kept>().unwrap();
    ws.context().insert(kept);
    log.try_send("left").unwrap();
}

#[tokio::test]
async fn values_that_hold_their_own_connection_are_dropped_after_the_disconnect_handlers() {
    let (log, logged) = mpsc::channel(8);
    let logged = tokio::sync::Mutex::new(logged);
    over_both(
        || Router::new().routes(routes![keep, leave]).state(log.clone()).into(),
        async |server| {
            let client = server.connect().await;
            client.close(1000, "").await;
            let mut logged = logged.lock().await;
            for expected in ["left", "context", "local"] {
                assert_eq!(logged.recv().await, Some(expected));
            }
        },
    )
    .await;
}

#[tokio::test]
async fn a_connection_keeps_no_value_after_its_end() {
    #[derive(Clone)]
    struct Sockets(mpsc::Sender<WebSocket>);
    #[connect]
    async fn hand_out(ws: WebSocket, State(sockets): State<Sockets>) {
        ws.context().insert(7_u8);
        sockets.0.try_send(ws).unwrap();
    }
    #[disconnect]
    async fn left(State(log): State<Log>) {
        log.try_send("left").unwrap();
    }
    let (sockets, mut handed) = mpsc::channel(8);
    let (log, mut logged) = mpsc::channel(8);
    let router = Router::new().routes(routes![hand_out, left]);
    let server = TestServer::new(router.state(Sockets(sockets)).state(log.clone()));
    server.connect().await.close(1000, "").await;
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    assert_eq!(logged.recv().await, Some("left"));
    let ws = handed.recv().await.unwrap();
    assert_eq!(ws.context().get::<u8>(), None);
    assert!(ws.context().insert(Kept::new(&ws, &log, "late")).is_none());
    assert_eq!(logged.try_recv(), Ok("late"));
    assert_eq!(ws.context().update(|number: &mut u8| *number + 1), 1);
    assert_eq!(ws.context().get::<u8>(), None);
}

#[tokio::test]
async fn a_local_that_a_task_returns_after_the_end_of_the_connection_is_dropped() {
    #[derive(Clone)]
    struct Locals(mpsc::Sender<Local<Kept>>);
    #[connect]
    async fn lend(
        ws: WebSocket,
        mut local: Local<Kept>,
        State(locals): State<Locals>,
        State(log): State<Log>,
    ) {
        *local = Kept::new(&ws, &log, "local");
        locals.0.try_send(local).map_err(|_| "gone").unwrap();
    }
    let (locals, mut lent) = mpsc::channel(8);
    let (log, mut logged) = mpsc::channel(8);
    let router = Router::new().routes(routes![lend]).state(Locals(locals)).state(log);
    let server = TestServer::new(router);
    server.connect().await.close(1000, "").await;
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    let local = lent.recv().await.unwrap();
    assert!(logged.try_recv().is_err());
    drop(local);
    assert_eq!(logged.try_recv(), Ok("local"));
}

#[tokio::test]
async fn a_connection_that_its_room_check_refuses_keeps_no_values() {
    let (log, mut logged) = mpsc::channel(8);
    let room = Router::new().join_from_path("room");
    let server = Server::new().route("/{room}", room).check_rooms(move |_, ws| {
        ws.context().insert(Kept::new(&ws, &log, "context"));
        async { Err::<(), _>(HandlerError::new("forbidden", "no")) }
    });
    let server = TestServer::new(server);
    assert_eq!(server.try_connect("/red", &[]).await.unwrap_err().status, 403);
    assert_eq!(logged.recv().await, Some("context"));
}

#[tokio::test]
async fn a_value_that_panics_when_it_is_dropped_does_not_prevent_other_drops() {
    struct Bomb<T>(T);
    impl<T> Drop for Bomb<T> {
        fn drop(&mut self) {
            panic!("no luck");
        }
    }
    let arm = Route::connect(|call: Call| async move {
        call.websocket().context().insert(Bomb(1_u8));
        call.websocket().context().insert(Bomb(2_u16));
    });
    let (log, mut logged) = mpsc::channel(8);
    let router = Router::new().route(arm).routes(routes![keep, leave]).state(log);
    let server = TestServer::new(router);
    let client = server.connect().await;
    client.close(1000, "").await;
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    for expected in ["left", "context", "local"] {
        assert_eq!(logged.recv().await, Some(expected));
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Name(String);

#[test]
fn an_update_that_panics_keeps_the_old_value() {
    let (ws, _sent) = socket();
    ws.context().insert(Name("ann".into()));
    let change = |name: &mut Name| {
        name.0.push('!');
        panic!("in the middle of a change");
    };
    assert!(catch_unwind(AssertUnwindSafe(|| ws.context().update(change))).is_err());
    assert_eq!(ws.context().get(), Some(Name("ann".into())));
    // A panic in the first change leaves the context without a value.
    let change = |_: &mut String| panic!("in the middle of a change");
    assert!(catch_unwind(AssertUnwindSafe(|| ws.context().update(change))).is_err());
    assert_eq!(ws.context().get::<String>(), None);
    ws.context().update(|name: &mut Name| name.0.push('a'));
    assert_eq!(ws.context().get(), Some(Name("anna".into())));
}

#[tokio::test]
async fn a_handler_that_panics_in_an_update_keeps_the_old_value() {
    #[message("spoil")]
    async fn spoil(ws: WebSocket) {
        ws.context().update(|name: &mut Name| {
            name.0.clear();
            panic!("in the middle of a change");
        });
    }
    #[message("name")]
    async fn name(Context(Name(name)): Context<Name>) -> serde_json::Value {
        json!({ "type": "name", "name": name })
    }
    let ann = Route::connect(|call: Call| async move {
        call.websocket().context().insert(Name("ann".into()));
    });
    let server = TestServer::new(Router::new().route(ann).routes(routes![spoil, name]));
    let mut client = server.connect().await;
    client.send_text(r#"{"type":"spoil"}"#).await;
    assert_eq!(client.recv_json().await["code"], "internal");
    client.send_text(r#"{"type":"name"}"#).await;
    assert_eq!(client.recv_json().await["name"], "ann");
}

/// Uses its context in every way when it is dropped.
#[derive(Clone, Default)]
struct Busy(Option<WebSocket>);

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(ws) = self.0.take() {
            let _ = ws.context().get::<Name>();
            ws.context().remove::<u8>();
            ws.context().insert("gone");
            ws.context().update(|count: &mut u32| *count += 1);
        }
    }
}

/// Runs `test` on another thread with a timeout: a thread that waits for its own lock never ends.
fn with_timeout<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = threads::channel();
    thread::spawn(move || done.send(test()));
    is_done.recv_timeout(Duration::from_secs(10)).expect("the thread waits for its own lock")
}

#[test]
fn values_whose_drop_uses_their_context_can_be_replaced_and_removed() {
    for case in 0..5 {
        let count = with_timeout(move || {
            let (ws, _sent) = socket();
            let busy = Busy(Some(ws.clone()));
            match case {
                0 => ws.context().update(|kept: &mut Busy| *kept = busy),
                1 => {
                    ws.context().insert(busy);
                    ws.context().update(|kept: &mut Busy| *kept = Busy(None));
                }
                2 => ws.context().update(move |_: &mut u64| drop(busy)),
                3 => {
                    let change = move |kept: &mut Busy| {
                        *kept = busy;
                        panic!("in the middle of a change");
                    };
                    let panics = || ws.context().update(change);
                    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
                }
                _ => {
                    ws.context().insert(busy);
                    drop(ws.context().insert(Busy(None)));
                }
            }
            drop(ws.context().remove::<Busy>());
            assert_eq!(ws.context().get(), Some("gone"));
            ws.context().get::<u32>()
        });
        let drops = if case == 1 { 2 } else { 1 };
        assert_eq!(count, Some(drops), "case {case}");
    }
}

#[test]
fn concurrent_updates_from_many_threads_are_all_applied() {
    let (ws, _sent) = socket();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    ws.context().update(|count: &mut u32| *count += 1);
                    ws.context().update(|name: &mut Name| name.0.push('x'));
                }
            });
        }
    });
    assert_eq!(ws.context().get::<u32>(), Some(4000));
    assert_eq!(ws.context().get::<Name>().unwrap().0.len(), 4000);
}

#[test]
fn an_update_may_update_another_context_and_other_values() {
    with_timeout(|| {
        let ((one, _), (two, _)) = (socket(), socket());
        one.context().update(|count: &mut u32| {
            two.context().update(|other: &mut u32| {
                *other += 1;
                one.context().update(|name: &mut Name| name.0.push('a'));
            });
            *count += 1;
        });
        assert_eq!((one.context().get(), two.context().get()), (Some(1_u32), Some(1_u32)));
        assert_eq!(one.context().get(), Some(Name("a".into())));
    });
}

/// Uses its context in every way when it is cloned.
#[derive(Default)]
struct Copied(Option<WebSocket>, u8);

impl Clone for Copied {
    fn clone(&self) -> Self {
        if let Some(ws) = &self.0 {
            match self.1 {
                0 => drop(ws.context().get::<Name>()),
                1 => drop(ws.context().insert(1_u8)),
                2 => drop(ws.context().remove::<u8>()),
                _ => ws.context().update(|count: &mut u32| *count += 1),
            }
        }
        Self(None, self.1)
    }
}

#[test]
fn a_clone_that_uses_its_own_context_panics_and_does_not_deadlock() {
    for case in 0..8 {
        let panic = with_timeout(move || {
            let (ws, _sent) = socket();
            ws.context().insert(Copied(Some(ws.clone()), case % 4));
            let clones = || match case / 4 {
                0 => drop(ws.context().get::<Copied>()),
                _ => ws.context().update(|_: &mut Copied| {}),
            };
            let panic = catch_unwind(AssertUnwindSafe(clones)).unwrap_err();
            // The context is unchanged and still works.
            ws.context().update(|name: &mut Name| name.0.push('a'));
            assert_eq!(ws.context().get(), Some(Name("a".into())));
            assert_eq!((ws.context().get::<u8>(), ws.context().get::<u32>()), (None, None));
            assert!(ws.context().remove::<Copied>().is_some());
            *panic.downcast::<&str>().unwrap()
        });
        let expected = "the `Clone` of a value in a context must not use that context, which is \
                        locked meanwhile";
        assert_eq!(panic, expected, "case {case}");
    }
}

#[test]
fn a_clone_may_use_another_context() {
    with_timeout(|| {
        let ((one, _), (two, _)) = (socket(), socket());
        one.context().insert(Copied(Some(two.clone()), 3));
        assert!(one.context().get::<Copied>().is_some());
        assert_eq!(two.context().get(), Some(1_u32));
    });
}
