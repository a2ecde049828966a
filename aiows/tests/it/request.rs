//! Extractors that read the handshake request: path, query, headers and client IP address.

use std::collections::{BTreeMap, BTreeSet};

use aiows::extract::{Call, ClientIp, Headers};
use aiows::middleware::{Handshake, Middleware};
use aiows::routing::Route;
use aiows::{
    HandlerError, HeaderMap, Path, Query, Result, Router, Server, State, connect, disconnect,
    message, routes,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::kit::{TestServer, over_both};
use crate::raw::{REQUEST, Raw};

#[derive(Deserialize, Serialize)]
struct Seat {
    room: String,
    number: u8,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Join {
    name: String,
    #[serde(default)]
    history: u8,
    level: Option<Level>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    High,
    Low,
}

#[connect]
async fn sit(Path(seat): Path<Seat>) -> Value {
    json!({ "seat": seat })
}

#[connect]
async fn join(Query(join): Query<Join>) -> Value {
    json!({ "join": join })
}

#[message("seat")]
async fn send_seat(Path((room, number)): Path<(String, u8)>) -> Value {
    json!({ "room": room, "number": number })
}

#[message("join")]
async fn send_join(Query(join): Query<Join>) -> Value {
    json!({ "join": join })
}

fn seats(router: Router) -> Server {
    Server::new().route("/rooms/{room}/{number}", router)
}

/// Connects to a target and receives the first message.
async fn greeting_at(server: &TestServer, target: &str) -> Value {
    server.connect_to(target).await.recv_json().await
}

/// Connects to a target, sends a message, and receives the answer.
async fn answer_at(server: &TestServer, target: &str, text: &str) -> Value {
    let mut client = server.connect_to(target).await;
    client.send_text(text).await;
    client.recv_json().await
}

async fn refused(server: &TestServer, target: &str) -> (u16, Value) {
    let refused = server.try_connect(target, &[]).await.expect_err("a refusal");
    (refused.status, serde_json::from_str(&refused.body).unwrap())
}

fn path_error(path: &str, code: &str, message: &str) -> Value {
    json!({ "error": {
        "code": "invalid_path", "message": "the path does not have the expected parameters",
        "fields": [{ "path": path, "code": code, "message": message }],
    } })
}

fn query_error(path: &str, code: &str, message: &str) -> Value {
    json!({ "error": {
        "code": "invalid_query", "message": "the query does not have the expected fields",
        "fields": [{ "path": path, "code": code, "message": message }],
    } })
}

#[tokio::test]
async fn path_parameters_are_extracted_by_name_and_by_position() {
    over_both(
        || seats(Router::new().routes(routes![sit, send_seat])),
        async |server| {
            let mut client = server.connect_to("/rooms/lobby/7").await;
            let seat = json!({ "seat": { "room": "lobby", "number": 7 } });
            assert_eq!(client.recv_json().await, seat);
            client.send_text(r#"{"type":"seat"}"#).await;
            assert_eq!(client.recv_json().await, json!({ "room": "lobby", "number": 7 }));
        },
    )
    .await;
}

#[tokio::test]
async fn a_single_path_parameter_is_extracted_without_a_tuple() {
    #[derive(Deserialize, Serialize)]
    struct Room(String);
    #[connect]
    async fn room(Path(room): Path<Room>, Path(name): Path<String>) -> Value {
        json!({ "room": room, "name": name })
    }
    #[message("number")]
    async fn number(Path(number): Path<i32>) -> Value {
        json!({ "number": number })
    }
    let server = Server::new().route("/rooms/{room}", Router::new().routes(routes![room, number]));
    let server = TestServer::new(server);
    let mut client = server.connect_to("/rooms/-4").await;
    assert_eq!(client.recv_json().await, json!({ "room": "-4", "name": "-4" }));
    client.send_text(r#"{"type":"number"}"#).await;
    assert_eq!(client.recv_json().await, json!({ "number": -4 }));
    let mut client = server.connect_to("/rooms/secret").await;
    assert_eq!(client.recv_json().await, json!({ "room": "secret", "name": "secret" }));
    client.send_text(r#"{"type":"number"}"#).await;
    let expected =
        json!([{ "path": "room", "code": "wrong_type", "message": "has the wrong type" }]);
    assert_eq!(client.recv_json().await["fields"], expected);
}

#[tokio::test]
async fn path_parameters_are_percent_decoded_after_the_path_was_matched() {
    let server = TestServer::new(seats(Router::new().routes(routes![sit])));
    let seat = greeting_at(&server, "/rooms/a%20b%2Fc%C3%A9%7B/1").await;
    assert_eq!(seat, json!({ "seat": { "room": "a b/cé{", "number": 1 } }));
    let expected = json!({ "error": {
        "code": "bad_request", "message": "the path is not percent-encoded UTF-8",
    } });
    assert_eq!(refused(&server, "/rooms/%FF/1").await, (400, expected));
}

#[tokio::test]
async fn a_path_that_a_connect_handler_cannot_read_is_refused_without_quoting_it() {
    over_both(
        || seats(Router::new().routes(routes![sit, send_seat])),
        async |server| {
            for (target, code, message) in [
                ("/rooms/lobby/secret", "wrong_type", "has the wrong type"),
                ("/rooms/lobby/256", "invalid_value", "does not have an accepted value"),
            ] {
                let expected = path_error("number", code, message);
                assert_eq!(refused(&server, target).await, (400, expected));
            }
            assert_eq!(server.handle().stats().rejected, 2);
            assert_eq!(server.handle().stats().total, 0);
        },
    )
    .await;
}

#[tokio::test]
async fn a_path_that_a_message_handler_cannot_read_is_an_error_of_that_message() {
    let server = TestServer::new(seats(Router::new().routes(routes![send_seat])));
    let answer = answer_at(&server, "/rooms/lobby/secret", r#"{"type":"seat","id":3}"#).await;
    let expected = json!({
        "type": "error", "code": "invalid_path", "correlation_id": 3, "message_type": "seat",
        "message": "the path does not have the expected parameters",
        "fields": [{ "path": "number", "code": "wrong_type", "message": "has the wrong type" }],
    });
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn a_query_is_decoded_as_form_data() {
    over_both(
        || Router::new().routes(routes![join, send_join]).into(),
        async |server| {
            let mut client = server.connect_to("/?name=ann+b%26c&level=low&history=3").await;
            let expected = json!({
                "join": { "name": "ann b&c", "history": 3, "level": "low" }
            });
            assert_eq!(client.recv_json().await, expected);
            client.send_text(r#"{"type":"join"}"#).await;
            assert_eq!(client.recv_json().await, expected);
            let least = json!({ "join": { "name": "", "history": 0, "level": null } });
            assert_eq!(greeting_at(&server, "/any/path?name=").await, least);
        },
    )
    .await;
}

#[tokio::test]
async fn a_query_that_a_connect_handler_cannot_read_is_refused_without_quoting_it() {
    let server = TestServer::new(Router::new().routes(routes![join]));
    for (target, path, code, message) in [
        ("/", "name", "missing", "is required"),
        ("/?name=a&name=secret", "name", "duplicate", "is given twice"),
        ("/?name=a&history=secret", "history", "wrong_type", "has the wrong type"),
        ("/?name=a&level=secret", "level", "invalid_value", "does not have an accepted value"),
        ("/?name=a&extra=secret", "extra", "unknown", "is not a parameter of this request"),
    ] {
        let expected = query_error(path, code, message);
        assert_eq!(refused(&server, target).await, (400, expected), "{target}");
    }
}

#[tokio::test]
async fn a_query_is_extracted_into_structs_maps_and_pairs_and_never_by_position() {
    #[message("map")]
    async fn map(Query(query): Query<BTreeMap<String, String>>) -> Value {
        json!({ "query": query })
    }
    let server = TestServer::new(Router::new().routes(routes![map]));
    let query = answer_at(&server, "/?a=1&b=2&a=3", r#"{"type":"map"}"#).await;
    assert_eq!(query, json!({ "query": { "a": "3", "b": "2" } }));
    fn mistakes<T: serde::de::DeserializeOwned + Send + 'static>() -> String {
        let connect = Route::connect(async |call: Call| call.extract::<Query<T>>().await.map(drop));
        let route = connect.needing::<Query<T>>();
        match Server::from(Router::new().route(route)).build() {
            Ok(_) => String::new(),
            Err(mistakes) => mistakes.to_string(),
        }
    }
    let expected = "takes `Query<alloc::vec::Vec<u8>>`, which no query fits: take a struct, a map or a \
                    list of pairs";
    assert!(mistakes::<Vec<u8>>().contains(expected), "{}", mistakes::<Vec<u8>>());
    for refused in [
        mistakes::<String>(),
        mistakes::<Option<u8>>(),
        mistakes::<Level>(),
        mistakes::<(String, u8)>(),
        mistakes::<Vec<Option<String>>>(),
        mistakes::<BTreeSet<Level>>(),
    ] {
        assert!(refused.contains("which no query fits"), "{refused}");
    }
    for accepted in [
        mistakes::<Join>(),
        mistakes::<Option<Join>>(),
        mistakes::<Value>(),
        mistakes::<()>(),
        mistakes::<Vec<(String, u8)>>(),
        mistakes::<Option<BTreeSet<[String; 2]>>>(),
        mistakes::<BTreeMap<String, Level>>(),
    ] {
        assert_eq!(accepted, "");
    }
}

#[test]
fn an_extractor_with_another_number_of_path_parameters_is_a_mistake() {
    #[derive(Deserialize)]
    struct Pair(#[expect(dead_code)] String, #[expect(dead_code)] u8);
    #[derive(Deserialize)]
    struct Name(#[expect(dead_code)] String);
    #[derive(Deserialize)]
    struct Defaulted(
        #[expect(dead_code)] u8,
        #[serde(default)]
        #[expect(dead_code)]
        u8,
    );
    fn mistakes<T: serde::de::DeserializeOwned + Send + 'static>(path: &str) -> String {
        let routes = [
            Route::connect(|_: Call| async {}).needing::<Path<T>>(),
            Route::message("a", |_: Call| async {}).needing::<Path<T>>(),
        ];
        let router = routes.into_iter().fold(Router::new(), Router::route);
        let error = Server::new().route(path, router).build().err();
        error.map_or_else(String::new, |error| error.mistakes().join(", "))
    }
    let (one, two) = ("/rooms/{room}", "/rooms/{room}/{*rest}");
    for (refused, taken, path) in [
        (mistakes::<(String, u8)>(one), "2 parameters", one),
        (mistakes::<(String, u8, u8)>(two), "3 parameters", two),
        (mistakes::<[String; 3]>(two), "3 parameters", two),
        (mistakes::<Option<(String,)>>(two), "1 parameter,", two),
        (mistakes::<String>(two), "1 parameter,", two),
        (mistakes::<Option<Name>>(two), "1 parameter,", two),
        (mistakes::<Level>(two), "1 parameter,", two),
        (mistakes::<Pair>("/{a}/{b}/{c}"), "2 parameters", "/{a}/{b}/{c}"),
    ] {
        assert!(refused.contains(taken), "{refused}");
        assert!(refused.contains(&format!("but the path `{path}` has ")), "{refused}");
        assert_eq!(refused.matches("takes `Path<").count(), 2, "{refused}");
    }
    for accepted in [
        mistakes::<(String, u8)>(two),
        mistakes::<[String; 1]>(one),
        mistakes::<Pair>(two),
        mistakes::<Defaulted>(one),
        mistakes::<Name>(one),
        mistakes::<Option<u8>>(one),
        mistakes::<Vec<String>>(two),
        mistakes::<Vec<(String, String)>>(one),
        mistakes::<BTreeMap<String, String>>(two),
        mistakes::<Value>(two),
        mistakes::<()>(two),
        mistakes::<Seat>(two),
    ] {
        assert_eq!(accepted, "");
    }
    let found = mistakes::<(String, u8)>("/rooms");
    assert_eq!(found.matches("is bound to no path with a parameter").count(), 1, "{found}");
}

#[tokio::test]
async fn a_list_of_pairs_receives_each_parameter_with_its_name() {
    #[derive(Deserialize, Serialize)]
    struct Pairs(Vec<(String, String)>);
    #[connect]
    async fn greet(
        Query(pairs): Query<Pairs>,
        Query(levels): Query<Option<BTreeSet<(String, Level)>>>,
        Path(path): Path<Vec<(String, String)>>,
        Path(values): Path<Vec<String>>,
    ) -> Value {
        json!({ "pairs": pairs, "levels": levels.map(|all| all.len()), "path": path, "values": values })
    }
    #[message("numbers")]
    async fn numbers(Path(numbers): Path<Vec<(String, u8)>>) -> Value {
        json!({ "numbers": numbers })
    }
    #[message("unit")]
    async fn unit(Query(()): Query<()>) -> Value {
        json!({ "unit": true })
    }
    let router = Router::new().routes(routes![greet, numbers, unit]);
    let server = TestServer::new(Server::new().route("/rooms/{room}/{number}", router));
    let mut client = server.connect_to("/rooms/a%20b/7?x=low&y=high&x=low").await;
    let expected = json!({
        "pairs": [["x", "low"], ["y", "high"], ["x", "low"]], "levels": 2,
        "path": [["room", "a b"], ["number", "7"]], "values": ["a b", "7"],
    });
    assert_eq!(client.recv_json().await, expected);
    client.send_text(r#"{"type":"numbers"}"#).await;
    let error = client.recv_json().await;
    assert_eq!(
        (&error["code"], &error["fields"][0]["path"]),
        (&"invalid_path".into(), &"room".into())
    );
    client.send_text(r#"{"type":"unit"}"#).await;
    assert_eq!(client.recv_json().await, json!({ "unit": true }));
    let expected = query_error("y", "invalid_value", "does not have an accepted value");
    assert_eq!(refused(&server, "/rooms/a/1?x=low&y=secret").await, (400, expected));
}

#[tokio::test]
async fn the_field_of_a_parameter_that_does_not_fit_has_the_name_of_the_parameter() {
    #[message("pair")]
    async fn pair(Path(pair): Path<(u8, u8)>) -> Value {
        json!({ "pair": pair })
    }
    #[message("list")]
    async fn list(Path(list): Path<Vec<u8>>) -> Value {
        json!({ "list": list })
    }
    #[message("map")]
    async fn map(Path(map): Path<BTreeMap<String, u8>>) -> Value {
        json!({ "map": map })
    }
    #[message("named")]
    async fn named(Path(named): Path<Named>) -> Value {
        json!({ "named": [named.first, named.second] })
    }
    #[derive(Deserialize)]
    struct Named {
        first: u8,
        second: u8,
    }
    #[message("span")]
    async fn span(Path(span): Path<Span>) -> Value {
        json!({ "span": span.0 })
    }
    #[derive(Deserialize)]
    #[serde(try_from = "Named")]
    struct Span(u8);
    impl TryFrom<Named> for Span {
        type Error = &'static str;
        fn try_from(named: Named) -> Result<Self, &'static str> {
            named.second.checked_sub(named.first).map(Self).ok_or("ends before it starts")
        }
    }
    let server = Server::new()
        .route("/{first}/{second}", Router::new().routes(routes![pair, list, map, named, span]));
    let server = TestServer::new(server);
    for (target, path, code) in [
        ("/x/2", "first", "wrong_type"),
        ("/1/x", "second", "wrong_type"),
        ("/1/256", "second", "invalid_value"),
    ] {
        for message_type in ["pair", "list", "map", "named"] {
            let request = json!({ "type": message_type }).to_string();
            let field = &answer_at(&server, target, &request).await["fields"][0];
            assert_eq!((&field["path"], &field["code"]), (&path.into(), &code.into()), "{target}");
        }
    }
    let field = &answer_at(&server, "/2/1", r#"{"type":"span"}"#).await["fields"][0];
    assert_eq!((&field["path"], &field["code"]), (&"".into(), &"invalid_value".into()));
}

#[tokio::test]
async fn a_long_name_of_a_parameter_is_cut() {
    #[connect]
    async fn long(Query(query): Query<BTreeMap<String, u8>>) -> Value {
        json!(query)
    }
    let server = TestServer::new(Router::new().routes(routes![long]));
    let name = "n".repeat(200);
    for (target, name) in [
        (format!("/?{name}=x"), name.clone()),
        (format!("/?$serde_json::private::{name}=1"), format!("$serde_json::private::{name}")),
    ] {
        let (status, body) = refused(&server, &target).await;
        let path = body["error"]["fields"][0]["path"].as_str().unwrap();
        assert_eq!((status, path), (400, &name[..128]), "{target}");
    }
}

#[tokio::test]
async fn a_query_that_is_not_utf8_is_refused_like_such_a_path() {
    let text = "the query is not percent-encoded UTF-8";
    let expected = json!({ "error": { "code": "bad_request", "message": text } });
    for routes in [routes![join], routes![send_join]] {
        let server = TestServer::new(Router::new().routes(routes));
        for query in ["name=%ff", "name=%C3&x=%A9", "%ff=1", "name=a&room=%ED%A0%80"] {
            let refused = refused(&server, &format!("/?{query}")).await;
            assert_eq!(refused, (400, expected.clone()), "{query}");
        }
    }
    let server = TestServer::new(Router::new().routes(routes![join]));
    let greeting = greeting_at(&server, "/?name=%C3%A9+%f0%9f%98%80%25ff").await;
    assert_eq!(greeting["join"]["name"], "é \u{1f600}%ff");
    struct ReadsQuery;
    impl Middleware for ReadsQuery {
        async fn on_handshake(&self, handshake: &Handshake) -> Result {
            handshake.query::<BTreeMap<String, String>>().map(drop)
        }
    }
    let server = TestServer::new(Server::from(Router::new()).middleware(ReadsQuery));
    let expected = json!({ "error": { "code": "invalid_query", "message": text } });
    assert_eq!(refused(&server, "/?name=%ff").await, (400, expected));
}

#[tokio::test]
async fn a_query_parameter_with_a_private_key_of_serde_json_is_refused() {
    #[connect]
    async fn any(Query(query): Query<Value>) -> Value {
        json!({ "query": query })
    }
    let server = TestServer::new(Router::new().routes(routes![any]));
    let name = "$serde_json::private::RawValue";
    assert_eq!(greeting_at(&server, "/?a=[1]").await, json!({ "query": { "a": "[1]" } }));
    let expected = query_error(name, "unknown", "is not a parameter of this request");
    for target in [&format!("/?{name}=[1]"), "/?%24serde_json%3a:private::RawValue=[1]"] {
        assert_eq!(refused(&server, target).await, (400, expected.clone()), "{target}");
    }
}

#[tokio::test]
async fn headers_are_extracted_with_all_their_values() {
    #[message("headers")]
    async fn send_headers(headers: Headers) -> Result<Value> {
        let mut tokens = Vec::new();
        for token in headers.get_all("x-token") {
            tokens.push(token.to_str()?.to_owned());
        }
        Ok(json!({ "tokens": tokens, "host": headers["host"].to_str()? }))
    }
    over_both(
        || Router::new().routes(routes![send_headers]).into(),
        async |server| {
            let mut raw = Raw::reach(&server).await;
            let request = REQUEST.replace("\r\n\r\n", "\r\nX-Token: a\r\nx-token: b\r\n\r\n");
            raw.write(request.as_bytes()).await;
            raw.read_head().await;
            raw.send_text(r#"{"type":"headers"}"#).await;
            raw.expect_text(r#"{"host":"localhost","tokens":["a","b"]}"#).await;
        },
    )
    .await;
}

#[test]
fn headers_can_be_built_for_a_test_and_hide_their_values_in_debug_output() {
    let mut map = HeaderMap::new();
    map.insert("authorization", "secret".parse().unwrap());
    assert_eq!(format!("{:?}", Headers::from(map)), r#"["authorization"]"#);
}

#[tokio::test]
async fn client_ip_is_the_address_of_the_client_s_socket() {
    #[message("ip")]
    async fn ip(ClientIp(ip): ClientIp, again: Option<ClientIp>) -> Value {
        json!({ "ip": ip, "same": again == Some(ClientIp(ip)) })
    }
    let router = Router::new().routes(routes![ip]);
    let server = TestServer::bind(router.clone()).await;
    let answer = answer_at(&server, "/", r#"{"type":"ip"}"#).await;
    assert_eq!(answer, json!({ "ip": "127.0.0.1", "same": true }));
    let answer = answer_at(&TestServer::new(router), "/", r#"{"type":"ip"}"#).await;
    assert_eq!(answer["code"], "internal");
}

#[tokio::test]
async fn a_disconnect_handler_can_extract_path_query_and_headers() {
    type Left = (String, String, usize);
    #[disconnect]
    async fn leave(
        Path(seat): Path<Seat>,
        Query(query): Query<BTreeMap<String, String>>,
        headers: Headers,
        State(left): State<mpsc::Sender<Left>>,
    ) -> Result {
        Ok(left
            .send((seat.room, query["q"].clone(), headers.get_all("host").iter().count()))
            .await?)
    }
    let (left, mut lefts) = mpsc::channel::<Left>(1);
    let server = TestServer::new(seats(Router::new().routes(routes![leave]).state(left)));
    server.connect_to("/rooms/lobby/1?q=x").await.close(1000, "").await;
    assert_eq!(lefts.recv().await, Some(("lobby".to_owned(), "x".to_owned(), 1)));
}

#[tokio::test]
async fn a_closure_must_declare_that_it_needs_the_path() {
    let room = |call: Call| async move {
        let Path(room) = call.extract::<Path<String>>().await?;
        Ok::<_, HandlerError>(json!({ "room": room }))
    };
    let declared = Router::new().route(Route::message("room", room).needing::<Path<String>>());
    let server = TestServer::new(Server::new().route("/{room}", declared));
    assert_eq!(answer_at(&server, "/a", r#"{"type":"room"}"#).await, json!({ "room": "a" }));
    let undeclared = Router::new().route(Route::message("room", room));
    let server = TestServer::new(Server::new().route("/{room}", undeclared));
    assert_eq!(answer_at(&server, "/a", r#"{"type":"room"}"#).await["code"], "internal");
}

#[test]
fn a_handler_that_takes_path_on_a_route_without_parameters_is_a_mistake() {
    let router = Router::new().routes(routes![sit]);
    for server in [Server::from(router.clone()), Server::new().route("/rooms", router)] {
        let error = server.build().unwrap_err();
        let title = concat!("handler `", module_path!(), "::sit` (");
        let mistake = "takes `Path`, but its router is bound to no path with a parameter";
        assert_eq!(error.mistakes().len(), 1);
        assert!(error.mistakes()[0].starts_with(title));
        assert!(error.mistakes()[0].ends_with(mistake), "{error}");
    }
}

#[tokio::test]
async fn path_and_query_are_extracted_into_128_bit_numbers_and_options() {
    #[message("unsigned")]
    async fn unsigned(Path(number): Path<u128>) -> Value {
        json!({ "number": number.to_string() })
    }
    #[message("signed")]
    async fn signed(Path(number): Path<i128>) -> Value {
        json!({ "number": number.to_string() })
    }
    #[message("option")]
    async fn option(Path(number): Path<Option<u128>>) -> Value {
        json!({ "number": number.map(|number| number.to_string()) })
    }
    #[message("struct")]
    async fn named(Path(seat): Path<Option<Wide>>) -> Value {
        json!({ "number": seat.unwrap().number.unwrap().to_string() })
    }
    #[derive(Deserialize)]
    struct Wide {
        number: Option<i128>,
    }
    #[message("query")]
    async fn query(Query(query): Query<Option<Wide>>) -> Value {
        json!({ "number": query.map(|wide| wide.number.map(|number| number.to_string())) })
    }
    let router = || Router::new().routes(routes![unsigned, signed, option, named, query]);
    let server = TestServer::new(Server::new().route("/{number}", router()));
    let max = i128::MAX.to_string();
    let mut client = server.connect_to(&format!("/{max}?number=-{max}")).await;
    for message_type in ["unsigned", "signed", "option", "struct"] {
        client.send_json(&json!({ "type": message_type })).await;
        assert_eq!(client.recv_json().await, json!({ "number": max }), "{message_type}");
    }
    client.send_json(&json!({ "type": "query" })).await;
    assert_eq!(client.recv_json().await, json!({ "number": format!("-{max}") }));
    let mut client = server.connect_to("/ten").await;
    for message_type in ["unsigned", "signed", "option"] {
        client.send_json(&json!({ "type": message_type })).await;
        let error = client.recv_json().await;
        assert_eq!(
            (&error["code"], &error["fields"][0]["path"]),
            (&"invalid_path".into(), &"number".into())
        );
    }
    client.send_json(&json!({ "type": "query" })).await;
    assert_eq!(client.recv_json().await, json!({ "number": null }));
}
