//! An enum of messages: each variant is sent as the message it holds.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Attribute, DataEnum, DeriveInput, Fields, Type, Variant};

use super::{Derive, attr::Attr, expand::wrapped};
use crate::errors::{Errors, blame};

pub(super) fn expand(input: &DeriveInput, data: &DataEnum) -> TokenStream {
    let mut errors = Errors::default();
    check(input, data, &mut errors);
    let attr = Attr::parse(Derive::Message.options(), &input.attrs, &mut errors);
    if let Some(declared) = &attr.declared {
        errors.push(declared, "a set has no message type of its own, each of its messages has one");
    }
    if let Some(given) = attr.delivery.given() {
        errors.push(given, "a set has no delivery of its own, each of its messages has one");
    }
    let arms = match errors.is_empty() {
        true => data.variants.iter().filter_map(arm).collect(),
        // Its uses add nothing to the one real error.
        false => quote!(_ => ::core::unreachable!(),),
    };
    let errors = errors.report();
    if !input.generics.params.is_empty() {
        return errors;
    }
    let name = &input.ident;
    let set = quote_spanned! {Span::mixed_site()=>
        #[automatically_derived]
        #[diagnostic::do_not_recommend]
        impl __runtime::Outgoing for #name {
            fn visit<V: __runtime::__private::Visitor>(&self, visitor: V) -> V::Output {
                match self { #arms }
            }
        }
    };
    let set = wrapped(&attr.krate, &set);
    quote!(#errors #set)
}

fn check(input: &DeriveInput, data: &DataEnum, errors: &mut Errors) {
    if !input.generics.params.is_empty() {
        errors.push(&input.generics, "a set of messages has no parameters");
    }
    if data.variants.is_empty() {
        errors.push(&input.ident, "a set of messages needs a variant, like `Say(Say)`");
    }
    for variant in &data.variants {
        check_variant(variant, errors);
    }
}

fn check_variant(variant: &Variant, errors: &mut Errors) {
    if held(variant).is_none() {
        let name = &variant.ident;
        errors.push(name, format!("a variant of a set holds one message, like `{name}({name})`"));
    }
    if let Some(attr) = variant.attrs.iter().find(|attr| attr.path().is_ident("aiows")) {
        errors.push(attr, "the options of a message stand on its own type, not on the variant");
    }
}

/// The type of the message a variant holds.
fn held(variant: &Variant) -> Option<&Type> {
    match &variant.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => Some(&fields.unnamed[0].ty),
        Fields::Unnamed(_) | Fields::Named(_) | Fields::Unit => None,
    }
}

fn arm(variant: &Variant) -> Option<TokenStream> {
    let name = &variant.ident;
    let cfg = variant.attrs.iter().filter(|attr: &&Attribute| attr.path().is_ident("cfg"));
    let blame = blame(held(variant)?);
    let visitor = Ident::new("visitor", Span::mixed_site());
    // The call and what it is given stand on the user's token, or rustc underlines the derive.
    let message = Ident::new("__message", blame);
    let visit = quote_spanned!(blame=> __runtime::__private::visit(#message, #visitor));
    Some(quote_spanned!(Span::mixed_site()=> #(#cfg)* Self::#name(#message) => #visit,))
}
