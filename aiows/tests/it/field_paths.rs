//! The paths of field errors in parts of a message that serde buffers before it reads them.

use aiows::testing::TestClient;
use aiows::{Message, Router, message, routes};
use serde::Deserialize;
use serde_json::{Value, json};

use super::kit::TestServer;

#[derive(Message, Deserialize)]
struct Page {
    title: String,
    #[serde(flatten)]
    range: Range,
    #[serde(default)]
    shapes: Vec<Shape>,
    #[serde(default)]
    span: Option<Span>,
    #[serde(default)]
    mood: Option<Mood>,
}
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    from_page: u8,
    #[serde(default)]
    sizes: Vec<u8>,
    #[serde(flatten)]
    deep: Deep,
}
#[derive(Deserialize)]
struct Deep {
    #[serde(default)]
    level: Option<u8>,
}
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Shape {
    Circle { radius: u8 },
    Dots { at: Vec<[i8; 2]> },
}
#[derive(Deserialize)]
#[serde(try_from = "Plain")]
struct Span;
#[derive(Deserialize)]
struct Plain {
    from: u8,
    to: u8,
}
impl TryFrom<Plain> for Span {
    type Error = &'static str;
    fn try_from(plain: Plain) -> Result<Self, &'static str> {
        if plain.from > plain.to { Err("ends before it starts") } else { Ok(Self) }
    }
}
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mood {
    Good { since: u8 },
}
#[message("page")]
async fn page(page: Page) -> Value {
    let shapes = page.shapes.iter().map(|shape| match shape {
        Shape::Circle { radius } => usize::from(*radius),
        Shape::Dots { at } => at.len(),
    });
    let Range { from_page, sizes, deep } = page.range;
    let moods = page.mood.map(|Mood::Good { since }| since);
    json!({
        "type": "read", "title": page.title, "from": from_page, "sizes": sizes.len(),
        "level": deep.level, "shapes": shapes.sum::<usize>(), "span": page.span.is_some(),
        "mood": moods,
    })
}

/// The fields of a message, and the path and the code of the field error.
const FAULTS: [(&str, &str, &str); 19] = [
    (r#""fromPage":"x""#, "fromPage", "wrong_type"),
    (r#""fromPage":256"#, "fromPage", "invalid_value"),
    (r#""fromPage":-1"#, "fromPage", "invalid_value"),
    (r#""fromPage":1.5"#, "fromPage", "wrong_type"),
    (r#""fromPage":null"#, "fromPage", "wrong_type"),
    (r#""fromPage":{"a":"b"}"#, "fromPage", "wrong_type"),
    (r#""other":1"#, "fromPage", "missing"),
    (r#""fromPage":1,"sizes":[1,"two",3]"#, "sizes[1]", "wrong_type"),
    (r#""fromPage":1,"sizes":[1,300]"#, "sizes[1]", "invalid_value"),
    (r#""fromPage":1,"level":true"#, "level", "wrong_type"),
    (
        r#""fromPage":1,"shapes":[{"kind":"circle","radius":1},{"kind":"circle","radius":"x"}]"#,
        "shapes[1].radius",
        "wrong_type",
    ),
    (r#""fromPage":1,"shapes":[{"radius":[],"kind":"circle"}]"#, "shapes[0].radius", "wrong_type"),
    (r#""fromPage":1,"shapes":[{"kind":"circle"}]"#, "shapes[0].radius", "missing"),
    (r#""fromPage":1,"shapes":[{"kind":"square"}]"#, "shapes[0].kind", "invalid_value"),
    (
        r#""fromPage":1,"shapes":[{"kind":"dots","at":[[1,2],[3,"y"]]}]"#,
        "shapes[0].at[1][1]",
        "wrong_type",
    ),
    (r#""fromPage":1,"span":{"from":1,"to":"z"}"#, "span.to", "wrong_type"),
    (r#""fromPage":1,"span":{"from":2,"to":1}"#, "span", "invalid_value"),
    (r#""fromPage":1,"mood":{"good":{"since":"x"}}"#, "mood.good.since", "wrong_type"),
    // The invalid value occurs twice, so its path is ambiguous and ends where serde's path ends.
    (r#""fromPage":"x","sizes":["x"]"#, "", "wrong_type"),
];

async fn request(client: &mut TestClient, text: &str) -> Value {
    client.send_text(text).await;
    client.recv_json().await
}

#[tokio::test]
async fn the_path_of_a_field_error_passes_through_flattened_structs_tagged_enums_and_conversions() {
    let server = TestServer::new(Router::new().routes(routes![page]));
    let mut client = server.connect().await;
    for (fields, path, code) in FAULTS {
        let text = format!(r#"{{"type":"page","id":7,"title":"x y",{fields}}}"#);
        let error = request(&mut client, &text).await;
        let [field] = error["fields"].as_array().unwrap().as_slice() else { panic!("{error}") };
        assert_eq!((&field["path"], &field["code"]), (&path.into(), &code.into()), "{text}");
    }
    let read =
        request(&mut client, r#"{"type":"page","title":"x","fromPage":1,"level":null}"#).await;
    assert_eq!(read["type"], "read");
}

#[tokio::test]
async fn a_128_bit_number_is_read_as_a_direct_field_but_not_in_a_flattened_struct() {
    #[derive(Message, Deserialize)]
    struct Wide {
        own: u128,
        #[serde(flatten)]
        rest: Rest,
    }
    #[derive(Deserialize)]
    struct Rest {
        #[serde(default)]
        far: Option<u128>,
    }
    #[message("wide")]
    async fn wide(wide: Wide) -> Value {
        json!({ "type": "read", "own": wide.own.to_string(), "far": wide.rest.far.is_some() })
    }
    let server = TestServer::new(Router::new().routes(routes![wide]));
    let mut client = server.connect().await;
    let max = u128::MAX.to_string();
    let read = request(&mut client, r#"{"type":"wide","own":7,"far":null}"#).await;
    assert_eq!(read["own"], "7");
    for number in ["7", &max] {
        let error =
            request(&mut client, &format!(r#"{{"type":"wide","own":7,"far":{number}}}"#)).await;
        assert_eq!(
            (&error["code"], &error["fields"][0]["path"]),
            (&"invalid_payload".into(), &"".into())
        );
    }
}
