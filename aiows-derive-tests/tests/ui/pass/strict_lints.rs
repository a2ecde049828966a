//! Public items under lints that rustc does not raise in tests.
#![deny(
    missing_debug_implementations,
    missing_docs,
    unnameable_types,
    unreachable_pub,
    unused,
    warnings
)]

use aiows::routes;

pub mod public {
    //! Reachable from outside.

    use aiows::{Message, message};
    use serde::{Deserialize, Serialize};

    /// A message.
    #[derive(Debug, Deserialize, Message, Serialize)]
    pub struct Chat {
        /// The text of the message.
        pub text: String,
    }

    /// Returns the message to its sender.
    #[message("chat")]
    pub async fn say(chat: Chat) -> Chat {
        chat
    }
}

mod private {
    #[expect(
        unreachable_pub,
        reason = "the function itself; the attribute must not repeat it"
    )]
    #[aiows::disconnect(always)]
    pub async fn left() {}

    #[aiows::connect]
    pub(crate) async fn came() {}
}

fn main() {
    let _ = routes![public::say, private::left, private::came];
}
