//! Generates the companion of a rejected handler, so that listing it in `routes![]` adds no error.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};

use super::{expand, item::Companion};
use crate::krate::Krate;

pub(super) fn registration(companion: &Companion, krate: &Krate) -> TokenStream {
    // The path serves as the message type because it cannot be a duplicate, whereas a literal can.
    let name = companion.name.to_string();
    let key = quote!(Message(::core::concat!(::core::module_path!(), "::", #name)));
    let route = quote_spanned! {Span::mixed_site()=>
        fn __route(_: __runtime::__private::HandlerMeta) -> __runtime::routing::Route {
            ::core::unreachable!("the handler was rejected")
        }
    };
    expand::implementation(companion, krate, &key, &route)
}
