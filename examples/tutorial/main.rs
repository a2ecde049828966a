use aiows::middleware::from_fn;
use aiows::{
    Context, DisconnectReason, HandlerError, Message, Result, Router, Server, WebSocket,
    disconnect, message, routes,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
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

#[disconnect]
async fn log_end(member: Option<Context<Member>>, reason: DisconnectReason) {
    if let Some(Context(member)) = member {
        println!("{} left: {reason}", member.name);
    }
}

fn server() -> Server {
    let logged_in = from_fn(|call, next| async move {
        if call.websocket().name().is_none() {
            return Err(HandlerError::new("no_name", "log in first"));
        }
        next.run(call).await
    });
    let members = Router::new().routes(routes![join, say]).middleware(logged_in);
    let router = Router::new().routes(routes![login, log_end]).include(members);
    Server::from(router).shutdown_timeout(Duration::from_secs(10))
}

#[tokio::main]
async fn main() -> Result {
    match server().run("127.0.0.1:8000").await {
        Err(error) if error.is_forced() => println!("some connections were cut"),
        stopped => stopped?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use aiows::testing::{TestClient, TestServer};
    use serde_json::json;

    use super::*;

    async fn member(server: &TestServer, name: &str) -> TestClient {
        let mut client = server.connect().await;
        client.send_json(&json!({ "type": "login", "name": name })).await;
        client.send_json(&json!({ "type": "join", "room": "tea" })).await;
        assert_eq!(client.recv_json().await["type"], "room.members");
        client
    }

    #[tokio::test]
    async fn a_member_reads_messages_of_the_others() {
        let server = TestServer::new(server());
        let mut ann = member(&server, "ann").await;
        let mut bob = member(&server, "bob").await;
        assert_eq!(ann.recv_json().await["members"][0]["name"], "bob");

        bob.send_json(&json!({ "type": "say", "room": "tea", "text": "hi" })).await;
        let said = json!({ "type": "said", "room": "tea", "from": "bob", "text": "hi" });
        assert_eq!(ann.recv_json().await, said);
    }

    #[tokio::test]
    async fn a_client_without_a_name_is_refused() {
        let server = TestServer::new(server());
        let mut client = server.connect().await;
        client.send_json(&json!({ "type": "join", "room": "tea" })).await;
        assert_eq!(client.recv_json().await["code"], "no_name");
    }

    #[tokio::test]
    async fn a_shutdown_closes_the_connections() {
        let server = TestServer::new(server());
        let mut ann = member(&server, "ann").await;
        server.handle().shutdown(Duration::from_secs(5));
        assert_eq!(ann.expect_closed(1001).await, "Server shutdown");
    }
}
