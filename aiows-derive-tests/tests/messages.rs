//! Messages on the wire: type names, field names and the errors for invalid fields.

use std::collections::HashMap;

use aiows::routing::Routes;
use aiows::testing::TestServer;
use aiows::{Message, Router, WireNames, message, routes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use validator::{Validate, ValidationError};

/// Sends a text to a server with these handlers and returns the answer.
async fn answer(routes: Routes, text: &str) -> Value {
    let server = TestServer::new(Router::new().routes(routes));
    let mut client = server.connect().await;
    client.send_text(text).await;
    client.recv_json().await
}

/// Checks that the answer is an error with this code, and returns its `fields`.
async fn rejected_fields(routes: Routes, code: &str, text: &str) -> Value {
    let mut answer = answer(routes, text).await;
    let fields = answer["fields"].take();
    let request: Value = serde_json::from_str(text).expect("requests are JSON");
    let message = match code {
        "invalid_payload" => "the message does not have the expected fields",
        _ => "the message is not valid",
    };
    let expected = json!({
        "type": "error",
        "code": code,
        "message": message,
        "message_type": request["type"],
        "fields": null,
    });
    assert_eq!(answer, expected, "{text}");
    fields
}

mod type_names {
    use super::*;

    #[derive(Message, Serialize)]
    struct ChatResponse;

    #[derive(Message, Serialize)]
    struct HTTPPing {}

    #[derive(Message, Serialize)]
    struct PingV2;

    #[expect(non_camel_case_types, reason = "a keyword as a name")]
    #[derive(Message, Serialize)]
    struct r#match;

    #[derive(Message, Serialize)]
    #[aiows(type = "room.entered")]
    struct Joined;

    #[message("all")]
    async fn all(ws: aiows::WebSocket) -> aiows::Result<Joined> {
        ws.send(&ChatResponse).await?;
        ws.send(&HTTPPing {}).await?;
        ws.send(&PingV2).await?;
        ws.send(&r#match).await?;
        Ok(Joined)
    }

    #[tokio::test]
    async fn are_snake_case_or_as_declared() {
        let server = TestServer::new(Router::new().routes(routes![all]));
        let mut client = server.connect().await;
        client.send_text(r#"{"type":"all"}"#).await;
        for name in ["chat_response", "http_ping", "ping_v2", "match", "room.entered"] {
            assert_eq!(client.recv_json().await, json!({ "type": name }));
        }
    }
}

mod unit_structs {
    use super::*;

    #[derive(Deserialize, Message, Serialize)]
    struct Ping;

    #[derive(Deserialize, Message, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {}

    #[message("ping")]
    async fn ping(ping: Ping) -> Ping {
        ping
    }

    #[message("strict")]
    async fn strict(strict: Strict) -> Strict {
        strict
    }

    #[tokio::test]
    async fn are_messages_without_fields() {
        let text = r#"{"type":"ping","id":1,"extra":{}}"#;
        let expected = json!({ "type": "ping", "correlation_id": 1 });
        assert_eq!(answer(routes![ping], text).await, expected);
    }

    #[tokio::test]
    async fn that_deny_unknown_fields_accept_the_envelope() {
        let text = r#"{"type":"strict","id":1,"correlation_id":"s1"}"#;
        let expected = json!({ "type": "strict", "correlation_id": 1 });
        assert_eq!(answer(routes![strict], text).await, expected);
        let fields =
            rejected_fields(routes![strict], "invalid_payload", r#"{"type":"strict","extra":1}"#)
                .await;
        let expected = json!([{
            "path": "extra", "code": "unknown", "message": "is not a field of this message",
        }]);
        assert_eq!(fields, expected);
    }
}

mod newtypes {
    use super::*;

    #[derive(Deserialize, Message, Serialize)]
    struct Sum(Terms);

    #[derive(Deserialize, Serialize)]
    struct Terms {
        left: u8,
        right: u8,
    }

    #[message("sum")]
    async fn sum(Sum(Terms { left, right }): Sum) -> Sum {
        Sum(Terms { left: right, right: left })
    }

    #[tokio::test]
    async fn are_sent_as_the_object_they_hold() {
        let text = r#"{"type":"sum","left":1,"right":2}"#;
        let expected = json!({ "type": "sum", "left": 2, "right": 1 });
        assert_eq!(answer(routes![sum], text).await, expected);
    }
}

mod wrapped {
    use super::*;

    #[derive(Deserialize, Message, Serialize)]
    #[serde(transparent)]
    struct Whole {
        payload: HashMap<String, u8>,
    }

    #[derive(Deserialize, Message, Serialize)]
    struct Part {
        named: u8,
        #[serde(flatten)]
        others: HashMap<String, Value>,
    }

    /// serde converts it to another type on the wire, so its own fields may have any name.
    #[derive(Clone, Deserialize, Message, Serialize)]
    #[serde(from = "Wire", into = "Wire")]
    struct Converted {
        id: u8,
    }

    #[derive(Deserialize, Serialize)]
    struct Wire {
        number: u8,
    }

    impl From<Wire> for Converted {
        fn from(Wire { number }: Wire) -> Self {
            Self { id: number }
        }
    }

    impl From<Converted> for Wire {
        fn from(Converted { id }: Converted) -> Self {
            Self { number: id }
        }
    }

    #[message("whole")]
    async fn whole(whole: Whole) -> Whole {
        whole
    }

    #[message("part")]
    async fn part(part: Part) -> Part {
        part
    }

    #[message("converted")]
    async fn converted(converted: Converted) -> Converted {
        converted
    }

    #[tokio::test]
    async fn fields_do_not_receive_the_envelope() {
        let text = r#"{"type":"whole","id":1,"correlation_id":"s1","a":2}"#;
        let expected = json!({ "type": "whole", "correlation_id": 1, "a": 2 });
        assert_eq!(answer(routes![whole], text).await, expected);
        let text = r#"{"id":1,"named":1,"a":[2],"type":"part","correlation_id":"s1"}"#;
        let expected = json!({ "type": "part", "correlation_id": 1, "named": 1, "a": [2] });
        assert_eq!(answer(routes![part], text).await, expected);
    }

    #[tokio::test]
    async fn a_converted_message_has_the_fields_of_its_wire_type() {
        let text = r#"{"type":"converted","id":"q","number":7}"#;
        let expected = json!({ "type": "converted", "correlation_id": "q", "number": 7 });
        assert_eq!(answer(routes![converted], text).await, expected);
    }

    #[tokio::test]
    async fn invalid_fields_are_reported_as_far_as_serde_knows_them() {
        let text = r#"{"type":"part","named":"x","a":1}"#;
        let found = rejected_fields(routes![part], "invalid_payload", text).await;
        let expected =
            json!([{ "path": "named", "code": "wrong_type", "message": "has the wrong type" }]);
        assert_eq!(found, expected);
    }
}

mod serde_names {
    use super::*;

    #[derive(Deserialize, Message, Serialize)]
    #[serde(deny_unknown_fields, rename_all = "camelCase")]
    struct Order {
        user_id: u8,
        #[serde(rename = "amount")]
        how_many: u8,
        #[serde(default)]
        gift_wrap: bool,
        #[serde(rename(deserialize = "in", serialize = "out"))]
        direction: Option<String>,
        r#loop: Option<u8>,
    }

    #[message("order")]
    async fn order(order: Order) -> Order {
        order
    }

    #[tokio::test]
    async fn hold_in_both_directions() {
        let text = r#"{"type":"order","userId":1,"amount":2,"in":"left","loop":3}"#;
        let expected = json!({
            "type": "order",
            "userId": 1,
            "amount": 2,
            "giftWrap": false,
            "out": "left",
            "loop": 3,
        });
        assert_eq!(answer(routes![order], text).await, expected);
    }

    #[tokio::test]
    async fn appear_in_the_error_for_an_invalid_field() {
        for (text, path, code, message) in [
            (r#"{"type":"order","amount":2}"#, "userId", "missing", "is required"),
            (
                r#"{"type":"order","userId":1,"amount":"2"}"#,
                "amount",
                "wrong_type",
                "has the wrong type",
            ),
            (
                r#"{"type":"order","userId":1,"amount":256}"#,
                "amount",
                "invalid_value",
                "does not have an accepted value",
            ),
            (
                r#"{"type":"order","userId":1,"amount":2,"how_many":2}"#,
                "how_many",
                "unknown",
                "is not a field of this message",
            ),
            (
                r#"{"type":"order","userId":1,"amount":2,"loop":"x"}"#,
                "loop",
                "wrong_type",
                "has the wrong type",
            ),
        ] {
            let fields = rejected_fields(routes![order], "invalid_payload", text).await;
            assert_eq!(fields, json!([{ "path": path, "code": code, "message": message }]));
        }
    }
}

mod validation {
    use super::*;

    /// Nests types that derive `WireNames`, a message, and a type without wire names.
    #[derive(Deserialize, Message, Serialize, Validate)]
    #[serde(rename_all = "camelCase")]
    #[validate(schema(function = has_a_way_out))]
    struct Party {
        #[validate(length(min = 1, max = 5))]
        host_name: String,
        #[serde(rename = "tags", default)]
        #[validate(nested)]
        all_tags: Vec<Tag>,
        #[validate(nested)]
        first_guest: Option<Guest>,
        #[serde(flatten)]
        #[validate(nested)]
        place: Place,
        #[validate(nested)]
        music: Option<Music>,
        #[serde(default)]
        #[validate(nested)]
        by_room: HashMap<String, Tag>,
        #[serde(rename = "nr")]
        #[validate(range(min = 1, message = "start at one"))]
        r#try: Option<u8>,
        #[serde(default)]
        doors: Option<u8>,
    }

    fn has_a_way_out(party: &Party) -> Result<(), ValidationError> {
        match party.doors {
            Some(0) => Err(ValidationError::new("no_way_out")),
            _ => Ok(()),
        }
    }

    #[derive(Deserialize, Serialize, Validate, WireNames)]
    struct Tag {
        #[serde(rename = "name")]
        #[validate(length(min = 1))]
        text: String,
    }

    /// A message in its own right.
    #[derive(Deserialize, Message, Serialize, Validate)]
    struct Guest {
        #[serde(rename(deserialize = "nick", serialize = "called"))]
        #[validate(length(min = 1))]
        name: String,
        #[validate(nested)]
        home: Option<Place>,
    }

    #[derive(Deserialize, Serialize, Validate, WireNames)]
    #[serde(rename_all = "kebab-case")]
    struct Place {
        #[validate(length(min = 4))]
        zip_code: String,
    }

    #[derive(Deserialize, Serialize, Validate, WireNames)]
    #[serde(transparent)]
    struct Music {
        #[validate(nested)]
        style: Style,
    }

    /// A type without wire names. Errors contain the names of its fields in Rust.
    #[derive(Deserialize, Serialize, Validate)]
    struct Style {
        #[serde(rename = "tempo")]
        #[validate(range(max = 200))]
        beats: u16,
    }

    #[message("party")]
    async fn party(party: Party) -> Party {
        party
    }

    async fn fields(rest: &str) -> Value {
        let text = format!(r#"{{"type":"party",{rest}}}"#);
        rejected_fields(routes![party], "validation_failed", &text).await
    }

    #[derive(Deserialize, Message, Validate)]
    #[serde(rename_all = "camelCase")]
    #[validate(nest_all_fields)]
    struct Trip {
        way_out: Vec<Tag>,
        #[validate(skip)]
        way_back: Vec<Tag>,
    }

    #[message("trip")]
    async fn trip(trip: Trip) -> Value {
        json!({ "back": trip.way_back.len() })
    }

    #[tokio::test]
    async fn checks_the_fields_of_a_struct_with_nest_all_fields() {
        let text = |out: &str| {
            let many = vec![r#"{"name":""}"#; 1_000].join(",");
            format!(r#"{{"type":"trip","wayOut":[{{"name":"{out}"}}],"wayBack":[{many}]}}"#)
        };
        let fields = rejected_fields(routes![trip], "validation_failed", &text("")).await;
        assert_eq!(fields, json!([too_short("wayOut[0].name", 1)]));
        assert_eq!(answer(routes![trip], &text("x")).await, json!({ "back": 1_000 }));
    }

    fn too_short(path: &str, min: u8) -> Value {
        json!({
            "path": path,
            "code": "length",
            "message": "has a length out of bounds",
            "params": { "min": min },
        })
    }

    #[tokio::test]
    async fn accepts_a_valid_message() {
        let text = r#"{"type":"party","hostName":"ann","zip-code":"1000","nr":1,"doors":2,
            "tags":[{"name":"a"}],"firstGuest":{"nick":"bob"},"music":{"tempo":90}}"#;
        let expected = json!({
            "type": "party",
            "hostName": "ann",
            "tags": [{ "name": "a" }],
            "firstGuest": { "called": "bob", "home": null },
            "zip-code": "1000",
            "music": { "tempo": 90 },
            "byRoom": {},
            "nr": 1,
            "doors": 2,
        });
        assert_eq!(answer(routes![party], text).await, expected);
    }

    #[tokio::test]
    async fn reports_every_invalid_field_under_its_wire_name() {
        let found = fields(
            r#""hostName":"","zip-code":"1","nr":0,
            "tags":[{"name":"a"},{"name":""},{"name":""}],
            "firstGuest":{"nick":"","home":{"zip-code":"2"}}"#,
        )
        .await;
        let expected = json!([
            too_short("firstGuest.home.zip-code", 4),
            too_short("firstGuest.nick", 1),
            {
                "path": "hostName",
                "code": "length",
                "message": "has a length out of bounds",
                "params": { "min": 1, "max": 5 },
            },
            { "path": "nr", "code": "range", "message": "start at one", "params": { "min": 1 } },
            too_short("tags[1].name", 1),
            too_short("tags[2].name", 1),
            too_short("zip-code", 4),
        ]);
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn leaves_a_transparent_type_out_of_the_path() {
        let found = fields(r#""hostName":"ann","zip-code":"1000","music":{"tempo":201}"#).await;
        // `Style` has no wire names, so the path ends in the name of the field in Rust.
        let expected = json!([{
            "path": "music.beats",
            "code": "range",
            "message": "is out of bounds",
            "params": { "max": 200 },
        }]);
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn of_the_whole_message_reports_an_empty_path() {
        let found = fields(r#""hostName":"ann","zip-code":"1000","doors":0"#).await;
        let expected = json!([{ "path": "", "code": "no_way_out", "message": "is not valid" }]);
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn includes_the_keys_of_a_map_in_the_path() {
        let found =
            fields(r#""hostName":"ann","zip-code":"1000","byRoom":{"hall":{"name":""}}"#).await;
        assert_eq!(found, json!([too_short("byRoom.hall.name", 1)]));
    }

    #[tokio::test]
    async fn comes_after_decoding() {
        let text = r#"{"type":"party","hostName":"","tags":[{"name":"a"},{}]}"#;
        let found = rejected_fields(routes![party], "invalid_payload", text).await;
        let expected =
            json!([{ "path": "tags[1].name", "code": "missing", "message": "is required" }]);
        assert_eq!(found, expected);
    }
}

mod sets {
    use super::*;
    use aiows::WebSocket;
    use aiows::messages::Outgoing;

    #[derive(Message, Serialize)]
    struct Welcome {
        members: u32,
    }

    #[derive(Message, Serialize)]
    #[aiows(type = "room.full")]
    struct Full;

    /// A set that is nested in another set.
    #[derive(Message)]
    enum Refusal {
        Full(Full),
    }

    #[derive(Message)]
    enum Answer {
        Welcome(Welcome),
        Refusal(Refusal),
        #[cfg(any())]
        Never(Missing),
    }

    #[derive(Message, Deserialize)]
    struct Join {
        room: String,
    }

    #[message("join")]
    async fn join(join: Join) -> aiows::Result<Option<Answer>> {
        Ok(match join.room.as_str() {
            "lobby" => Some(Answer::Refusal(Refusal::Full(Full))),
            "nowhere" => None,
            _ => Some(Answer::Welcome(Welcome { members: 3 })),
        })
    }

    #[message("both")]
    async fn both(ws: WebSocket) -> aiows::Result {
        ws.send(&Answer::Welcome(Welcome { members: 1 })).await?;
        ws.try_send(&Refusal::Full(Full))?;
        Ok(())
    }

    #[tokio::test]
    async fn a_handler_answers_with_one_of_several_messages() {
        for (room, expected) in [
            ("lobby", json!({ "type": "room.full", "correlation_id": 7 })),
            ("nowhere", json!({ "type": "ack", "correlation_id": 7 })),
            ("hall", json!({ "type": "welcome", "correlation_id": 7, "members": 3 })),
        ] {
            let text = json!({ "type": "join", "id": 7, "room": room }).to_string();
            assert_eq!(answer(routes![join], &text).await, expected);
        }
    }

    #[tokio::test]
    async fn a_set_is_sent_like_the_message_it_holds() {
        let server = TestServer::new(Router::new().routes(routes![both]));
        let mut client = server.connect().await;
        client.send_text(r#"{"type":"both"}"#).await;
        assert_eq!(client.recv_json().await, json!({ "type": "welcome", "members": 1 }));
        assert_eq!(client.recv_json().await, json!({ "type": "room.full" }));
    }

    #[test]
    fn a_set_returns_the_type_of_the_message_it_holds() {
        assert_eq!(Answer::Refusal(Refusal::Full(Full)).message_type(), "room.full");
        assert_eq!(Answer::Welcome(Welcome { members: 1 }).message_type(), "welcome");
        assert_eq!(Full.message_type(), "room.full");
    }
}
