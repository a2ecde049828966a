//! Expands `#[derive(Message)]` on an enum, a set of messages: each variant is sent as the message
//! it holds.

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
        errors.push(
            declared,
            "an enum of messages has no message type of its own, declare it on each message",
        );
    }
    if let Some(given) = attr.delivery.given() {
        errors.push(
            given,
            "an enum of messages has no delivery policy of its own, declare it on each message",
        );
    }
    let arms = match errors.is_empty() {
        true => data.variants.iter().filter_map(arm).collect(),
        // Using the enum adds no error to the reported ones.
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
        impl __runtime::messages::Outgoing for #name {
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
        errors.push(&input.generics, "an enum of messages must not be generic");
    }
    if data.variants.is_empty() {
        errors
            .push(&input.ident, "an enum of messages needs at least one variant, like `Say(Say)`");
    }
    for variant in &data.variants {
        check_variant(variant, errors);
    }
}

fn check_variant(variant: &Variant, errors: &mut Errors) {
    if held(variant).is_none() {
        let name = &variant.ident;
        let text = format!(
            "each variant of an enum of messages must hold one message, like `{name}({name})`"
        );
        errors.push(name, text);
    }
    if let Some(attr) = variant.attrs.iter().find(|attr| attr.path().is_ident("aiows")) {
        errors.push(attr, "`#[aiows(..)]` belongs on the message type, not on the variant");
    }
}

/// Returns the type of the message that the variant holds.
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
    // The call and its argument have the span of the user's token; otherwise rustc underlines the
    // derive.
    let message = Ident::new("__message", blame);
    let visit = quote_spanned!(blame=> __runtime::__private::visit(#message, #visitor));
    Some(quote_spanned!(Span::mixed_site()=> #(#cfg)* Self::#name(#message) => #visit,))
}
