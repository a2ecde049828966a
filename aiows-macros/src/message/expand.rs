//! The code for an accepted message.

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
    // Only validation asks for the names: without it the runtime has no such trait.
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

/// A struct with flattened fields does not show serde its keys; this does.
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

/// Names the fields in whose types there may be rules that `#[validate(nested)]` would check.
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

/// Checks the rules of a type that shows none in its attributes: it may implement `Validate` by hand,
/// or wrap a type with rules.
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
            __runtime::__private::told(self, checked)?;
            #((&&&&&__runtime::__private::Probe::of(|value: &#name| &value.#wrapped))
                .check_inner(&self.#wrapped)?;)*
            ::core::result::Result::Ok(())
        }
    }
}

/// What stands on the wire in the place of the message: its only field, without a name, or that of a
/// transparent struct.
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

/// Field types are reached through closures, never repeated; whether a nested type knows its own
/// wire names is found out by method resolution on a reference.
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

/// Shows the value itself, the lists whose lengths have rules, and the fields in which rules are
/// nested.
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

/// Looks at the length of a list, as validator's derive does.
fn length(
    name: &Ident,
    Field { ident, wire, nested, .. }: &Field<'_>,
    length: &Length,
) -> TokenStream {
    let ([code, message], [min, max, equal]) = (length.texts(), length.bounds());
    let items = match nested {
        // The items of a nested list are counted when they are walked.
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
