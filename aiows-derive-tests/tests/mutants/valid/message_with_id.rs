use aiows::routing::Routes;
use aiows::{Message, MessageId, message, routes};
use serde::{Deserialize, Serialize};

#[derive(Message, Deserialize)]
#[aiows(type = "order.place")]
pub struct Order {
    item: String,
    pub count: u32,
}

#[derive(Message, Serialize)]
pub struct Placed {
    by: String,
}

#[message("order.place")]
async fn place(id: MessageId, Order { item, .. }: Order) -> Option<Placed> {
    std::future::ready(()).await;
    Some(Placed { by: format!("{id} {item}") })
}

#[message("other")]
async fn other() {}

pub fn list() -> Routes {
    routes![place, other]
}
