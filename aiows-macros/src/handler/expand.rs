//! The code that registers an accepted handler.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, FnArg, Meta, ReturnType, Type, ext::IdentExt, spanned::Spanned};

use super::{
    Kind,
    args::Args,
    item::{Companion, HandlerFn},
};
use crate::krate::Krate;

pub(super) fn registration(kind: Kind, function: &HandlerFn, args: &Args) -> TokenStream {
    let key = match (kind, &args.message_type) {
        (Kind::Message, literal) => quote!(Message(#literal)),
        (Kind::Connect, _) => quote!(Connect),
        (Kind::Disconnect, _) => quote!(Disconnect),
        (Kind::Fallback, _) => quote!(Fallback),
    };
    implementation(&function.companion(), &args.krate, &key, &route(kind, function))
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
    let slots = slots(kind, function);
    let describe = slots.iter().map(Slot::describe);
    let needs = slots.iter().map(|slot| slot.apply(|slot| quote!(#slot.needs())));
    let take = slots.iter().map(Slot::take);
    let values = slots.iter().map(|slot| slot.apply(ToTokens::to_token_stream));
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

/// One argument: a local that holds its descriptor, then its value.
struct Slot<'a> {
    cfg: Vec<&'a Attribute>,
    local: Ident,
    constructor: Constructor,
    /// Where a wrong type is reported.
    blame: Span,
}

/// The runtime function that makes a descriptor.
enum Constructor {
    Arg,
    /// For the argument that may be the payload.
    Last,
    /// The first while one of these conditions of later arguments holds, else the second.
    ArgIfAny(Vec<TokenStream>),
}

fn slots(kind: Kind, function: &HandlerFn) -> Vec<Slot<'_>> {
    let inputs = &function.sig.inputs;
    let typed = inputs.iter().filter_map(|arg| match arg {
        FnArg::Typed(arg) => Some((only(&arg.attrs, &["cfg"]), &arg.ty)),
        FnArg::Receiver(_) => None,
    });
    let typed: Vec<_> = typed.collect();
    let later = |at: usize| typed[at + 1..].iter().map(|(cfg, _)| &**cfg);
    typed
        .iter()
        .enumerate()
        .map(|(at, (cfg, ty))| Slot {
            cfg: cfg.clone(),
            local: format_ident!("a{at}", span = Span::mixed_site()),
            constructor: match kind {
                Kind::Message => Constructor::before(later(at)),
                Kind::Connect | Kind::Disconnect | Kind::Fallback => Constructor::Arg,
            },
            blame: blame(ty),
        })
        .collect()
}

impl Constructor {
    /// Chooses for an argument of a message handler that is followed by ones with these `#[cfg]`s:
    /// with all of them gone it is the last.
    fn before<'a>(later: impl Iterator<Item = &'a [&'a Attribute]>) -> Self {
        let mut conditions = Vec::new();
        for cfg in later {
            if cfg.is_empty() {
                return Self::Arg;
            }
            let all = cfg.iter().map(|cfg| match &cfg.meta {
                Meta::List(list) => list.tokens.clone(),
                Meta::NameValue(_) | Meta::Path(_) => TokenStream::new(),
            });
            conditions.push(quote!(all(#(#all),*)));
        }
        if conditions.is_empty() { Self::Last } else { Self::ArgIfAny(conditions) }
    }
}

impl Slot<'_> {
    fn describe(&self) -> TokenStream {
        match &self.constructor {
            Constructor::Arg => self.describe_with("arg", &quote!()),
            Constructor::Last => self.describe_with("last", &quote!()),
            Constructor::ArgIfAny(conditions) => {
                let arg = self.describe_with("arg", &quote!(#[cfg(any(#(#conditions),*))]));
                let last = self.describe_with("last", &quote!(#[cfg(not(any(#(#conditions),*)))]));
                quote!(#arg #last)
            }
        }
    }

    fn describe_with(&self, constructor: &str, condition: &TokenStream) -> TokenStream {
        let Self { cfg, local, blame, .. } = self;
        let constructor = Ident::new(constructor, *blame);
        // All of the call stands on the user's token, or rustc underlines the attribute.
        let descriptor = quote_spanned!(*blame=> __runtime::__private::#constructor());
        quote_spanned!(Span::mixed_site()=> #condition #(#cfg)* let #local = #descriptor;)
    }

    fn take(&self) -> TokenStream {
        let Self { cfg, local, .. } = self;
        quote_spanned!(Span::mixed_site()=> #(#cfg)* let #local = #local.take(&call).await?;)
    }

    fn apply(&self, expression: impl Fn(&Ident) -> TokenStream) -> TokenStream {
        let cfg = &self.cfg;
        let expression = expression(&self.local);
        quote!(#(#cfg)* #expression)
    }
}

fn only<'a>(attrs: &'a [Attribute], names: &[&str]) -> Vec<&'a Attribute> {
    attrs.iter().filter(|attr| names.iter().any(|name| attr.path().is_ident(name))).collect()
}

/// Where an error about the type belongs: a stable compiler underlines one token, and the name is
/// the one that says most.
fn blame(ty: &Type) -> Span {
    match ty {
        Type::Path(ty) => {
            ty.path.segments.last().map_or_else(|| ty.span(), |last| last.ident.span())
        }
        Type::Group(ty) => blame(&ty.elem),
        Type::Paren(ty) => blame(&ty.elem),
        other => other.span(),
    }
}
