//! The guide: what the framework does, subject by subject, in programs that run as tests.
//!
//! The documentation of an item says what that item does; these pages say how they work together.

#[doc = include_str!("docs/handlers.md")]
pub mod handlers {}

#[doc = include_str!("docs/mistakes.md")]
pub mod mistakes {}

#[doc = include_str!("docs/errors.md")]
pub mod errors {}

#[doc = include_str!("docs/middleware.md")]
pub mod middleware {}

#[doc = include_str!("docs/rooms.md")]
pub mod rooms {}

#[cfg(feature = "axum")]
#[doc = include_str!("docs/http.md")]
pub mod http {}

#[doc = include_str!("docs/closing.md")]
pub mod closing {}

#[doc = include_str!("docs/slow_clients.md")]
pub mod slow_clients {}

#[doc = include_str!("docs/testing.md")]
pub mod testing {}
