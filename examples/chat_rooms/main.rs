//! Chat rooms with names and member lists, in a browser.
//!
//! `cargo run --example chat_rooms`, then open <http://127.0.0.1:8000> in two tabs. Another address may
//! be given behind `--`. A name is taken as it is given: a real service asks who it is.

mod messages;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aiows::{
    Call, Extraction, FromCall, HandlerError, Hub, Limits, Result, Router, Server, State,
    WebSocket, disconnect, message, routes,
};
use axum::response::Html;
use axum::routing::get;
use tokio::sync::Mutex;

use self::messages::{Join, Joined, Leave, Left, Member, Members, Name, Said, Say, Welcome};

/// Held while a room changes and its members are told: who gets a list of members gets every change
/// after it. No peer is waited for under it.
#[derive(Clone, Default)]
struct Doorkeeper(Arc<Mutex<()>>);

impl Member {
    fn of(ws: &WebSocket) -> Option<Self> {
        let name = ws.user()?.as_ref().to_owned();
        Some(Self { id: ws.id().to_string(), name })
    }
}

/// As an argument it is the peer that sent the message, which must have a name.
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
    State(door): State<Doorkeeper>,
    Join { room }: Join,
) -> Result {
    let _held = door.0.lock().await;
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
    State(door): State<Doorkeeper>,
    Leave { room }: Leave,
) -> Result<Option<Left>> {
    let _held = door.0.lock().await;
    if !ws.leave(&room).was_member() {
        return Ok(None);
    }
    let left = Left { room, member };
    // It is no member any more, so this is said by the server.
    hub.room(&left.room).send(&left).await?;
    Ok(Some(left))
}

#[message("say")]
async fn say(ws: WebSocket, hub: Hub, from: Member, Say { room, text }: Say) -> Result {
    if !ws.is_in(&room) {
        return Err(HandlerError::new("not_a_member", "join the room first"));
    }
    // To everybody in the room, the speaker too.
    hub.room(&room).send(&Said { room: room.clone(), from, text }).await?;
    Ok(())
}

/// The connection has left its rooms already, but knows which they were.
#[disconnect]
async fn tell_the_others(ws: WebSocket, State(door): State<Doorkeeper>) -> Result {
    let Some(member) = Member::of(&ws) else { return Ok(()) };
    let _held = door.0.lock().await;
    for room in ws.rooms() {
        ws.to(&room).send(&Left { room: room.clone(), member: member.clone() }).await?;
    }
    Ok(())
}

async fn page() -> Html<&'static str> {
    Html(include_str!("page.html"))
}

fn server() -> Server {
    let mut limits = Limits::default();
    limits.rooms = 3;
    limits.room_members = 20;
    limits.room_name_size = 30;
    let router = Router::new().routes(routes![name, join, leave, say, tell_the_others]);
    Server::new()
        .route("/ws", router)
        .state(Doorkeeper::default())
        .limits(limits)
        .http(axum::Router::new().route("/", get(page)))
}

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    server().run(address).await
}
