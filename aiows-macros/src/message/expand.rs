//! The code for an accepted message.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::DeriveInput;

use super::{Derive, attr::Attr, fields::Field, valid::validate_attr};
use crate::{krate::Krate, type_name};

pub(super) fn implementation(
    derive: Derive,
    input: &DeriveInput,
    attr: &Attr,
    fields: &[Field<'_>],
) -> TokenStream {
    let name = &input.ident;
    // Only validation asks for the names: without it the runtime has no such trait.
    let names = cfg!(feature = "validator").then(|| wire_names(name, fields));
    let message = (derive == Derive::Message).then(|| {
        let validate = validate_attr(input).map(|_| validate(name));
        message(input, attr, &validate.unwrap_or_default())
    });
    if message.is_none() && names.is_none() {
        return TokenStream::new();
    }
    wrapped(&attr.krate, &quote!(#message #names))
}

/// Puts implementations where their imports cannot be seen.
pub(super) fn wrapped(krate: &Krate, implementations: &TokenStream) -> TokenStream {
    let import = krate.import();
    quote_spanned! {Span::mixed_site()=>
        const _: () = {
            #import
            #implementations
        };
    }
}

pub(super) fn message(input: &DeriveInput, attr: &Attr, validate: &TokenStream) -> TokenStream {
    let name = &input.ident;
    let (parameters, arguments, bounds) = input.generics.split_for_impl();
    let (message_type, declared) = match &attr.declared {
        Some(literal) => (literal.value(), true),
        None => (type_name::of_struct(name), false),
    };
    quote_spanned! {Span::mixed_site()=>
        #[automatically_derived]
        impl #parameters __runtime::Message for #name #arguments #bounds {
            const TYPE: &'static str = #message_type;
            const DECLARED: bool = #declared;
            #validate
        }
    }
}

fn validate(name: &Ident) -> TokenStream {
    let validated = quote_spanned!(name.span()=> __runtime::__private::validated);
    quote_spanned! {Span::mixed_site()=>
        fn validate(&self) -> ::core::result::Result<(), __runtime::HandlerError> {
            let validated = #validated;
            validated(self, <Self as __runtime::__private::WireNames>::names())
        }
    }
}

/// Field types are reached through closures, never repeated; whether a nested type knows its own
/// wire names is found out by method resolution on a reference.
fn wire_names(name: &Ident, fields: &[Field<'_>]) -> TokenStream {
    let wire = fields.iter().map(|Field { ident, wire, .. }| {
        let key = ident.to_string();
        quote!(#key => ::core::option::Option::Some(#wire),)
    });
    let nested = fields.iter().filter(|field| field.nested).map(|Field { ident, .. }| {
        let key = ident.to_string();
        quote_spanned! {Span::mixed_site()=>
            #key => (&__runtime::__private::Probe::of(|value: &#name| &value.#ident)).names(),
        }
    });
    let import = fields.iter().any(|field| field.nested).then(|| {
        quote! { use __runtime::__private::{ViaNames as _, ViaNothing as _}; }
    });
    let (wire, nested) = (lookup(wire), lookup(nested));
    quote_spanned! {Span::mixed_site()=>
        #[automatically_derived]
        impl __runtime::__private::WireNames for #name {
            fn names() -> __runtime::__private::Names {
                #import
                __runtime::__private::Names::new(#wire, #nested)
            }
        }
    }
}

/// A function from field names, as validator has them, to what the arms say.
fn lookup(arms: impl Iterator<Item = TokenStream>) -> TokenStream {
    let mut arms = arms.peekable();
    if arms.peek().is_none() {
        return quote!(|_| ::core::option::Option::None);
    }
    quote_spanned! {Span::mixed_site()=>
        |field| match field {
            #(#arms)*
            _ => ::core::option::Option::None,
        }
    }
}
