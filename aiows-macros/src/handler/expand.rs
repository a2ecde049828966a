//! Generates the code that registers an accepted handler.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{LitStr, ReturnType, ext::IdentExt};

use super::{
    Kind,
    argument::{Argument, arguments},
    attr::Attr,
    item::{Companion, HandlerFn, only},
};
use crate::{errors::blame, krate::Krate};

pub(super) fn registration(kind: Kind, function: &HandlerFn, attr: &Attr) -> TokenStream {
    let key = match (kind, &attr.message_type) {
        (Kind::Message, literal) => quote!(Message(#literal)),
        (Kind::Connect, _) => quote!(Connect),
        (Kind::Disconnect, _) if attr.always => quote!(DisconnectAlways),
        (Kind::Disconnect, _) => quote!(Disconnect),
        (Kind::Fallback, _) => quote!(Fallback),
    };
    let route = route(kind, function);
    let serves = attr.message_type.as_ref().map(|literal| serves(function, literal));
    implementation(&function.companion(), &attr.krate, &key, &quote!(#serves #route))
}

/// Generates the check that compares the literal with the message type that the last argument
/// declares. A handler without arguments needs no check.
fn serves(function: &HandlerFn, literal: &LitStr) -> TokenStream {
    if function.sig.inputs.is_empty() {
        return TokenStream::new();
    }
    let name = &function.sig.ident;
    // rustc reports a contradiction at this call, so it has the span of the literal.
    let serving = quote_spanned!(literal.span()=> __runtime::__private::serving(#literal));
    quote_spanned! {Span::mixed_site()=>
        impl<__T, __Via> __runtime::__private::Serves<__T, __Via> for #name
        where
            __Via: __runtime::__private::Declares<__T>,
        {
            const SERVING: __runtime::__private::Serving<fn(__T, __Via)> = #serving;
        }
    }
}

/// Generates the companion struct and its metadata, with the given `fn __route`.
///
/// Generated items are not hygienic. Their names start with underscores because a handler may well
/// be called `route`.
pub(super) fn implementation(
    companion: &Companion,
    krate: &Krate,
    key: &TokenStream,
    route: &TokenStream,
) -> TokenStream {
    let Companion { attrs, vis, name } = companion;
    let cfg = only(attrs, &["cfg"]);
    let inherited = only(attrs, &["cfg", "deprecated"]);
    // The span marks the struct as generated, so lints about names and docs are not raised twice.
    let mut companion = name.clone();
    companion.set_span(Span::mixed_site().located_at(name.span()));
    let text = name.unraw().to_string();
    let import = krate.import();
    // `line!` expands to the line of its own tokens. This is the line of the function, not of the
    // attribute.
    let line = quote_spanned!(name.span()=> ::core::line!());
    let meta = quote_spanned! {Span::mixed_site()=>
        __runtime::__private::HandlerMeta::new(
            __runtime::__private::Key::#key,
            ::core::concat!(::core::module_path!(), "::", #text),
            ::core::file!(),
            #line,
            __route,
        )
    };
    quote_spanned! {Span::mixed_site()=>
        #(#inherited)*
        #[doc(hidden)]
        #vis struct #companion {}

        #(#cfg)*
        #[allow(deprecated)]
        const _: () = {
            #import
            #route
            impl __runtime::__private::Handler for #name {
                const META: __runtime::__private::HandlerMeta = #meta;
            }
        };
    }
}

/// Generates `fn __route`.
///
/// The types of the arguments are inferred from the call of the handler. No type of the user is
/// repeated, so a misspelled one is reported once.
fn route(kind: Kind, function: &HandlerFn) -> TokenStream {
    let name = &function.sig.ident;
    let arguments = arguments(kind, function);
    let describe = arguments.iter().map(Argument::describe);
    let needs = arguments.iter().map(|argument| argument.apply(|local| quote!(#local.needs())));
    let take = arguments.iter().map(Argument::take);
    let values = arguments.iter().map(|argument| argument.apply(ToTokens::to_token_stream));
    let bindings = bindings(function);
    quote_spanned! {Span::mixed_site()=>
        fn __route(meta: __runtime::__private::HandlerMeta) -> __runtime::routing::Route {
            #(#describe)*
            #bindings
            __runtime::__private::route(meta, &[#(#needs),*], move |call| {
                boxed(async move {
                    #(#take)*
                    let returned = #name(#(#values),*).await;
                    outcome(&call, returned)
                })
            })
        }
    }
}

/// Binds two runtime functions to local variables, at spans of the user's tokens.
///
/// If they were called by their paths, rustc would report an unmet bound at the argument, which is
/// generated code. This way it reports the bound at the user's token.
fn bindings(function: &HandlerFn) -> TokenStream {
    let returned = match &function.sig.output {
        ReturnType::Type(_, ty) => blame(ty),
        ReturnType::Default => Span::mixed_site(),
    };
    let boxed = quote_spanned!(function.sig.ident.span()=> __runtime::__private::boxed);
    let outcome = quote_spanned!(returned=> __runtime::__private::outcome);
    quote_spanned! {Span::mixed_site()=>
        let boxed = #boxed;
        let outcome = #outcome;
    }
}
