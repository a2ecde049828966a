//! Behaviour through the public interface and on the wire; one binary, because linking is slow.

#![expect(clippy::unwrap_used, unreachable_pub, reason = "helpers of tests")]
#![expect(clippy::duplicate_mod, reason = "`layered` runs tests of other modules once more")]

mod admission;
mod admitted;
#[cfg(target_os = "linux")]
mod backlog;
mod burst;
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
mod mishaps;
#[cfg(feature = "axum")]
mod mounted;
mod namespaces;
mod nest;
mod nesting;
mod next;
mod paths;
mod per_route;
mod places;
mod presence;
mod presence_chaos;
mod pressure;
mod probe;
mod protocol;
mod question;
mod random;
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
mod rules;
mod script;
#[cfg(target_os = "linux")]
mod served;
mod server_lifecycle;
mod serving;
mod shapes;
mod sharing;
mod sharing_elsewhere;
#[cfg(feature = "axum")]
mod slow_http;
mod socket;
mod stop;
mod stopping;
mod streams;
mod stuck_handlers;
mod tabs;
mod test_kit;
mod transitions;
mod unanswered;
mod unfinished;
mod upgrade;
mod values;

mod whose_room;
mod wire;

/// What `layered` has another one of.
mod kit {
    pub use aiows::testing::TestServer;

    pub use crate::raw::over_both;

    /// A server that a test builds itself.
    pub fn wrapped(server: aiows::Server) -> aiows::Server {
        server
    }
}
