//! The annotated item, parsed only as far as the macro needs it.

use std::mem;

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Attribute, FnArg, Signature, Token, Visibility,
    parse::{Parse, ParseStream},
};

use super::Kind;
use crate::errors::Errors;

/// A function. Its body stays a token stream, so that a half-typed body does not affect the rest.
pub(super) struct HandlerFn {
    pub(super) attrs: Vec<Attribute>,
    pub(super) vis: Visibility,
    pub(super) sig: Signature,
    body: TokenStream,
}

impl Parse for HandlerFn {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attrs: input.call(Attribute::parse_outer)?,
            vis: input.parse()?,
            sig: input.parse()?,
            body: input.parse()?,
        })
    }
}

impl ToTokens for HandlerFn {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let Self { attrs, vis, sig, body } = self;
        tokens.extend(quote!(#(#attrs)* #vis #sig #body));
    }
}

impl HandlerFn {
    pub(super) fn has_body(&self) -> bool {
        matches!(self.body.clone().into_iter().next(), Some(TokenTree::Group(_)))
    }

    /// Returns whether a companion struct may follow the function. After a method it would be a
    /// struct inside an `impl` or a `trait`, which is a second error.
    pub(super) fn may_have_companion(&self) -> bool {
        self.has_body() && self.sig.receiver().is_none()
    }

    /// Corrects the mistakes that are already reported and that rustc would report again.
    pub(super) fn correct(&mut self) {
        let at_name = self.sig.ident.span();
        self.sig.asyncness.get_or_insert(Token![async](at_name));
        self.sig.variadic = None;
        if self.sig.receiver().is_some() && !mentions_self(self.body.clone()) {
            let inputs = mem::take(&mut self.sig.inputs).into_iter();
            self.sig.inputs = inputs.filter(|arg| matches!(arg, FnArg::Typed(_))).collect();
        }
        if !self.has_body() {
            self.body = quote_spanned!(at_name=> { ::core::unreachable!() });
        }
    }

    pub(super) fn companion(&self) -> Companion {
        Companion { attrs: self.attrs.clone(), vis: self.vis.clone(), name: self.sig.ident.clone() }
    }

    /// Reports a second handler attribute and removes it, because its expansion would repeat the
    /// report.
    pub(super) fn remove_second_attribute(&mut self, kind: Kind, errors: &mut Errors) {
        let name = &self.sig.ident;
        self.attrs.retain(|attr| {
            let last = attr.path().segments.last();
            let second = last.is_some_and(|segment| Kind::is_named(&segment.ident));
            if second {
                let kind = kind.name();
                let text = format!(
                    "`{name}` is already a {kind} handler, put this attribute on a second function"
                );
                errors.push(attr, text);
            }
            !second
        });
    }
}

/// The struct that represents a handler in `routes![]`, with the properties it shares with the
/// function.
pub(super) struct Companion {
    pub(super) attrs: Vec<Attribute>,
    pub(super) vis: Visibility,
    pub(super) name: Ident,
}

/// An item that cannot be parsed as a function.
pub(super) enum Rejected {
    /// A function with a syntax error.
    Function(Companion),
    /// The keyword and the name of a `struct`, `enum` or `union`.
    Data(TokenStream),
    /// The keyword of any other item.
    Other(TokenStream),
}

impl Rejected {
    pub(super) fn of(item: TokenStream) -> Self {
        let Ok(Head { attrs, vis, rest }) = syn::parse2(item.clone()) else {
            return Self::Other(item);
        };
        let rest: Vec<TokenTree> = rest.into_iter().collect();
        let keyword = rest.iter().position(|token| !is_qualifier(token)).unwrap_or(0);
        match &rest[keyword..] {
            [TokenTree::Ident(keyword), TokenTree::Ident(name), ..] => {
                match keyword.to_string().as_str() {
                    "fn" => Self::Function(Companion { attrs, vis, name: name.clone() }),
                    "struct" | "enum" | "union" => Self::Data(quote!(#keyword #name)),
                    _ => Self::Other(rest[0].to_token_stream()),
                }
            }
            _ => Self::Other(rest.first().to_token_stream()),
        }
    }
}

/// Returns the attributes that have one of the names.
pub(super) fn only<'a>(attrs: &'a [Attribute], names: &[&str]) -> Vec<&'a Attribute> {
    attrs.iter().filter(|attr| names.iter().any(|name| attr.path().is_ident(name))).collect()
}

/// Returns the first token of an item after its attributes and its visibility.
pub(crate) fn keyword(item: TokenStream) -> TokenStream {
    match syn::parse2(item.clone()) {
        Ok(Head { rest, .. }) => rest.into_iter().next().to_token_stream(),
        Err(_) => item,
    }
}

fn mentions_self(body: TokenStream) -> bool {
    body.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "self",
        TokenTree::Group(group) => mentions_self(group.stream()),
        TokenTree::Literal(_) | TokenTree::Punct(_) => false,
    })
}

fn is_qualifier(token: &TokenTree) -> bool {
    match token {
        TokenTree::Ident(ident) => {
            ["async", "const", "default", "extern", "unsafe"].iter().any(|word| ident == word)
        }
        TokenTree::Literal(_) => true,
        TokenTree::Group(_) | TokenTree::Punct(_) => false,
    }
}

/// An item up to its visibility, and the rest of its tokens.
struct Head {
    attrs: Vec<Attribute>,
    vis: Visibility,
    rest: TokenStream,
}

impl Parse for Head {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self {
            attrs: input.call(Attribute::parse_outer)?,
            vis: input.parse()?,
            rest: input.parse()?,
        })
    }
}
