//! The macros of `aiows`, which re-exports and documents them.

use proc_macro::TokenStream;

mod errors;
mod handler;
mod krate;
mod message;
mod options;
mod router;
mod routes;
mod type_name;

use handler::Kind;

/// Documented at `aiows::connect`.
#[proc_macro_attribute]
pub fn connect(args: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(Kind::Connect, args.into(), &item.into()).into()
}

/// Documented at `aiows::disconnect`.
#[proc_macro_attribute]
pub fn disconnect(args: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(Kind::Disconnect, args.into(), &item.into()).into()
}

/// Documented at `aiows::fallback`.
#[proc_macro_attribute]
pub fn fallback(args: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(Kind::Fallback, args.into(), &item.into()).into()
}

/// Documented at `aiows::message`.
#[proc_macro_attribute]
pub fn message(args: TokenStream, item: TokenStream) -> TokenStream {
    handler::expand(Kind::Message, args.into(), &item.into()).into()
}

/// Documented at `aiows::router`.
#[proc_macro_attribute]
pub fn router(args: TokenStream, item: TokenStream) -> TokenStream {
    router::expand(args.into(), item.into()).into()
}

/// Documented at `aiows::Message`.
///
/// The derive also registers `#[validate]` as a helper attribute. If `#[derive(Validate)]` is
/// missing, the bound in the runtime reports it, and rustc does not add an error about an unknown
/// attribute.
#[proc_macro_derive(Message, attributes(aiows, validate))]
pub fn derive_message(input: TokenStream) -> TokenStream {
    message::expand(input.into()).into()
}

/// Documented at `aiows::WireNames`.
#[proc_macro_derive(WireNames, attributes(aiows))]
pub fn derive_wire_names(input: TokenStream) -> TokenStream {
    message::expand_wire_names(input.into()).into()
}

/// Expands the list of `aiows::routes!`, which passes `($crate)` in front of it.
#[doc(hidden)]
#[proc_macro]
pub fn routes_list(input: TokenStream) -> TokenStream {
    routes::expand(input.into()).into()
}
