//! Every mistake found in one expansion, reported together.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{Type, spanned::Spanned};

/// The mistakes found so far.
///
/// Dropping it with unreported mistakes panics: the user's code would be rejected for no visible
/// reason, or accepted although it is wrong.
#[derive(Default)]
pub(crate) struct Errors {
    found: Vec<syn::Error>,
}

impl Errors {
    /// Reports a mistake that covers all of `tokens`.
    pub(crate) fn push(&mut self, tokens: impl ToTokens, text: impl Display) {
        self.found.push(syn::Error::new_spanned(tokens, text));
    }

    pub(crate) fn push_at(&mut self, span: Span, text: impl Display) {
        self.found.push(syn::Error::new(span, text));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Turns the mistakes into `compile_error!` items and forgets them.
    pub(crate) fn report(mut self) -> TokenStream {
        std::mem::take(&mut self.found).iter().map(syn::Error::to_compile_error).collect()
    }
}

impl Drop for Errors {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.found.is_empty(), "mistakes were found and not reported");
        }
    }
}

/// Where an error about the type belongs: a stable compiler underlines one token, and the name is
/// the one that says most.
pub(crate) fn blame(ty: &Type) -> Span {
    match ty {
        Type::Path(ty) => {
            ty.path.segments.last().map_or_else(|| ty.span(), |last| last.ident.span())
        }
        Type::Group(ty) => blame(&ty.elem),
        Type::Paren(ty) => blame(&ty.elem),
        other => other.span(),
    }
}

/// Joins what is expected: `a`, `b` or `c`.
pub(crate) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => name.clone(),
        [names @ .., last] => format!("{} or {last}", names.join(", ")),
    }
}
