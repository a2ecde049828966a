//! The paths of field errors in parts of a message that serde buffers before it reads them.

use std::collections::BTreeMap;

use aiows::testing::TestClient;
use aiows::{Message, RawMessage, Result, Router, fallback, message, routes};
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
    #[serde(default)]
    tone: Option<Tone>,
}
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Tone {
    Low,
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
    Drawn(Shape),
}
#[message("page")]
async fn page(page: Page) -> Value {
    let size = |shape: &Shape| match shape {
        Shape::Circle { radius } => usize::from(*radius),
        Shape::Dots { at } => at.len(),
    };
    let Range { from_page, sizes, deep } = page.range;
    let moods = page.mood.map(|mood| match mood {
        Mood::Good { since } => usize::from(since),
        Mood::Drawn(shape) => size(&shape),
    });
    let is_low = matches!(deep.tone, Some(Tone::Low));
    json!({
        "type": "read", "title": page.title, "from": from_page, "sizes": sizes.len(),
        "level": deep.level, "shapes": page.shapes.iter().map(size).sum::<usize>(), "span": page.span.is_some(),
        "mood": moods, "low": is_low,
    })
}

/// The fields of a message, and the path and the code of the field error.
const FAULTS: [(&str, &str, &str); 21] = [
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
    (
        r#""fromPage":1,"mood":{"drawn":{"kind":"circle","radius":"x"}}"#,
        "mood.drawn.radius",
        "wrong_type",
    ),
    (r#""fromPage":1,"tone":"loud""#, "tone", "invalid_value"),
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

/// The fields of a message of type `loose`, and the path and the code of the field error.
const LOOSE: [(&str, &str, &str); 10] = [
    (r#""ages":{"ann":"x"}"#, "ages.ann", "wrong_type"),
    (r#""ages":{"":"x"}"#, "ages.", "wrong_type"),
    (r#""ages":{"a.b[0]":"x"}"#, "ages.a.b[0]", "wrong_type"),
    (r#""lists":{"":[1,"x"]}"#, "lists.[1]", "wrong_type"),
    (r#""lists":{"a":{"b":1}}"#, "lists.a", "wrong_type"),
    (r#""matrix":[[1],[2,3,"x"]]"#, "matrix[1][2]", "wrong_type"),
    (r#""":"x""#, "", "wrong_type"),
    (r#""any":{"a":[1e999]}"#, "any.a[0]", "invalid_value"),
    (r#""ages":[]"#, "ages", "wrong_type"),
    (r#""ages":{"ann":{"a":{}}}"#, "ages.ann", "wrong_type"),
];

#[tokio::test]
async fn the_path_of_a_field_error_has_the_keys_of_maps_as_they_are() {
    #[derive(Default, Message, Deserialize)]
    #[serde(default)]
    struct Loose {
        ages: BTreeMap<String, u8>,
        lists: BTreeMap<String, Vec<u8>>,
        matrix: Vec<Vec<u8>>,
        #[serde(rename = "")]
        unnamed: u8,
        any: Value,
    }
    #[message("loose")]
    async fn loose(loose: Loose) -> Value {
        let sizes = [loose.ages.len(), loose.lists.len(), loose.matrix.len()];
        json!({ "type": "read", "sizes": sizes, "unnamed": loose.unnamed, "any": loose.any })
    }
    let server = TestServer::new(Router::new().routes(routes![loose]));
    let mut client = server.connect().await;
    for (fields, path, code) in LOOSE {
        let error = request(&mut client, &format!(r#"{{"type":"loose",{fields}}}"#)).await;
        let [field] = error["fields"].as_array().unwrap().as_slice() else { panic!("{error}") };
        assert_eq!((&field["path"], &field["code"]), (&path.into(), &code.into()), "{fields}");
    }
}

#[tokio::test]
async fn the_path_of_a_field_error_behind_a_flattened_map_is_cut() {
    #[derive(Message, Deserialize)]
    struct Flat {
        #[serde(flatten)]
        ages: BTreeMap<String, Vec<u8>>,
    }
    #[message("flat")]
    async fn flat(flat: Flat) -> Value {
        json!({ "type": "read", "ages": flat.ages.len() })
    }
    let server = TestServer::new(Router::new().routes(routes![flat]));
    let mut client = server.connect().await;
    for (key, path) in [
        ("ann", "ann[1]".to_owned()),
        ("a.b", "a.b[1]".to_owned()),
        (&"k".repeat(126), format!("{}[1", "k".repeat(126))),
        (&"\u{e9}".repeat(70), "\u{e9}".repeat(64)),
        (&format!("k{}", "\u{e9}".repeat(70)), format!("k{}", "\u{e9}".repeat(63))),
    ] {
        let text = format!(r#"{{"type":"flat","id":1,"correlation_id":"x","{key}":[1,"x"]}}"#);
        let field = &request(&mut client, &text).await["fields"][0];
        assert_eq!((&field["path"], &field["code"]), (&path.into(), &"wrong_type".into()));
    }
    // The values of the head are not those of a field.
    let text = r#"{"type":"flat","id":"x","ann":[1,"x"]}"#;
    assert_eq!(request(&mut client, text).await["fields"][0]["path"], "ann[1]");
}

#[tokio::test]
async fn a_message_that_is_not_decoded_into_a_type_reports_its_field_too() {
    #[fallback]
    async fn raw(raw: RawMessage) -> Result<Value> {
        raw.json()
    }
    let server = TestServer::new(Router::new().routes(routes![raw]));
    let mut client = server.connect().await;
    let error = request(&mut client, r#"{"type":"raw","a":{"b":[1,1e999]}}"#).await;
    let fields = json!([{
        "path": "a.b[1]", "code": "invalid_value", "message": "does not have an accepted value",
    }]);
    assert_eq!((&error["code"], &error["fields"]), (&"invalid_payload".into(), &fields));
    assert_eq!(error["message"], "the message does not have the expected fields");
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
