//! The guide: each chapter covers one subject, in programs that run as tests.
//!
//! 1. [Getting started](getting_started) builds a chat step by step. If you are new to aiows, begin
//!    there.
//! 2. [Handlers](handlers): arguments, return values, order, state, routers.
//! 3. [Messages and validation](messages): the wire format, message types, rules, field errors.
//! 4. [Errors](errors): visible and internal errors, all codes, the log.
//! 5. [Middleware](middleware): code around handlers, refusing and changing messages.
//! 6. [Rooms and users](rooms): sending to many, member lists, permissions.
//! 7. [Slow clients](slow_clients): backpressure and the policies for it.
//! 8. [HTTP and axum](http): pages and sockets on one port.
//! 9. [Connections and closing](closing): limits, pings, close codes, origins, shutdown, proxies.
//! 10. [Testing](testing): handlers as functions, a server in memory, paused time.
//! 11. [Compile errors](mistakes): the messages of the compiler, and their remedies.
//!
//! The documentation of an item describes that item; these chapters show how the items work together.

// `docs/links.txt` defines the links of all chapters a second time, in front of each: Markdown uses
// the first definition of a label, so a link leads to a page of this documentation here, and to a file
// in the view of the repository. `examples/tests/links.rs` checks both, and writes them with `BLESS=1`.
// Tests of documentation do without, so that they name the lines of the chapter.
macro_rules! chapter {
    ($name:ident, $text:literal) => {
        chapter!($name, $text, "macros", "validator");
    };
    ($name:ident, $text:literal, $($feature:literal),+) => {
        #[cfg_attr(
            all(not(doctest), $(feature = $feature),+),
            doc = include_str!("docs/links.txt")
        )]
        #[cfg_attr(all($(feature = $feature),+), doc = include_str!($text))]
        #[cfg_attr(
            not(all($(feature = $feature),+)),
            doc = concat!("This chapter needs the features", $(" `", $feature, "`"),+, ".")
        )]
        pub mod $name {}
    };
}

chapter!(getting_started, "docs/getting_started.md");
chapter!(handlers, "docs/handlers.md");
chapter!(messages, "docs/messages.md");
chapter!(errors, "docs/errors.md");
chapter!(middleware, "docs/middleware.md");
chapter!(rooms, "docs/rooms.md");
chapter!(slow_clients, "docs/slow_clients.md");
chapter!(http, "docs/http.md", "axum", "macros", "validator");
chapter!(closing, "docs/closing.md");
chapter!(testing, "docs/testing.md");
chapter!(mistakes, "docs/mistakes.md");
