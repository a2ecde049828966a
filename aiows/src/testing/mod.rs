//! A test kit: a server and its clients in one process, and a socket without a connection.
//!
//! Needs the feature `test-util`. Everything here panics when an expectation is not met, with a
//! text that says what was expected and what came instead.
//!
//! ```
//! use aiows::testing::TestServer;
//! use aiows::{Message, Router, message, routes};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Message, Deserialize, Serialize)]
//! struct Note {
//!     text: String,
//! }
//!
//! #[message("note")]
//! async fn note(note: Note) -> Note {
//!     note
//! }
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() {
//!     let server = TestServer::new(Router::new().routes(routes![note]));
//!     let mut client = server.connect().await;
//!     client.send(&Note { text: "hi".into() }).await;
//!     assert_eq!(client.recv::<Note>().await, Note { text: "hi".into() });
//! }
//! ```

mod call;
mod client;
mod relay;
mod server;
mod socket;

pub use self::call::{TestCall, answer, next};
pub use self::client::{Refused, TestClient};
pub use self::server::TestServer;
pub use self::socket::{Sent, SentClose, socket};
