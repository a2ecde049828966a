//! What the test kit promises to those who test with it.

use std::time::Duration;

use aiows::testing::{TestServer, socket};
use aiows::{Message, Router, Server, message, routes};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Note {
    text: String,
}

#[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
struct Remark {
    text: String,
}

fn note() -> Note {
    Note { text: "hi".into() }
}

#[message("note")]
async fn echo(note: Note) -> Note {
    note
}

#[tokio::test]
async fn a_socket_takes_as_many_messages_as_a_client_that_reads() {
    let (ws, mut sent) = socket();
    for number in 0..3000 {
        ws.send_text(&number.to_string()).now_or_never().expect("room").unwrap();
        ws.try_send(&note()).unwrap();
    }
    assert_eq!(sent.texts().len(), 6000);
    let large = "x".repeat(3 << 20);
    for _ in 0..2 {
        ws.send_text(&large).now_or_never().expect("room").unwrap();
    }
    assert_eq!(sent.texts(), [large.clone(), large]);
}

#[tokio::test]
async fn a_message_is_taken_as_its_own_type_only() {
    let (ws, mut sent) = socket();
    ws.send(&note()).await.unwrap();
    ws.send(&note()).await.unwrap();
    assert_eq!(sent.take::<Note>(), Some(note()));
    let wrong = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sent.take::<Remark>()));
    let text = *wrong.unwrap_err().downcast::<String>().unwrap();
    assert_eq!(
        text,
        r#"expected a message of type `remark`, the handler sent {"type":"note","text":"hi"}"#
    );
    assert_eq!(sent.take::<Note>(), None);
}

#[tokio::test]
async fn a_test_server_is_ready_when_it_is_made() {
    let server = TestServer::new(Router::new().routes(routes![echo]));
    assert!(server.handle().is_ready());
    assert_eq!(server.handle().ready().now_or_never(), Some(Vec::new()));
    server.shutdown(Duration::from_secs(5)).await.unwrap();
    let bound = TestServer::bind(Server::from(Router::new())).await;
    assert_eq!(bound.handle().ready().now_or_never(), Some(vec![bound.address()]));
}
