//! The limits that one route can replace.

use std::time::Duration;

use super::Limits;
use super::Overflow;

macro_rules! route_limits {
    ($($name:ident: $type:ty,)*) => {
        /// The limits of one route, in place of the server's.
        ///
        /// Every value is `None` at first, and the route then has the value of the server. Set the
        /// fields you want to change, and pass the result to
        /// [`Router::limits`](crate::routing::Router::limits). The limits that are missing here
        /// belong to the server alone, because it counts them before it knows the path of a
        /// request, or over all connections together.
        ///
        /// ```
        /// use aiows::server::RouteLimits;
        /// use aiows::{Limits, Router, Server};
        ///
        /// let mut server = Limits::default();
        /// server.message_size = 64 * 1024;
        /// let mut uploads = RouteLimits::default();
        /// uploads.message_size = Some(8 * 1024 * 1024);
        ///
        /// let server = Server::new()
        ///     .limits(server)
        ///     .route("/chat", Router::new())
        ///     .route("/uploads", Router::new().limits(uploads));
        /// # assert!(server.build().is_ok());
        /// ```
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct RouteLimits {
            $(
                #[doc = concat!("In place of [`Limits::", stringify!($name), "`].")]
                pub $name: Option<$type>,
            )*
        }

        impl RouteLimits {
            /// Returns the limits of the route on a server with the limits `server`.
            pub(crate) fn over(&self, server: &Limits) -> Limits {
                let mut limits = server.clone();
                $(if let Some(value) = self.$name {
                    limits.$name = value;
                })*
                limits
            }
        }
    };
}

route_limits! {
    message_size: usize,
    fragments: usize,
    nesting: usize,
    inbound_messages: usize,
    inbound_size: usize,
    message_timeout: Duration,
    connect_timeout: Duration,
    messages_per_turn: usize,
    outbound_messages: usize,
    outbound_size: usize,
    overflow: Overflow,
    write_timeout: Duration,
    ping_interval: Duration,
    ping_timeout: Duration,
    close_timeout: Duration,
    disconnect_timeout: Duration,
}

impl RouteLimits {
    /// Returns a text for every value that a route cannot work with.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mistakes = self.over(&Limits::default()).mistakes();
        mistakes.into_iter().map(|mistake| format!("{mistake}, nor may that of a router")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_its_own_values_and_otherwise_those_of_the_server() {
        let server = Limits {
            message_size: 7,
            ping_timeout: Duration::from_millis(7),
            connections: 7,
            ..Limits::default()
        };
        assert_eq!(RouteLimits::default().over(&server), server);
        let (count, time) = (Some(3), Some(Duration::from_secs(3)));
        let own = RouteLimits {
            message_size: count,
            fragments: count,
            nesting: count,
            inbound_messages: count,
            inbound_size: count,
            message_timeout: time,
            connect_timeout: time,
            messages_per_turn: count,
            outbound_messages: count,
            outbound_size: count,
            overflow: Some(Overflow::DropOldest),
            write_timeout: time,
            ping_interval: time,
            ping_timeout: time,
            close_timeout: time,
            disconnect_timeout: time,
        };
        let found = own.over(&server);
        let (count, time) = (3, Duration::from_secs(3));
        let expected = Limits {
            message_size: count,
            fragments: count,
            nesting: count,
            inbound_messages: count,
            inbound_size: count,
            message_timeout: time,
            connect_timeout: time,
            messages_per_turn: count,
            outbound_messages: count,
            outbound_size: count,
            overflow: Overflow::DropOldest,
            write_timeout: time,
            ping_interval: time,
            ping_timeout: time,
            close_timeout: time,
            disconnect_timeout: time,
            ..server
        };
        assert_eq!(found, expected);
        assert_eq!(expected.connections, 7);
    }
}
