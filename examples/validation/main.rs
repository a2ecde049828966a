//! Typed and validated messages, and the errors that a client receives for invalid ones.
//!
//! Run `cargo run --example validation`, connect to `ws://127.0.0.1:8000` and send
//! `{"type": "order", "id": 1, "customerName": "x", "items": [{"sku": "ABC-1", "count": 0}]}`.

use aiows::{Error, HandlerError, Message, Result, Router, Server, WireNames, message, routes};
use serde::{Deserialize, Serialize};
use validator::{Validate, ValidationError};

/// The field names in messages and in errors follow the serde attributes.
#[derive(Message, Deserialize, Serialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Order {
    #[validate(length(min = 2, max = 80))]
    customer_name: String,
    #[validate(length(min = 1, max = 20), nested)]
    items: Vec<Item>,
    #[serde(default)]
    #[validate(email)]
    mail: Option<String>,
}

#[derive(WireNames, Deserialize, Serialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[validate(custom(function = "is_sku"))]
    sku: String,
    #[validate(range(min = 1, max = 100))]
    count: u32,
}

fn is_sku(sku: &str) -> Result<(), ValidationError> {
    match sku.split_once('-') {
        Some((name, number)) if !name.is_empty() && number.parse::<u32>().is_ok() => Ok(()),
        _ => Err(ValidationError::new("sku").with_message("is not like ABC-1".into())),
    }
}

#[derive(Message, Serialize)]
struct Accepted {
    total: u32,
}

/// Accepts an order. The handler checks the rule that involves more than one field.
#[message("order")]
async fn order(order: Order) -> Result<Accepted, HandlerError> {
    let total = order.items.iter().map(|item| item.count).sum();
    if total > 1000 {
        let error = HandlerError::new("too_many_items", "an order has at most 1000 items");
        return Err(error.with("total", total));
    }
    Ok(Accepted { total })
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let router = Router::new().routes(routes![order]);
    Server::new().include_router(router).run("127.0.0.1:8000").await
}

#[cfg(test)]
mod tests {
    use aiows::testing::TestServer;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn the_error_names_every_invalid_field() {
        let server = TestServer::new(Router::new().routes(routes![order]));
        let mut client = server.connect().await;
        let items = json!([{ "sku": "ABC-1", "count": 0 }, { "sku": "ABC", "count": 2 }]);
        let order = json!({ "type": "order", "customerName": "x", "items": items });
        client.send_json(&order).await;
        let error = client.recv_json().await;
        let paths: Vec<_> =
            error["fields"].as_array().unwrap().iter().map(|f| &f["path"]).collect();
        assert_eq!(paths, ["customerName", "items[0].count", "items[1].sku"]);
    }

    #[tokio::test]
    async fn a_handler_can_refuse_a_valid_message() {
        let item = || Item { sku: "ABC-1".into(), count: 100 };
        let items = std::iter::repeat_with(item).take(11).collect();
        let large = Order { customer_name: "ann".into(), items, mail: None };
        let error = order(large).await.err().unwrap();
        assert_eq!(error.code(), "too_many_items");
        assert_eq!(error.params()["total"], 1100);
    }
}
