//! The generated code raises none of the lints that a strict crate denies.
//!
//! rustc does not raise some lints in tests. `ui/pass/strict_lints.rs` covers those.
#![deny(rust_2018_idioms, unused, unused_qualifications, warnings, clippy::all, clippy::pedantic)]

mod handlers {
    use aiows::{Message, WebSocket, WireNames, connect, disconnect, fallback, message};
    use serde::{Deserialize, Serialize};
    use validator::Validate;

    #[derive(Deserialize, Message, Serialize, Validate)]
    pub(crate) struct Chat {
        #[validate(length(min = 1))]
        text: String,
        #[validate(nested)]
        author: Author,
    }

    #[derive(Deserialize, Serialize, Validate, WireNames)]
    struct Author {
        #[serde(rename = "nick")]
        #[validate(length(min = 1))]
        name: String,
    }

    #[derive(Deserialize, Message)]
    pub(crate) struct Ping;

    #[connect]
    pub(crate) async fn on_connect() {}

    #[message("chat")]
    pub(crate) async fn say(_ws: WebSocket, chat: Chat) -> aiows::Result<Chat> {
        Ok(chat)
    }

    #[message("ping")]
    pub(crate) async fn ping(_: Ping) {}

    #[deprecated = "the list below contains it anyway"]
    #[message("old")]
    pub(crate) async fn old() {}

    #[disconnect]
    pub(crate) async fn on_disconnect() {}

    #[fallback]
    pub(crate) async fn otherwise() {}
}

#[aiows::router]
mod listed {
    use aiows::{Router, WebSocket, message};

    #[message("listed")]
    async fn listed(_ws: WebSocket) {}

    #[cfg(test)]
    #[aiows::connect]
    async fn on_connect() {}

    pub(crate) fn empty() -> Router {
        Router::new()
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn the_router_is_visible_to_the_tests_of_its_module() {
            drop(super::router());
        }
    }
}

#[test]
fn generated_code_raises_no_lints() {
    use aiows::{message, routes};
    use handlers::{on_connect, on_disconnect, otherwise, ping, say};

    #[message("local")]
    async fn local() {}

    #[expect(deprecated, reason = "a deprecated handler warns where it is listed")]
    let list = routes![on_connect, say, ping, handlers::old, on_disconnect, otherwise, local];
    drop((list, routes![], listed::router(), listed::empty()));
}
