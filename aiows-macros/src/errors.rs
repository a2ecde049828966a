//! Collects the mistakes found in one expansion, so that all of them are reported together.

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{Type, spanned::Spanned};

/// The mistakes found so far.
///
/// It panics if it is dropped with unreported mistakes. Otherwise the user's code would be rejected
/// for no visible reason, or accepted although it is wrong.
#[derive(Default)]
pub(crate) struct Errors {
    found: Vec<syn::Error>,
}

impl Errors {
    /// Reports a mistake that covers all of `tokens`.
    pub(crate) fn push(&mut self, tokens: impl ToTokens, text: impl Display) {
        self.found.push(syn::Error::new_spanned(tokens, text));
    }

    /// Reports a mistake at `span`.
    pub(crate) fn push_at(&mut self, span: Span, text: impl Display) {
        self.found.push(syn::Error::new(span, text));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Turns the mistakes into `compile_error!` items.
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

/// Returns the span for an error about a type.
///
/// A stable compiler underlines a single token, so this is the type's name if it has one.
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

/// Joins names into a list for an error text: `a`, `b` or `c`.
pub(crate) fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => name.clone(),
        [names @ .., last] => format!("{} or {last}", names.join(", ")),
    }
}
