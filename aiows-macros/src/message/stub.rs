//! Generates the implementation of a rejected message, so that using the message adds no error.

use proc_macro2::TokenStream;
use quote::quote;
use syn::DeriveInput;

use super::{Derive, attr::Attr, expand};

pub(super) fn implementation(derive: Derive, input: &DeriveInput, attr: &Attr) -> TokenStream {
    if derive == Derive::WireNames {
        return TokenStream::new();
    }
    let message = expand::message(input, attr, &quote!());
    expand::wrapped(&attr.krate, &message)
}
