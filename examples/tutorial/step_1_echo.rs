use aiows::{Result, Router, Server, Text, WebSocket, fallback, routes};

#[fallback]
async fn echo(ws: WebSocket, Text(text): Text) -> Result {
    ws.send_text(&text).await?;
    Ok(())
}

fn server() -> Server {
    Server::from(Router::new().routes(routes![echo]))
}

#[tokio::main]
async fn main() -> Result {
    server().run("127.0.0.1:8000").await?;
    Ok(())
}
