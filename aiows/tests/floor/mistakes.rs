//! The mistakes that a build reports about routes, and about functions with the same mistakes.

use aiows::routing::{Route, Routes};
use aiows::{DisconnectReason, Local, RawMessage, Router, Server, ServerHandle, State};

use super::{Chat, Greeting};

fn mistakes(routes: impl Into<Vec<Routes>>) -> Vec<String> {
    let router = routes.into().into_iter().fold(Router::new(), Router::routes);
    let error = Server::from(router).build().unwrap_err();
    error.mistakes().to_vec()
}

fn by_hand(routes: impl IntoIterator<Item = Route>) -> Vec<Routes> {
    vec![routes.into_iter().collect()]
}

/// Asserts that the build reports the mistake with the location of the closure in this file.
fn assert_mistake(route: Route, line: u32, expected: &str) {
    let found = mistakes(by_hand([route]));
    let [mistake] = &found[..] else { panic!("{found:?}") };
    let kinds = ["message", "connect", "disconnect", "fallback"];
    let location = format!(" closure` ({}:{line}:", file!());
    let titled =
        kinds.iter().any(|kind| mistake.starts_with(&format!("handler `{kind}{location}")));
    assert!(titled, "{mistake} does not start with {location}");
    assert!(mistake.ends_with(expected), "{mistake}");
}

#[test]
fn a_route_that_needs_missing_or_repeated_values_is_a_mistake() {
    let line = line!() + 1;
    let route = Route::message("a", async |_| ()).needing::<State<u8>>();
    assert_mistake(
        route,
        line,
        ") needs `State<u8>`, which neither its router nor the server has: add \
         it with `Server::state` or `Router::state`",
    );
    let line = line!() + 1;
    let route = Route::connect(async |_| ()).needing::<Greeting>();
    assert_mistake(
        route,
        line,
        ") needs `State<&str>`, which neither its router nor the server has: add \
         it with `Server::state` or `Router::state`",
    );
    let line = line!() + 1;
    let route = Route::fallback(async |_| ()).needing::<Local<u8>>().needing::<Local<u8>>();
    assert_mistake(route, line, ") takes `Local<u8>` twice");
}

#[test]
fn a_route_that_takes_a_value_its_kind_does_not_have_is_a_mistake() {
    let line = line!() + 1;
    let route = Route::message("a", async |_| ()).needing::<DisconnectReason>();
    assert_mistake(route, line, ") takes `DisconnectReason`, which only disconnect handlers have");
    let line = line!() + 1;
    let route = Route::disconnect(async |_| ()).needing::<RawMessage>();
    let text = ") takes `aiows::message::raw::RawMessage`, which only message handlers have";
    assert_mistake(route, line, text);
    for (route, line) in [
        (Route::connect(async |_| ()).receiving::<Chat>(), line!()),
        (Route::disconnect(async |_| ()).receiving::<Chat>(), line!()),
        (Route::fallback(async |_| ()).receiving::<Chat>(), line!()),
    ] {
        let text = ") receives `floor::Chat`, which only the handler of a message type can";
        assert_mistake(route, line, text);
    }
}

#[test]
fn a_route_whose_type_is_reserved_or_contradicts_its_message_is_a_mistake() {
    let line = line!() + 1;
    let route = Route::message("chta", async |_| ()).receiving::<Chat>();
    let text = ") is registered for \"chta\", but its message `floor::Chat` declares \"chat\"";
    assert_mistake(route, line, text);
    let line = line!() + 1;
    let route = Route::message("ack", async |_| ()).needing::<ServerHandle>();
    assert_mistake(route, line, ") handles the reserved message type \"ack\": choose another");
}

#[test]
fn two_handlers_for_one_type_and_two_fallbacks_are_mistakes() {
    let twice = || [Route::message("a", async |_| ()), Route::fallback(async |_| ())];
    let line = line!() - 1;
    let found = mistakes(by_hand(twice().into_iter().chain(twice())));
    let [message, fallback] = &found[..] else { panic!("{found:?}") };
    assert!(message.starts_with("message type \"a\" is handled by both "), "{message}");
    assert!(fallback.ends_with(" are both fallback handlers: keep one of them"), "{fallback}");
    for mistake in [message, fallback] {
        assert_eq!(mistake.matches(&format!("({}:{line}:", file!())).count(), 2, "{mistake}");
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

    /// The attribute accepts a suffix of the declared type, because a router may add a prefix. Any
    /// other type does not compile.
    #[message("at")]
    async fn chat(_: Chat) {}

    /// Returns the text without the name of the handler.
    fn untitled(mistake: &str) -> String {
        let (start, rest) = mistake.split_once('`').unwrap();
        let (_, end) = rest.split_once(") ").unwrap();
        format!("{start}{end}")
    }

    #[test]
    fn mistakes_of_attributes_equal_those_of_routes() {
        let by_attributes = mistakes([routes![state, greeting, locals, reason, raw, chat]]);
        let by_hand = mistakes(by_hand([
            Route::message("a", async |_| ()).needing::<State<u8>>(),
            Route::connect(async |_| ()).needing::<Greeting>(),
            Route::fallback(async |_| ()).needing::<Local<u8>>().needing::<Local<u8>>(),
            Route::message("b", async |_| ()).needing::<DisconnectReason>(),
            Route::disconnect(async |_| ()).needing::<RawMessage>(),
            Route::message("at", async |_| ()).receiving::<Chat>(),
        ]));
        let untitled =
            |found: Vec<String>| found.iter().map(|text| untitled(text)).collect::<Vec<_>>();
        assert_eq!(by_attributes.len(), 6);
        assert_eq!(untitled(by_attributes), untitled(by_hand));
    }
}
