//! The code that registers an accepted handler.

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

/// What holds the literal against the type of the last argument; for a handler without arguments
/// there is nothing to hold it against.
fn serves(function: &HandlerFn, literal: &LitStr) -> TokenStream {
    if function.sig.inputs.is_empty() {
        return TokenStream::new();
    }
    let name = &function.sig.ident;
    // A contradiction is reported where the call stands.
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

/// The companion, and its metadata around the given `fn __route`.
///
/// Generated items have no hygiene, hence their names: a handler may well be called `route`.
pub(super) fn implementation(
    companion: &Companion,
    krate: &Krate,
    key: &TokenStream,
    route: &TokenStream,
) -> TokenStream {
    let Companion { attrs, vis, name } = companion;
    let cfg = only(attrs, &["cfg"]);
    let inherited = only(attrs, &["cfg", "deprecated"]);
    // Marked as generated, so that no lint about names or docs is raised a second time.
    let mut companion = name.clone();
    companion.set_span(Span::mixed_site().located_at(name.span()));
    let text = name.unraw().to_string();
    let import = krate.import();
    // `line!` reports where its own tokens stand: the function, not the attribute.
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

/// Arguments are extracted by inference from the call, so that no type of the user is named twice:
/// a misspelled one is reported once.
fn route(kind: Kind, function: &HandlerFn) -> TokenStream {
    let name = &function.sig.ident;
    let arguments = arguments(kind, function);
    let describe = arguments.iter().map(Argument::describe);
    let needs = arguments.iter().map(|argument| argument.apply(|local| quote!(#local.needs())));
    let take = arguments.iter().map(Argument::take);
    let values = arguments.iter().map(|argument| argument.apply(ToTokens::to_token_stream));
    let bindings = bindings(function);
    quote_spanned! {Span::mixed_site()=>
        fn __route(meta: __runtime::__private::HandlerMeta) -> __runtime::Route {
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

/// Two runtime functions, bound first: called by path, rustc would put an unmet bound on the
/// argument, which is generated code; this way it stands on the user's token.
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
