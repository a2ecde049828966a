//! Path patterns: the requests that they match, and patterns that no request can match.

use aiows::{Path, Router, Server, State, WebSocket, connect, routes};
use serde_json::json;

use super::kit::TestServer;

fn mistakes(server: Server) -> Vec<String> {
    let error = server.build().expect_err("the registration is wrong");
    error.mistakes().to_vec()
}

fn mistakes_of(path: &str) -> Vec<String> {
    mistakes(Server::new().route(path, Router::new()))
}

#[connect]
async fn greet(ws: WebSocket, State(name): State<&'static str>) -> aiows::Result {
    ws.send_json(&json!({ "at": name, "rooms": ws.rooms() })).await?;
    Ok(())
}

fn at(name: &'static str) -> Router {
    Router::new().routes(routes![greet]).state(name)
}

#[test]
fn a_router_joins_a_room_only_from_a_parameter_of_its_path() {
    for path in ["/rooms/{{room}}", "/{rooms}/room", "/{{*room}}"] {
        let server = Server::new().route(path, Router::new().join_from_path("room"));
        let mistakes = mistakes(server);
        assert!(
            mistakes.iter().any(|text| text.contains("joins the room `{room}`")),
            "{mistakes:?}"
        );
    }
    for path in ["/rooms/{room}", "/{*room}", "/{{x}}/{room}"] {
        let server = Server::new().route(path, Router::new().join_from_path("room"));
        assert!(server.build().is_ok(), "{path}");
    }
}

#[test]
fn a_handler_that_takes_path_needs_a_path_with_parameters() {
    #[connect]
    async fn enter(Path(_room): Path<String>) {}
    let router = || Router::new().routes(routes![enter]);
    let [mistake] = &mistakes(Server::new().route("/rooms/{{room}}", router()))[..] else {
        panic!("one mistake")
    };
    assert!(mistake.contains("takes `Path`"), "{mistake}");
    assert!(Server::new().route("/rooms/{room}", router()).build().is_ok());
}

#[test]
fn a_path_that_no_request_can_have_is_a_mistake() {
    for (path, text) in [
        ("/a?b", "no request has the path `/a?b`: a path ends before `?`"),
        ("/a#b", "no request has the path `/a#b`: a path ends before `#`"),
        ("/a b", "no request has the path `/a b`: write ` ` as `%20`"),
        ("/a\tb", "no request has the path `/a\\tb`: write `\\t` as `%09`"),
        ("/50%", "no request has the path `/50%`: write `%` as `%25`"),
        ("/a%zz", "no request has the path `/a%zz`: write `%` as `%25`"),
        ("/{a}/{a}", "path `/{a}/{a}` has two parameters `a`, give one of them another name"),
        ("/{a}/x/{*a}", "path `/{a}/x/{*a}` has two parameters `a`, give one of them another name"),
    ] {
        assert_eq!(mistakes_of(path), [text]);
    }
    let both = Server::new().route("/räume", Router::new()).route("/r%c3%a4ume", Router::new());
    assert_eq!(mistakes(both), ["paths `/r%c3%a4ume` and `/räume` match the same requests"]);
}

#[tokio::test]
async fn a_path_that_is_not_ascii_is_matched_percent_encoded() {
    let server = Server::new()
        .route("/räume/{name}", at("räume"))
        .route("/r%c3%a9ponse", at("réponse"))
        .route("/a|b/{{c}}", at("signs"));
    let server = TestServer::new(server);
    for (path, name) in [
        ("/r%C3%A4ume/x", "räume"),
        ("/r%c3%a4ume/%c3%a4", "räume"),
        ("/r%C3%A9ponse", "réponse"),
        ("/r%c3%a9ponse", "réponse"),
        ("/a%7Cb/%7Bc%7d", "signs"),
    ] {
        let mut client = server.connect_to(path).await;
        assert_eq!(client.recv_json().await["at"], name, "{path}");
    }
    for path in ["/raume/x", "/r%C3%A4ume", "/R%C3%A4ume/x", "/r%25C3%25A4ume/x"] {
        assert_eq!(server.try_connect(path, &[]).await.unwrap_err().status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_parameter_is_decoded_whichever_way_the_pattern_is_written() {
    let router = at("room").join_from_path("rööm");
    let server = TestServer::new(Server::new().route("/ä/{rööm}", router));
    for (path, room) in [("/%c3%a4/%c3%b6%2f|", "ö/|"), ("/%C3%A4/a%25", "a%"), ("/%C3%a4/+", "+")]
    {
        let mut client = server.connect_to(path).await;
        client.recv_json().await;
        let hub = server.handle().hub();
        while hub.room_names().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(hub.room_names(), [room], "{path}");
        client.close(1000, "").await;
        while !hub.room_names().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
