//! The steps of the tutorial: each program runs here, and the guide prints it as it stands.

#![expect(dead_code, reason = "each step has the `main` of a program")]

use std::fs;
use std::path::Path;

mod echo {
    use aiows::testing::TestServer;

    include!("../tutorial/step_1_echo.rs");

    #[tokio::test]
    async fn the_server_sends_a_text_back() {
        let server = TestServer::new(server());
        let mut client = server.connect().await;
        client.send_text("hi").await;
        assert_eq!(client.recv_text().await, "hi");
    }
}

mod typed_message {
    use aiows::testing::TestServer;
    use serde_json::json;

    include!("../tutorial/step_2_message.rs");

    #[tokio::test]
    async fn a_message_is_answered_and_a_wrong_one_refused() {
        let server = TestServer::new(server());
        let mut client = server.connect().await;
        for (sent, received) in [
            (json!({ "type": "say", "text": "hi" }), json!({ "type": "said", "text": "hi" })),
            (
                json!({ "type": "say", "id": 1, "text": "hi" }),
                json!({ "type": "said", "correlation_id": 1, "text": "hi" }),
            ),
            (
                json!({ "type": "say", "id": 2, "text": 5 }),
                json!({
                    "type": "error", "code": "invalid_payload",
                    "message": "the message does not have the expected fields",
                    "correlation_id": 2, "message_type": "say",
                    "fields": [{
                        "path": "text", "code": "wrong_type", "message": "has the wrong type",
                    }],
                }),
            ),
            (
                json!({ "type": "shout" }),
                json!({
                    "type": "error", "code": "unknown_type",
                    "message": "no handler serves this message type", "message_type": "shout",
                }),
            ),
        ] {
            client.send_json(&sent).await;
            assert_eq!(client.recv_json().await, received);
        }
    }
}

mod validation {
    use aiows::testing::TestServer;
    use serde_json::json;

    include!("../tutorial/step_3_validation.rs");

    #[tokio::test]
    async fn an_empty_text_is_refused() {
        let server = TestServer::new(server());
        let mut client = server.connect().await;
        client.send_json(&json!({ "type": "say", "text": "" })).await;
        let error = json!({
            "type": "error", "code": "validation_failed",
            "message": "the message is not valid", "message_type": "say",
            "fields": [{
                "path": "text", "code": "length", "message": "has a length out of bounds",
                "params": { "min": 1, "max": 500 },
            }],
        });
        assert_eq!(client.recv_json().await, error);
        client.send_json(&json!({ "type": "say", "text": "hi" })).await;
        assert_eq!(client.recv_json().await, json!({ "type": "said", "text": "hi" }));
    }
}

mod rooms {
    use aiows::testing::TestServer;
    use serde_json::json;

    include!("../tutorial/step_4_rooms.rs");

    #[tokio::test]
    async fn the_other_members_of_a_room_receive_a_message() {
        let server = TestServer::new(server());
        let (mut ann, mut bob) = (server.connect().await, server.connect().await);
        for client in [&mut ann, &mut bob] {
            client.send_json(&json!({ "type": "join", "id": 1, "room": "tea" })).await;
            assert_eq!(client.recv_json().await, json!({ "type": "ack", "correlation_id": 1 }));
        }
        ann.send_json(&json!({ "type": "say", "id": 2, "room": "tea", "text": "hi" })).await;
        assert_eq!(ann.recv_json().await, json!({ "type": "ack", "correlation_id": 2 }));
        let said = json!({ "type": "said", "room": "tea", "text": "hi" });
        assert_eq!(bob.recv_json().await, said);
        bob.send_json(&json!({ "type": "say", "room": "cake", "text": "hi" })).await;
        assert_eq!(bob.recv_json().await["code"], "forbidden");
    }
}

mod members {
    use aiows::testing::TestServer;
    use serde_json::json;

    include!("../tutorial/step_5_members.rs");

