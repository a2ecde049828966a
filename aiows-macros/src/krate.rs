//! The path through which the generated code reaches the runtime crate.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::Path;

/// The path of the runtime crate, as written in `crate = path`; `::aiows` by default.
pub(crate) struct Krate {
    path: TokenStream,
    /// The span at which rustc reports a wrong path.
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
    /// Imports the crate as `__runtime`, the name that all generated code uses.
    ///
    /// A single import keeps a wrong `crate = path` to one error, however often the generated code
    /// uses the crate.
    pub(crate) fn import(&self) -> TokenStream {
        let Self { path, span } = self;
        quote_spanned! {*span=> use #path as __runtime; }
    }
}
