//! What is told at the build about routes, and about functions that make the same mistake.

use aiows::{
    DisconnectReason, Local, RawMessage, Route, Router, Routes, Server, ServerHandle, State,
};

use super::{Chat, Greeting};

fn mistakes(routes: impl Into<Vec<Routes>>) -> Vec<String> {
    let router = routes.into().into_iter().fold(Router::new(), Router::routes);
    let error = Server::from(router).build().unwrap_err();
    error.mistakes().to_vec()
}

fn by_hand(routes: impl IntoIterator<Item = Route>) -> Vec<Routes> {
    vec![routes.into_iter().collect()]
}

/// Asserts that the mistake is told of a closure that stands in this file.
fn assert_told(route: Route, line: u32, expected: &str) {
    let told = mistakes(by_hand([route]));
    let [told] = &told[..] else { panic!("{told:?}") };
    let kinds = ["message", "connect", "disconnect", "fallback"];
    let place = format!(" closure` ({}:{line}:", file!());
    let titled = kinds.iter().any(|kind| told.starts_with(&format!("handler `{kind}{place}")));
    assert!(titled, "{told} is not titled with {place}");
    assert!(told.ends_with(expected), "{told}");
}

#[test]
fn what_a_route_needs_has_to_be_there() {
    let line = line!() + 1;
    let route = Route::message("a", async |_| ()).needing::<State<u8>>();
    assert_told(route, line, ") needs `State<u8>`, which neither its router nor the server has");
    let line = line!() + 1;
    let route = Route::connect(async |_| ()).needing::<Greeting>();
    assert_told(route, line, ") needs `State<&str>`, which neither its router nor the server has");
    let line = line!() + 1;
    let route = Route::fallback(async |_| ()).needing::<Local<u8>>().needing::<Local<u8>>();
    assert_told(route, line, ") takes `Local<u8>` twice");
}

#[test]
fn what_a_route_takes_exists_for_its_kind() {
    let line = line!() + 1;
    let route = Route::message("a", async |_| ()).needing::<DisconnectReason>();
    assert_told(route, line, ") takes `DisconnectReason`, which only disconnect handlers have");
    let line = line!() + 1;
    let route = Route::disconnect(async |_| ()).needing::<RawMessage>();
    let text = ") takes `aiows::message::raw::RawMessage`, which only message handlers have";
    assert_told(route, line, text);
    for (route, line) in [
        (Route::connect(async |_| ()).receiving::<Chat>(), line!()),
        (Route::disconnect(async |_| ()).receiving::<Chat>(), line!()),
        (Route::fallback(async |_| ()).receiving::<Chat>(), line!()),
    ] {
        let text = ") receives `floor::Chat`, which only the handler of a message type can";
        assert_told(route, line, text);
    }
}

#[test]
fn what_a_route_serves_is_what_its_message_declares() {
    let line = line!() + 1;
    let route = Route::message("chta", async |_| ()).receiving::<Chat>();
    let text = ") is registered for \"chta\", but its message `floor::Chat` declares \"chat\"";
    assert_told(route, line, text);
    let line = line!() + 1;
    let route = Route::message("ack", async |_| ()).needing::<ServerHandle>();
    assert_told(route, line, ") serves the reserved message type \"ack\"");
}

#[test]
fn nothing_is_served_twice() {
    let twice = || [Route::message("a", async |_| ()), Route::fallback(async |_| ())];
    let line = line!() - 1;
    let told = mistakes(by_hand(twice().into_iter().chain(twice())));
    let [message, fallback] = &told[..] else { panic!("{told:?}") };
    assert!(message.starts_with("message type \"a\" is handled by both "), "{message}");
    assert!(fallback.ends_with(" are both fallback handlers, a router has one"), "{fallback}");
    for told in [message, fallback] {
        assert_eq!(told.matches(&format!("({}:{line}:", file!())).count(), 2, "{told}");
    }
}

#[cfg(feature = "macros")]
mod of_attributes {
    use aiows::{connect, disconnect, fallback, message, routes};

    use super::*;

    #[message("a")]
    async fn state(_: State<u8>) {}

    #[connect]
    async fn greeting(_: Greeting) {}

    #[fallback]
    async fn locals(_: Local<u8>, _: Local<u8>) {}

    #[message("b")]
    async fn reason(_: DisconnectReason) {}

    #[disconnect]
    async fn raw(_: RawMessage) {}

    /// A type that ends otherwise does not compile.
    #[message("at")]
    async fn chat(_: Chat) {}

    /// The text without what names the handler.
    fn untitled(told: &str) -> String {
        let (start, rest) = told.split_once('`').unwrap();
        let (_, end) = rest.split_once(") ").unwrap();
        format!("{start}{end}")
    }

    #[test]
    fn are_those_of_routes() {
        let by_attributes = mistakes([routes![state, greeting, locals, reason, raw, chat]]);
        let told_by_hand = mistakes(by_hand([
            Route::message("a", async |_| ()).needing::<State<u8>>(),
            Route::connect(async |_| ()).needing::<Greeting>(),
            Route::fallback(async |_| ()).needing::<Local<u8>>().needing::<Local<u8>>(),
            Route::message("b", async |_| ()).needing::<DisconnectReason>(),
            Route::disconnect(async |_| ()).needing::<RawMessage>(),
            Route::message("at", async |_| ()).receiving::<Chat>(),
        ]));
        let untitled =
            |told: Vec<String>| told.iter().map(|text| untitled(text)).collect::<Vec<_>>();
        assert_eq!(by_attributes.len(), 6);
        assert_eq!(untitled(by_attributes), untitled(told_by_hand));
    }
}
