//! The options `delivery = ".."` and `key = ".."`: the policy for a message if its recipient reads
//! too slowly.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Data, DeriveInput, LitStr, ext::IdentExt};

use crate::errors::{Errors, list};

const LATEST: &str = "latest";
const DROP_OLDEST: &str = "drop_oldest";

/// The values of `delivery`, each with the variant of `Overflow` it selects.
const POLICIES: [(&str, &str); 4] = [
    ("disconnect", "Disconnect"),
    ("drop_newest", "DropNewest"),
    (DROP_OLDEST, "DropOldest"),
    ("reject", "Reject"),
];

/// The two options as they were given.
#[derive(Default)]
pub(super) struct Delivery {
    /// One of the accepted values.
    policy: Option<LitStr>,
    /// The name of a field.
    key: Option<LitStr>,
    /// Whether `delivery` had a value that is not accepted.
    has_unknown_policy: bool,
}

impl Delivery {
    pub(super) fn read_policy(&mut self, option: &Ident, value: TokenStream, errors: &mut Errors) {
        let literal = literal(&value);
        let known = |name: &str| name == LATEST || POLICIES.iter().any(|(known, _)| *known == name);
        self.policy = literal.filter(|literal| known(&literal.value()));
        self.has_unknown_policy = self.policy.is_none();
        if self.has_unknown_policy {
            let names = POLICIES.iter().map(|(name, _)| *name);
            let mut names: Vec<_> =
                names.chain([LATEST]).map(|name| format!("`\"{name}\"`")).collect();
            names.sort();
            let text = format!("`delivery` must be {}", list(&names));
            blame(option, value, text, errors);
        }
    }

    pub(super) fn read_key(&mut self, option: &Ident, value: TokenStream, errors: &mut Errors) {
        self.key = literal(&value);
        if self.key.is_none() {
            let text = "`key` must be the name of a field, like `key = \"symbol\"`";
            blame(option, value, text.to_owned(), errors);
        }
    }

    /// Returns the first of the options that was given.
    pub(super) fn given(&self) -> Option<&LitStr> {
        self.policy.as_ref().or(self.key.as_ref())
    }

    pub(super) fn check(&self, input: &DeriveInput, errors: &mut Errors) {
        let Some(key) = &self.key else { return };
        let is_latest = self.policy.as_ref().is_some_and(|policy| policy.value() == LATEST);
        if !is_latest {
            // An unknown policy has an error of its own.
            if !self.has_unknown_policy {
                errors.push(key, "`key` requires `delivery = \"latest\"`");
            }
            return;
        }
        let names = fields(input);
        if names.contains(&key.value()) {
            return;
        }
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        let text = match names.is_empty() {
            true => "`key` must name a field, but the message has no named fields".to_owned(),
            false => format!("no field `{}`, expected {}", key.value(), list(&names)),
        };
        errors.push(key, text);
    }

    /// Generates the method that returns the policy. Without the option there is no method, and the
    /// policy of the server applies.
    pub(super) fn method(&self, input: &DeriveInput) -> TokenStream {
        let Some(policy) = self.policy.as_ref().map(LitStr::value) else { return quote!() };
        if policy == DROP_OLDEST {
            return drops_its_oldest();
        }
        let variant = POLICIES.iter().find(|(name, _)| *name == policy);
        let rule = match (variant, &self.key) {
            (Some((_, variant)), _) => {
                let variant = format_ident!("{variant}");
                quote!(Policy(__runtime::__private::Overflow::#variant))
            }
            (None, None) => quote!(latest(Self::TYPE, &())),
            (None, Some(key)) => {
                let field = field(input, key);
                // The span resolves to the macro's own `self`, and errors point to the literal.
                let span = Span::mixed_site().located_at(key.span());
                quote_spanned!(span=> latest(Self::TYPE, &self.#field))
            }
        };
        quote_spanned! {Span::mixed_site()=>
            fn delivery(&self) -> __runtime::__private::Rule {
                __runtime::__private::Rule::#rule
            }
        }
    }
}

/// Generates the policy `drop_oldest`. The static identifies the type, so that the runtime drops
/// only messages of this type.
fn drops_its_oldest() -> TokenStream {
    quote_spanned! {Span::mixed_site()=>
        fn delivery(&self) -> __runtime::__private::Rule {
            static KIND: __runtime::__private::KindOf = __runtime::__private::KindOf::new();
            __runtime::__private::Rule::drop_oldest(&KIND)
        }
    }
}

fn literal(value: &TokenStream) -> Option<LitStr> {
    syn::parse2::<LitStr>(value.clone()).ok().filter(|literal| literal.suffix().is_empty())
}

/// Reports the mistake at the value, or at the option if the value is missing.
fn blame(option: &Ident, value: TokenStream, text: String, errors: &mut Errors) {
    match value.is_empty() {
        true => errors.push(option, text),
        false => errors.push(value, text),
    }
}

fn idents(input: &DeriveInput) -> impl Iterator<Item = &Ident> {
    let fields = match &input.data {
        Data::Struct(data) => Some(&data.fields),
        Data::Enum(_) | Data::Union(_) => None,
    };
    fields.into_iter().flatten().filter_map(|field| field.ident.as_ref())
}

fn fields(input: &DeriveInput) -> Vec<String> {
    idents(input).map(|ident| ident.unraw().to_string()).collect()
}

/// Returns the identifier of the field as written, including `r#`. The name has been checked.
fn field<'a>(input: &'a DeriveInput, key: &LitStr) -> Option<&'a Ident> {
    idents(input).find(|ident| ident.unraw() == key.value())
}
