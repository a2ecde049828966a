//! The arguments of a handler, and the code that extracts them from a call.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, FnArg, Meta};

use super::{
    Kind,
    item::{HandlerFn, only},
};
use crate::errors::blame;

/// One argument. Its local variable holds the descriptor first, then the extracted value.
pub(super) struct Argument<'a> {
    cfg: Vec<&'a Attribute>,
    local: Ident,
    constructor: Constructor,
    handler: &'a Ident,
    /// The span at which rustc reports a wrong type.
    blame: Span,
}

/// The runtime function that creates the descriptor of an argument.
enum Constructor {
    /// For an argument that must be an extractor.
    Arg,
    /// For the last argument of a message handler, which may be the payload.
    Last,
    /// `Arg` if the `#[cfg]` condition holds, `Last` otherwise.
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
            // rustc prints the code at this span if the value must not be held across an `.await`.
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
    /// Chooses the constructor for an argument of a message handler, given the `#[cfg]`s of the
    /// arguments after it. If all of those are configured out, this argument is the last.
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
    /// Binds the descriptor.
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
        // The whole call has the span of the user's token; otherwise rustc underlines the
        // attribute.
        let descriptor = quote_spanned!(*blame=> __runtime::__private::#name());
        let pattern = match constructor {
            "last" => quote_spanned! {Span::mixed_site()=>
                (#local, <#handler as __runtime::__private::Serves<_, _>>::SERVING)
            },
            _ => local.to_token_stream(),
        };
        quote_spanned!(Span::mixed_site()=> #condition #(#cfg)* let #pattern = #descriptor;)
    }

    /// Replaces the descriptor with the value extracted from the call.
    pub(super) fn take(&self) -> TokenStream {
        let Self { cfg, local, .. } = self;
        quote_spanned!(local.span()=> #(#cfg)* let #local = #local.take(&call).await?;)
    }

    /// Makes an element of a list from the local variable, under the `#[cfg]`s of the argument.
    pub(super) fn apply(&self, expression: impl Fn(&Ident) -> TokenStream) -> TokenStream {
        let cfg = &self.cfg;
        let expression = expression(&self.local);
        quote!(#(#cfg)* #expression)
    }
}

/// Joins conditions with `all(..)` or `any(..)`. Clippy rejects either around a single condition.
fn condition(word: &str, mut conditions: Vec<TokenStream>) -> TokenStream {
    if conditions.len() == 1 {
        return conditions.remove(0);
    }
    let word = Ident::new(word, Span::mixed_site());
    quote!(#word(#(#conditions),*))
}
