//! The implementation of a rejected message: its uses add nothing to the one real error.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use super::{Derive, attr::Attr, expand};

pub(super) fn implementation(derive: Derive, input: &DeriveInput, attr: &Attr) -> TokenStream {
    // With parameters the impl would need bounds that only the runtime knows.
    if derive == Derive::WireNames || !input.generics.params.is_empty() {
        return TokenStream::new();
    }
    let message = expand::message(&input.ident, attr, &quote!());
    expand::wrapped(&attr.krate, &message)
}