    #[tokio::test(start_paused = true)]
    async fn members_have_names_and_see_each_other_come_and_go() {
        let server = TestServer::new(server());
        let (mut ann, mut bob) = (server.connect().await, server.connect().await);
        for (client, name) in [(&mut ann, "ann"), (&mut bob, "bob")] {
            client.send_json(&json!({ "type": "login", "name": name })).await;
            client.send_json(&json!({ "type": "join", "room": "tea" })).await;
            let list = client.recv_json().await;
            assert_eq!(list["type"], "room.members");
        }
        let joined = ann.recv_json().await;
        assert_eq!((&joined["type"], &joined["room"]), (&json!("room.joined"), &json!("tea")));
        assert_eq!(joined["members"][0]["name"], "bob");

        bob.send_json(&json!({ "type": "login", "name": "ann" })).await;
        assert_eq!(bob.recv_json().await["code"], "name_taken");
        bob.send_json(&json!({ "type": "say", "room": "tea", "text": "hi" })).await;
        let said = json!({ "type": "said", "room": "tea", "from": "bob", "text": "hi" });
        assert_eq!(ann.recv_json().await, said);
        bob.close(1000, "").await;
        assert_eq!(ann.recv_json().await["type"], "room.left");
    }

    #[tokio::test]
    async fn without_a_login_join_is_an_internal_error() {
        let server = TestServer::new(server());
        let mut client = server.connect().await;
        client.send_json(&json!({ "type": "join", "room": "tea" })).await;
        assert_eq!(client.recv_json().await["code"], "internal");
    }
}

mod middleware {
    use aiows::testing::TestServer;
    use serde_json::json;

    include!("../tutorial/step_6_middleware.rs");

    #[tokio::test]
    async fn middleware_refuses_messages_before_the_login() {
        let server = TestServer::new(server());
        let mut client = server.connect().await;
        for message in [
            json!({ "type": "join", "room": "tea" }),
            json!({ "type": "say", "room": "tea", "text": "hi" }),
        ] {
            client.send_json(&message).await;
            assert_eq!(client.recv_json().await["code"], "no_name");
        }
        client.send_json(&json!({ "type": "login", "id": 1, "name": "ann" })).await;
        assert_eq!(client.recv_json().await["type"], "ack");
        client.send_json(&json!({ "type": "join", "room": "tea" })).await;
        assert_eq!(client.recv_json().await["type"], "room.members");
    }
}

mod shutdown {
    use aiows::testing::TestServer;
    use serde_json::json;

    include!("../tutorial/step_7_shutdown.rs");

    #[tokio::test]
    async fn a_shutdown_answers_first_and_closes_then() {
        let server = TestServer::new(server());
        let mut client = server.connect().await;
        client.send_json(&json!({ "type": "login", "id": 1, "name": "ann" })).await;
        assert_eq!(client.recv_json().await["type"], "ack");
        server.handle().shutdown(Duration::from_secs(5));
        assert_eq!(client.expect_closed(1001).await, "Server shutdown");
    }
}

/// The finished program has tests of its own.
mod chat {
    include!("../tutorial/main.rs");
}

const STEPS: [&str; 8] = [
    "step_1_echo.rs",
    "step_2_message.rs",
    "step_3_validation.rs",
    "step_4_rooms.rs",
    "step_5_members.rs",
    "step_6_middleware.rs",
    "step_7_shutdown.rs",
    "main.rs",
];

#[test]
fn the_guide_prints_every_step_byte_for_byte() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let chapter = root.join("aiows/src/docs/getting_started.md");
    let chapter = fs::read_to_string(chapter).unwrap();
    let blocks = chapter.split("\n```rust,no_run\n").skip(1);
    let blocks: Vec<_> = blocks.map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), STEPS.len());
    for (block, step) in blocks.into_iter().zip(STEPS) {
        let file = fs::read_to_string(root.join("examples/tutorial").join(step)).unwrap();
        assert!(block == file, "the guide prints another program than {step}:\n{block}");
    }
}
