//! The path under which the expansion finds the runtime crate.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Path;

/// The runtime crate as the user's crate knows it.
pub(crate) struct Krate {
    path: TokenStream,
    /// Where a wrong path is reported.
    span: Span,
}

impl Default for Krate {
    fn default() -> Self {
        Self { path: quote!(::aiows), span: Span::mixed_site() }
    }
}

impl From<Path> for Krate {
    fn from(path: Path) -> Self {
        let span = path.segments.last().map_or_else(Span::mixed_site, |last| last.ident.span());
        Self { path: path.into_token_stream(), span }
    }
}

impl Krate {
    /// Gives the crate the short name that all generated code uses.
    ///
    /// One import means one error for a wrong `crate = path`, however often the crate is used.
    pub(crate) fn import(&self) -> TokenStream {
        let Self { path, span } = self;
        quote_spanned! {*span=> use #path as __runtime; }
    }
}
