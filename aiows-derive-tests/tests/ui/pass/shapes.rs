//! Handlers of many shapes that need no special treatment by their author.
#![deny(warnings)]

use aiows::{Message, Result, State, WebSocket, connect as on_connection, message, routes};
use serde::{Deserialize, Serialize};

type Socket = WebSocket;
type Answer = Result<Option<Point>>;

#[derive(Deserialize, Message, Serialize)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Clone)]
struct Log(u8);

#[on_connection]
async fn renamed_attribute(_: Socket) {}

/// A handler with documentation.
#[message("patterns")]
async fn patterns(
    mut ws: Socket,
    State(Log(mut level)): State<Log>,
    all @ Point { x, .. }: Point,
) -> Answer {
    level += 1;
    ws = ws.clone();
    drop((ws, level, x));
    Ok(Some(all))
}

#[message("no payload")]
#[cfg(any())]
async fn gone() {}

#[deprecated]
#[message("old")]
async fn old() {}

#[message("allowed")]
#[allow(unused_variables)]
async fn allowed(ws: Socket) {}

mod outer {
    pub(crate) mod inner {
        #[aiows::message("nested")]
        pub(in crate::outer) async fn nested() {}

        #[aiows::message("crate")]
        pub(crate) async fn shown() {}
    }

    pub(crate) fn list() -> aiows::routing::Routes {
        aiows::routes![inner::nested, inner::shown,]
    }

    pub(crate) use inner::shown as exported;
}

fn main() {
    #[allow(deprecated)]
    let _ = routes![renamed_attribute, patterns, old, allowed, outer::exported];
    drop(outer::list());
}
