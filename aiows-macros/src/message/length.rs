//! Reads `#[validate(length(..))]` of a list, so that its length is checked before its items.

use proc_macro2::TokenTree;
use quote::{ToTokens, quote};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, ExprLit, Lit, Meta, MetaNameValue, Token};

/// The settings of the rule. validator alone checks a rule that cannot be parsed here.
#[derive(Default)]
pub(super) struct Length {
    pub(super) min: Option<Expr>,
    pub(super) max: Option<Expr>,
    pub(super) equal: Option<Expr>,
    code: Option<Expr>,
    message: Option<Expr>,
}

impl Length {
    pub(super) fn of(attrs: &[Attribute]) -> Option<Self> {
        let mut validates = attrs.iter().filter(|attr| attr.path().is_ident("validate"));
        validates.find_map(|attr| match &attr.meta {
            Meta::List(list) => Self::find(list.tokens.clone().into_iter()),
            Meta::NameValue(_) | Meta::Path(_) => None,
        })
    }

    fn find(mut tokens: impl Iterator<Item = TokenTree>) -> Option<Self> {
        tokens.find(|token| token.to_string() == "length")?;
        let Some(TokenTree::Group(options)) = tokens.next() else { return None };
        let options = Punctuated::<MetaNameValue, Token![,]>::parse_terminated
            .parse2(options.stream())
            .ok()?;
        let mut length = Self::default();
        for MetaNameValue { path, value, .. } in options {
            let is_text = matches!(&value, Expr::Lit(ExprLit { lit: Lit::Str(_), .. }));
            let (place, wants_text) = match path.get_ident()?.to_string().as_str() {
                "min" => (&mut length.min, false),
                "max" => (&mut length.max, false),
                "equal" => (&mut length.equal, false),
                "code" => (&mut length.code, true),
                "message" => (&mut length.message, true),
                _ => return None,
            };
            if is_text != wants_text {
                return None;
            }
            *place = Some(value);
        }
        Some(length)
    }

    /// Returns the code of the error, and its message if the rule has one.
    pub(super) fn texts(&self) -> [impl ToTokens; 2] {
        let code = self.code.as_ref().map_or_else(|| quote!("length"), ToTokens::to_token_stream);
        [code, optional(self.message.as_ref())]
    }

    /// Returns the bounds as three options: `min`, `max` and `equal`.
    pub(super) fn bounds(&self) -> [impl ToTokens; 3] {
        [&self.min, &self.max, &self.equal].map(|bound| optional(bound.as_ref()))
    }
}

fn optional(value: Option<&Expr>) -> proc_macro2::TokenStream {
    match value {
        Some(value) => quote!(::core::option::Option::Some(#value)),
        None => quote!(::core::option::Option::None),
    }
}
