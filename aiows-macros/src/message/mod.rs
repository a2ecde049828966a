//! Expands `#[derive(Message)]`, and `#[derive(WireNames)]` for types nested in a message.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Fields};

use crate::errors::Errors;

mod attr;
mod delivery;
mod expand;
mod fields;
mod length;
mod rename;
mod serde;
mod set;
mod stub;
#[cfg(test)]
mod tests;
mod valid;

use attr::Attr;
use fields::Field;

/// The derive that is being expanded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Derive {
    Message,
    WireNames,
}

impl Derive {
    /// Returns the options that `#[aiows(..)]` accepts.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Message => &["crate", "delivery", "key", "type"],
            Self::WireNames => &["crate"],
        }
    }
}

pub(crate) fn expand(input: TokenStream) -> TokenStream {
    derive(Derive::Message, input)
}

pub(crate) fn expand_wire_names(input: TokenStream) -> TokenStream {
    derive(Derive::WireNames, input)
}

fn derive(derive: Derive, input: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(input) {
        Ok(input) => input,
        Err(error) => return error.to_compile_error(),
    };
    if let (Derive::Message, Data::Enum(data)) = (derive, &input.data) {
        return set::expand(&input, data);
    }
    let mut errors = Errors::default();
    let attr = Attr::parse(derive.options(), &input.attrs, &mut errors);
    let fields = struct_fields(derive, &input, &mut errors);
    let container = serde::Container::of(&input.attrs);
    let fields =
        fields.map(|fields| Field::all(fields, &input.attrs, &container)).unwrap_or_default();
    valid::check(derive, &input, &attr, &container, &fields, &mut errors);
    let implementation = if errors.is_empty() {
        expand::implementation(derive, &input, &attr, &fields)
    } else {
        stub::implementation(derive, &input, &attr)
    };
    let errors = errors.report();
    quote!(#errors #implementation)
}

/// Returns the fields of a struct; reports any other shape.
fn struct_fields<'a>(
    derive: Derive,
    input: &'a DeriveInput,
    errors: &mut Errors,
) -> Option<&'a Fields> {
    let text = match derive {
        Derive::Message => "a message must be a struct or an enum",
        Derive::WireNames => "`#[derive(WireNames)]` can only be applied to a struct",
    };
    match &input.data {
        Data::Struct(data) => return Some(&data.fields),
        Data::Enum(data) => errors.push(data.enum_token, text),
        Data::Union(data) => errors.push(data.union_token, text),
    }
    None
}
