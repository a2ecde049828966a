//! The arguments of a handler, as the expansion takes them out of a call.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, FnArg, Meta};

use super::{
    Kind,
    item::{HandlerFn, only},
};
use crate::errors::blame;

/// One argument: a local that holds its descriptor, then its value.
pub(super) struct Argument<'a> {
    cfg: Vec<&'a Attribute>,
    local: Ident,
    constructor: Constructor,
    handler: &'a Ident,
    /// Where a wrong type is reported.
    blame: Span,
}

/// The runtime function that makes a descriptor.
enum Constructor {
    Arg,
    /// For the argument that may be the payload.
    Last,
    /// The first where this condition holds, else the second.
    ArgIf(TokenStream),
}

pub(super) fn arguments(kind: Kind, function: &HandlerFn) -> Vec<Argument<'_>> {
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
        .map(|(at, (cfg, ty))| Argument {
            cfg: cfg.clone(),
            // rustc calls the value by what stands here when it must not be held over an `.await`.
            local: format_ident!("a{at}", span = Span::mixed_site().located_at(blame(ty))),
            constructor: match kind {
                Kind::Message => Constructor::before(later(at)),
                Kind::Connect | Kind::Disconnect | Kind::Fallback => Constructor::Arg,
            },
            handler: &function.sig.ident,
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
            conditions.push(condition("all", all.collect()));
        }
        match conditions.is_empty() {
            true => Self::Last,
            false => Self::ArgIf(condition("any", conditions)),
        }
    }
}

impl Argument<'_> {
    pub(super) fn describe(&self) -> TokenStream {
        match &self.constructor {
            Constructor::Arg => self.describe_with("arg", &quote!()),
            Constructor::Last => self.describe_with("last", &quote!()),
            Constructor::ArgIf(condition) => {
                let arg = self.describe_with("arg", &quote!(#[cfg(#condition)]));
                let last = self.describe_with("last", &quote!(#[cfg(not(#condition))]));
                quote!(#arg #last)
            }
        }
    }

    fn describe_with(&self, constructor: &str, condition: &TokenStream) -> TokenStream {
        let Self { cfg, local, handler, blame, .. } = self;
        let name = Ident::new(constructor, *blame);
        // All of the call stands on the user's token, or rustc underlines the attribute.
        let descriptor = quote_spanned!(*blame=> __runtime::__private::#name());
        let pattern = match constructor {
            "last" => quote_spanned! {Span::mixed_site()=>
                (#local, <#handler as __runtime::__private::Serves<_, _>>::SERVING)
            },
            _ => local.to_token_stream(),
        };
        quote_spanned!(Span::mixed_site()=> #condition #(#cfg)* let #pattern = #descriptor;)
    }

    pub(super) fn take(&self) -> TokenStream {
        let Self { cfg, local, .. } = self;
        quote_spanned!(local.span()=> #(#cfg)* let #local = #local.take(&call).await?;)
    }

    pub(super) fn apply(&self, expression: impl Fn(&Ident) -> TokenStream) -> TokenStream {
        let cfg = &self.cfg;
        let expression = expression(&self.local);
        quote!(#(#cfg)* #expression)
    }
}

/// `all(..)` or `any(..)`, which clippy wants gone around a single condition.
fn condition(word: &str, mut conditions: Vec<TokenStream>) -> TokenStream {
    if conditions.len() == 1 {
        return conditions.remove(0);
    }
    let word = Ident::new(word, Span::mixed_site());
    quote!(#word(#(#conditions),*))
}
