//! A test kit: a server and its clients in one process, and a socket without a connection.
//!
//! It needs the feature `test-util`. With [`TestServer`] you test handlers over a connection; with
//! [`socket`] and [`TestCall`] you call a handler or a middleware directly. If an expectation is
//! not met, the functions panic with a text that names the expected and the actual event.
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

mod auto_pong; // answers pings while a test does not receive
mod call; // calls without a server
mod client; // the client
mod server; // the server
mod socket; // a socket without a connection

pub use self::call::{TestCall, answer, next};
pub use self::client::{Refused, TestClient};
pub use self::server::TestServer;
pub use self::socket::{Sent, SentClose, socket};
