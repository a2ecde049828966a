//! Modules with `#[router]`, called by clients over a connection in memory.

use aiows::testing::TestServer;
use aiows::{Router, Server, router};
use serde_json::{Value, json};
use tokio::sync::mpsc;

async fn answers<const N: usize>(router: Router, types: [&str; N]) -> [Value; N] {
    let server = TestServer::new(router);
    let mut client = server.connect().await;
    let mut answers = [const { Value::Null }; N];
    for (message_type, answer) in types.into_iter().zip(&mut answers) {
        client.send_json(&json!({ "type": message_type })).await;
        *answer = client.recv_json().await;
    }
    answers
}

type Left = mpsc::Sender<String>;

#[router]
mod every_kind {
    use super::*;
    use aiows::{DisconnectReason, RawMessage, State, connect, disconnect, fallback, message};

    #[connect]
    async fn came() -> Value {
        json!({ "greeting": "hello" })
    }

    #[connect]
    async fn came_again() -> Value {
        json!({ "greeting": "hello again" })
    }

    #[message("double")]
    pub(super) async fn double(State(number): State<u32>) -> Value {
        json!({ "is": 2 * number })
    }

    #[fallback]
    async fn otherwise(raw: RawMessage) -> Value {
        json!({ "unserved": raw.message_type() })
    }

    #[disconnect]
    async fn left(State(left): State<Left>, reason: DisconnectReason) -> aiows::Result {
        Ok(left.send(reason.to_string()).await?)
    }
}

#[tokio::test]
async fn every_kind_of_handler_is_found() {
    let (left, mut reasons) = mpsc::channel::<String>(1);
    let server = Server::new().include_router(every_kind::router().state(4_u32)).state(left);
    let server = TestServer::new(server);
    let mut client = server.connect().await;
    assert_eq!(client.recv_json().await, json!({ "greeting": "hello" }));
    assert_eq!(client.recv_json().await, json!({ "greeting": "hello again" }));
    client.send_json(&json!({ "type": "double" })).await;
    assert_eq!(client.recv_json().await, json!({ "is": 8 }));
    client.send_json(&json!({ "type": "halve" })).await;
    assert_eq!(client.recv_json().await, json!({ "unserved": "halve" }));
    client.close(1000, "bye").await;
    assert_eq!(reasons.recv().await.as_deref(), Some("closed by peer (1000): bye"));
}

#[tokio::test]
async fn handlers_are_called_like_any_function() {
    assert_eq!(every_kind::double(aiows::State(3)).await, json!({ "is": 6 }));
}

#[test]
fn missing_state_is_reported_for_the_handler() {
    let server = Server::new().include_router(every_kind::router().state(4_u32));
    let error = server.build().unwrap_err();
    let [mistake] = error.mistakes() else { panic!("{error}") };
    assert!(mistake.starts_with("handler `router_mod::every_kind::left` ("), "{mistake}");
    assert!(mistake.contains("needs `State<"), "{mistake}");
}

#[router]
mod conditions {
    use super::*;

    #[cfg(test)]
    #[aiows::message("which")]
    async fn kept() -> Value {
        json!({ "is": "kept" })
    }

    #[cfg(not(test))]
    #[aiows::message("which")]
    async fn dropped() -> Missing {}

    #[cfg_attr(test, aiows::message("attribute"))]
    async fn attribute() -> Value {
        json!({ "is": "attribute" })
    }

    #[cfg_attr(not(test), aiows::message("other"))]
    #[expect(dead_code, reason = "a plain function here")]
    async fn other() {}
}

#[tokio::test]
async fn conditions_apply_to_the_list() {
    let expected = [json!({ "is": "kept" }), json!({ "is": "attribute" })];
    assert_eq!(answers(conditions::router(), ["which", "attribute"]).await, expected);
}

#[router]
mod outer {
    use super::*;

    #[aiows::message("outer")]
    async fn say() -> Value {
        json!({ "from": "outer" })
    }

    #[router]
    pub(super) mod inner {
        use super::*;

        #[aiows::message("inner")]
        async fn say() -> Value {
            json!({ "from": "inner" })
        }
    }
}

#[tokio::test]
async fn a_nested_module_has_a_router_of_its_own() {
    let router = outer::router().include(outer::inner::router());
    let expected = [json!({ "from": "outer" }), json!({ "from": "inner" })];
    assert_eq!(answers(router, ["outer", "inner"]).await, expected);

    let [outer, inner] = answers(outer::router(), ["outer", "inner"]).await;
    assert_eq!((&outer["from"], &inner["code"]), (&json!("outer"), &json!("unknown_type")));
}

macro_rules! module {
    ($(#[$attribute:meta])* $visibility:vis $name:ident { $($item:item)* }) => {
        $(#[$attribute])*
        $visibility mod $name { $($item)* }
    };
}

module! {
    #[router]
    pub(crate) made {
        #[aiows::message("made")]
        async fn made() -> serde_json::Value {
            serde_json::json!({ "is": "made" })
        }
    }
}

#[tokio::test]
async fn a_module_may_be_generated_by_a_macro() {
    assert_eq!(answers(made::router(), ["made"]).await, [json!({ "is": "made" })]);
}
