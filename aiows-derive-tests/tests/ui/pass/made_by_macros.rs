//! Handlers, messages and lists that a macro of the user generates.
#![deny(warnings)]

use aiows::routes;

macro_rules! echo {
    ($krate:path, $vis:vis $name:ident($message_type:literal) takes $payload:ident $extractor:ty) => {
        #[derive(serde::Deserialize, aiows::Message, serde::Serialize)]
        #[aiows(type = $message_type, crate = $krate)]
        $vis struct $payload {
            #[serde(rename = $message_type)]
            field: u8,
        }

        #[aiows::message($message_type, crate = $krate)]
        $vis async fn $name(_first: $extractor, payload: $payload) -> $payload {
            payload
        }
    };
}

macro_rules! list {
    ($($handler:path),*) => {
        routes![$($handler),*]
    };
}

mod room {
    pub(crate) mod framework {
        pub(crate) use aiows::*;
    }

    echo!(aiows, pub(crate) say("say") takes Say aiows::WebSocket);
    echo!(crate::room::framework, pub(crate) join("join") takes Join Option<aiows::MessageId>);
}

fn main() {
    echo!(::aiows, leave("leave") takes Leave aiows::WebSocket);
    assert_eq!(<Leave as aiows::Message>::TYPE, "leave");
    let _ = (list![room::say, leave], list![room::join]);
}
