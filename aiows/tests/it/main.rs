//! Tests of the public interface and of the wire, in one binary because linking is slow.

#![expect(clippy::unwrap_used, unreachable_pub, reason = "helpers of tests")]
#![expect(clippy::duplicate_mod, reason = "`layered` runs tests of other modules once more")]

mod admission;
mod admitted;
#[cfg(target_os = "linux")]
mod backlog;
mod burst;
mod check_order;
#[cfg(target_os = "linux")]
mod child_server;
mod client_disconnect;
mod close;
mod connection_lifecycle;
mod deadlines;
mod delegation;
mod delivery;
mod disconnect_timeout;
mod error_size;
mod errors;
mod extract;
mod failures;
mod field_paths;
mod first_and_last;
mod flush;
mod fragments;
mod handlers;
mod handshake;
mod hostile;
#[cfg(feature = "axum")]
mod http;
mod hub;
mod inbound_limits;
mod isolation;
#[cfg(feature = "axum")]
mod json_body;
mod layered;
mod limits;
mod log;
mod members;
mod membership;
mod middleware;
#[cfg(feature = "axum")]
mod mounted;
mod namespace_model;
mod namespaces;
mod nest;
mod nesting;
mod next;
mod paths;
mod per_route;
mod presence;
mod presence_chaos;
mod presence_users;
mod pressure;
mod probe;
mod protocol;
mod random;
mod random_messages;
mod raw;
mod relay;
mod request;
#[cfg(target_os = "linux")]
mod resources;
#[cfg(target_os = "linux")]
mod restart;
#[cfg(target_os = "linux")]
mod room;
mod router;
mod script;
mod server_lifecycle;
mod server_requests;
mod serving;
mod sharing;
mod sharing_elsewhere;
#[cfg(feature = "axum")]
mod slow_http;
mod socket;
mod stop;
mod stopping;
mod streams;
mod stuck_handlers;
mod test_kit;
mod transitions;
mod unanswered;
mod unfinished;
mod upgrade;
mod validation;
mod values;
mod wire;

/// The test kit for modules that `layered` runs again with a test kit of its own.
mod kit {
    pub use aiows::testing::TestServer;

    pub use crate::raw::over_both;

    /// Returns the server unchanged. In `layered`, this adds a middleware.
    pub fn wrapped(server: aiows::Server) -> aiows::Server {
        server
    }
}
