//! Generates the code for an accepted message.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Data, DeriveInput, Fields, Member, ext::IdentExt};

use super::{
    Derive, attr::Attr, fields::Field, length::Length, serde::Container, valid::validate_attr,
};
use crate::{krate::Krate, type_name};

pub(super) fn implementation(
    derive: Derive,
    input: &DeriveInput,
    attr: &Attr,
    fields: &[Field<'_>],
) -> TokenStream {
    let name = &input.ident;
    // Only validation uses the names. Without the feature the runtime does not have the trait.
    let has_rules = derive == Derive::WireNames || validate_attr(input).is_some();
    let names = cfg!(feature = "validator").then(|| wire_names(name, fields, has_rules));
    let message = (derive == Derive::Message).then(|| {
        let validate = match validate_attr(input) {
            Some(_) => validate(name, fields),
            None if cfg!(feature = "validator") => validate_if_ruled(name, &wrapped_fields(input)),
            None => TokenStream::new(),
        };
        let delivery = attr.delivery.method(input);
        let flattened = fields.iter().any(|field| field.flatten).then(|| flattened(name, fields));
        let unchecked = cfg!(feature = "validator").then(|| unchecked(name, fields));
        message(input, attr, &quote!(#delivery #flattened #unchecked #validate))
    });
    if message.is_none() && names.is_none() {
        return TokenStream::new();
    }
    wrapped(&attr.krate, &quote!(#message #names))
}

/// Wraps implementations in a `const`, which hides their imports from the user's code.
pub(super) fn wrapped(krate: &Krate, implementations: &TokenStream) -> TokenStream {
    let import = krate.import();
    quote_spanned! {Span::mixed_site()=>
        const _: () = {
            #import
            #implementations
        };
    }
}

pub(super) fn message(input: &DeriveInput, attr: &Attr, methods: &TokenStream) -> TokenStream {
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
            #methods
        }
    }
}

/// Generates a method that lists the keys of a struct with flattened fields. Such a struct does not
/// pass its keys to serde.
fn flattened(name: &Ident, fields: &[Field<'_>]) -> TokenStream {
    let keys = fields.iter().flat_map(|field| &field.keys);
    let flattened = fields.iter().filter(|field| field.flatten).map(|Field { ident, .. }| {
        quote_spanned! {Span::mixed_site()=>
            (&__runtime::__private::Probe::of(|value: &#name| &value.#ident)).read(keys);
        }
    });
    quote_spanned! {Span::mixed_site()=>
        fn flattened(keys: &mut __runtime::__private::ReadKeys<'_>) {
            use __runtime::__private::{ViaNoReads as _, ViaReads as _};
            #(keys.field(#keys);)*
            #(#flattened)*
        }
    }
}

fn validate(name: &Ident, fields: &[Field<'_>]) -> TokenStream {
    let function = match fields.iter().any(Field::is_walked) {
        true => "validated_in_parts",
        false => "validated",
    };
    let function = Ident::new(function, name.span());
    let validated = quote_spanned!(name.span()=> __runtime::__private::#function);
    quote_spanned! {Span::mixed_site()=>
        fn validate(&self) -> ::core::result::Result<(), __runtime::HandlerError> {
            let validated = #validated;
            validated(self)
        }
    }
}

/// Generates a method that returns the fields with rules in their types that only
/// `#[validate(nested)]` would check.
fn unchecked(name: &Ident, fields: &[Field<'_>]) -> TokenStream {
    let fields = fields.iter().filter(|field| field.skips_rules).map(|Field { ident, .. }| {
        let key = ident.unraw().to_string();
        quote_spanned! {Span::mixed_site()=>
            if (&&&&__runtime::__private::Probe::of(|value: &#name| &value.#ident)).is_ruled() {
                fields.push(#key);
            }
        }
    });
    let mut fields = fields.peekable();
    if fields.peek().is_none() {
        return TokenStream::new();
    }
    quote_spanned! {Span::mixed_site()=>
        fn unchecked() -> ::std::vec::Vec<&'static str> {
            use __runtime::__private::{
                ViaNotRuled as _, ViaRuled as _, ViaRuledHeld as _, ViaRuledNames as _,
            };
            let mut fields = ::std::vec::Vec::new();
            #(#fields)*
            fields
        }
    }
}

/// Generates the check for a type without `#[validate]` attributes, which may implement `Validate`
/// by hand or wrap a type with rules.
fn validate_if_ruled(name: &Ident, wrapped: &[Member]) -> TokenStream {
    let import = (!wrapped.is_empty()).then(|| {
        quote! {
            use __runtime::__private::{
                ViaInnerHeld as _, ViaInnerHeldRules as _, ViaInnerMessage as _, ViaInnerNamed as _,
                ViaInnerRules as _, ViaNoInner as _,
            };
        }
    });
    quote_spanned! {Span::mixed_site()=>
        fn validate(&self) -> ::core::result::Result<(), __runtime::HandlerError> {
            use __runtime::__private::{ViaNoCheck as _, ViaValidated as _};
            #import
            let checked = (&__runtime::__private::Probe::of(|value: &#name| value)).check(self);
            __runtime::__private::field_errors(self, checked)?;
            #((&&&&&__runtime::__private::Probe::of(|value: &#name| &value.#wrapped))
                .check_inner(&self.#wrapped)?;)*
            ::core::result::Result::Ok(())
        }
    }
}

/// Returns the field that replaces the message on the wire: the only field of a tuple struct, or
/// the field of a transparent struct.
fn wrapped_fields(input: &DeriveInput) -> Vec<Member> {
    match &input.data {
        Data::Struct(data) if matches!(data.fields, Fields::Unnamed(_)) => {
            data.fields.members().collect()
        }
        Data::Struct(data) if Container::of(&input.attrs).transparent => {
            data.fields.members().collect()
        }
        Data::Struct(_) | Data::Enum(_) | Data::Union(_) => Vec::new(),
    }
}

/// Generates the implementation of `WireNames`.
///
/// The code reaches the types of fields through closures and never repeats them. Method resolution
/// on a reference finds out whether a nested type has wire names of its own.
fn wire_names(name: &Ident, fields: &[Field<'_>], has_rules: bool) -> TokenStream {
    let wire = fields.iter().map(|Field { ident, wire, .. }| {
        let key = ident.to_string();
        quote!(#key => ::core::option::Option::Some(#wire),)
    });
    let nested = fields.iter().filter(|field| field.nested).map(|Field { ident, .. }| {
        let key = ident.to_string();
        quote_spanned! {Span::mixed_site()=>
            #key => (&&__runtime::__private::Probe::of(|value: &#name| &value.#ident)).names(),
        }
    });
    let import = fields.iter().any(|field| field.nested).then(|| {
        quote! {
            use __runtime::__private::{ViaNames as _, ViaNothing as _, ViaUnordered as _};
        }
    });
    let matched = fields.iter().filter_map(|Field { ident, matched, .. }| {
        let (key, code) = (ident.to_string(), matched.as_ref()?);
        Some(quote!(#key => ::core::option::Option::Some(#code),))
    });
    let mut matched = matched.peekable();
    let matched = matched.peek().is_some().then(|| {
        let matched = lookup(matched);
        quote!(.with_matched(#matched))
    });
    let (wire, nested) = (lookup(wire), lookup(nested));
    let walk = has_rules.then(|| walk(name, fields));
    quote_spanned! {Span::mixed_site()=>
        #[automatically_derived]
        impl __runtime::__private::WireNames for #name {
            fn names() -> __runtime::__private::Names {
                #import
                __runtime::__private::Names::new(#wire, #nested) #matched
            }

            fn has_rules() -> bool {
                use __runtime::__private::{ViaNoCheck as _, ViaValidated as _};
                (&__runtime::__private::Probe::of(|value: &#name| value)).has_rules()
            }

            #walk
        }
    }
}

/// Generates the method that visits the value itself, the lists with a rule for their length, and
/// the fields with nested rules.
fn walk(name: &Ident, fields: &[Field<'_>]) -> TokenStream {
    let lengths =
        fields.iter().filter_map(|field| Some(length(name, field, field.length.as_ref()?)));
    let nested = fields.iter().filter(|field| field.nested).map(|Field { ident, wire, .. }| {
        quote_spanned! {Span::mixed_site()=>
            walk.keys(#wire, |index| {
                (&__runtime::__private::Probe::of(|value: &#name| &value.#ident))
                    .key(&value.#ident, index)
            });
            (&&__runtime::__private::Probe::of(|value: &#name| &value.#ident)).walk(
                #wire,
                &value.#ident,
                walk,
            );
        }
    });
    let nested = match fields.iter().any(Field::is_walked) {
        true => quote_spanned! {Span::mixed_site()=>
            |value, walk| {
                use __runtime::__private::{
                    ViaItems as _, ViaKeys as _, ViaList as _, ViaNoKeys as _, ViaNoList as _,
                    ViaNoWalk as _, ViaWalk as _,
                };
                #(#lengths)*
                #(#nested)*
            }
        },
        false => quote!(|_, _| {}),
    };
    quote_spanned! {Span::mixed_site()=>
        fn walk(&self, walk: &mut __runtime::__private::Walk) {
            use __runtime::__private::{ViaNoCheck as _, ViaValidated as _};
            walk.value(
                self,
                |value| (&__runtime::__private::Probe::of(|value: &#name| value)).check(value),
                #nested,
            );
        }
    }
}

/// Generates the check of a list's length, as validator's derive does.
fn length(
    name: &Ident,
    Field { ident, wire, nested, .. }: &Field<'_>,
    length: &Length,
) -> TokenStream {
    let ([code, message], [min, max, equal]) = (length.texts(), length.bounds());
    let items = match nested {
        // The walk over a nested list counts its items.
        true => quote!(__runtime::__private::ListSize::Walked),
        false => quote_spanned! {Span::mixed_site()=>
            (&__runtime::__private::Probe::of(|value: &#name| &value.#ident)).size(&value.#ident)
        },
    };
    quote_spanned! {Span::mixed_site()=>
        walk.length(#wire, #items, #code, #message, [#min, #max, #equal], |[min, max, equal]| {
            use __runtime::validator::ValidateLength as _;
            value.#ident.validate_length(min, max, equal)
        });
    }
}

/// Generates a closure that maps the field names of validator to the values of the arms.
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
