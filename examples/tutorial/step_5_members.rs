use aiows::{Context, Message, Result, Router, Server, WebSocket, message, routes};
use serde::{Deserialize, Serialize};
use validator::Validate;

#[derive(Message, Deserialize, Validate)]
struct Login {
    #[validate(length(min = 1, max = 30))]
    name: String,
}

#[derive(Message, Deserialize)]
struct Join {
    room: String,
}

#[derive(Message, Deserialize, Validate)]
struct Say {
    room: String,
    #[validate(length(min = 1, max = 500))]
    text: String,
}

#[derive(Message, Serialize)]
struct Said {
    room: String,
    from: String,
    text: String,
}

#[derive(Clone, Serialize)]
struct Member {
    name: String,
}

#[message("login")]
async fn login(ws: WebSocket, Login { name }: Login) -> Result {
    ws.set_name(&name)?;
    ws.context().insert(Member { name });
    Ok(())
}

#[message("join")]
async fn join(ws: WebSocket, Context(member): Context<Member>, Join { room }: Join) -> Result {
    ws.join_as(&room, &member).await?;
    Ok(())
}

#[message("say")]
async fn say(ws: WebSocket, Context(member): Context<Member>, say: Say) -> Result {
    let said = Said { room: say.room, from: member.name, text: say.text };
    ws.to(&said.room).send(&said).await?;
    Ok(())
}

fn server() -> Server {
    Server::from(Router::new().routes(routes![login, join, say]))
}

#[tokio::main]
async fn main() -> Result {
    server().run("127.0.0.1:8000").await?;
    Ok(())
}
