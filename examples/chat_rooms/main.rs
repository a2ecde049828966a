//! Chat rooms with names and member lists, in a browser.
//!
//! Run `cargo run --example chat_rooms` and open <http://127.0.0.1:8000> in two tabs. To listen on
//! another address, append it after `--`. The server accepts every name as it is. A real service
//! would authenticate its users.

mod messages;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aiows::extract::{Call, Extraction, FromCall};
use aiows::{
    Error, HandlerError, Hub, Limits, Result, Router, Server, State, WebSocket, disconnect,
    message, routes,
};
use axum::http::header::CONTENT_TYPE;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use tokio::sync::Mutex;

use self::messages::{Join, Joined, Leave, Left, Member, Members, Name, Said, Say, Welcome};

/// Locked while a room changes and the change is announced, so that a client that receives a member
/// list receives every later change. No handler waits for a client while it holds the lock.
#[derive(Clone, Default)]
struct RoomChanges(Arc<Mutex<()>>);

impl Member {
    /// Returns the member for a connection, or `None` if the connection has no name yet.
    fn of(ws: &WebSocket) -> Option<Self> {
        let name = ws.user()?.as_ref().to_owned();
        Some(Self { id: ws.id().to_string(), name })
    }
}

/// As an argument of a handler, a `Member` is the client that sent the message. The call fails if
/// the client has no name.
impl FromCall for Member {
    fn from_call(call: &Call) -> Extraction<Self> {
        let member = Self::of(call.websocket());
        let error = || HandlerError::new("no_name", "choose a name first");
        Extraction::ready(member.ok_or_else(error))
    }
}

#[message("name")]
async fn name(ws: WebSocket, Name { name }: Name) -> Result<Welcome> {
    if ws.user().is_some() {
        return Err(HandlerError::new("named_already", "you have a name"));
    }
    ws.set_user(&name)?;
    Ok(Welcome { you: Member { id: ws.id().to_string(), name } })
}

#[message("join")]
async fn join(
    ws: WebSocket,
    hub: Hub,
    member: Member,
    State(changes): State<RoomChanges>,
    Join { room }: Join,
) -> Result {
    let _guard = changes.0.lock().await;
    if !ws.is_in(&room) {
        ws.join(&room).await?;
        ws.to(&room).send(&Joined { room: room.clone(), member }).await?;
    }
    let members = hub.members(&room).iter().filter_map(Member::of).collect();
    ws.try_send(&Members { room, members })?;
    Ok(())
}

#[message("leave")]
async fn leave(
    ws: WebSocket,
    hub: Hub,
    member: Member,
    State(changes): State<RoomChanges>,
    Leave { room }: Leave,
) -> Result<Option<Left>> {
    let _guard = changes.0.lock().await;
    if !ws.leave(&room).was_member() {
        return Ok(None);
    }
    let left = Left { room, member };
    // The client is no longer a member, so the server is the sender.
    hub.room(&left.room).send(&left).await?;
    Ok(Some(left))
}

#[message("say")]
async fn say(ws: WebSocket, hub: Hub, from: Member, Say { room, text }: Say) -> Result {
    if !ws.is_in(&room) {
        return Err(HandlerError::new("not_a_member", "join the room first"));
    }
    // Every member receives the message, the sender included.
    hub.room(&room).send(&Said { room: room.clone(), from, text }).await?;
    Ok(())
}

/// The connection has already left its rooms, but `rooms` still returns their names.
#[disconnect]
async fn announce_departure(ws: WebSocket, State(changes): State<RoomChanges>) -> Result {
    let Some(member) = Member::of(&ws) else { return Ok(()) };
    let _guard = changes.0.lock().await;
    for room in ws.rooms() {
        ws.to(&room).send(&Left { room: room.clone(), member: member.clone() }).await?;
    }
    Ok(())
}

async fn page() -> Html<&'static str> {
    Html(include_str!("page.html"))
}

async fn style() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css")], include_str!("../pages/style.css"))
}

fn server() -> Server {
    let mut limits = Limits::default();
    limits.rooms = 3;
    limits.room_members = 20;
    limits.room_name_size = 30;
    let router = Router::new().routes(routes![name, join, leave, say, announce_departure]);
    Server::new()
        .route("/ws", router)
        .state(RoomChanges::default())
        .limits(limits)
        .http(axum::Router::new().route("/", get(page)).route("/style.css", get(style)))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    server().run(address).await
}
