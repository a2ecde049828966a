//! The named fields of a struct, with their names in Rust and on the wire.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{Attribute, Fields, Meta, Type, ext::IdentExt};

use super::length::Length;
use super::serde::{Container, FieldAttr};

/// A field with a name.
pub(super) struct Field<'a> {
    pub(super) ident: &'a Ident,
    /// The key under which clients send the field; empty if its own fields take its place.
    pub(super) wire: String,
    /// The keys that the field uses in either direction.
    pub(super) keys: Vec<String>,
    /// Whether the field receives the keys of the message that belong to no other field.
    pub(super) flatten: bool,
    /// Whether `#[validate(nested)]` checks the rules of its type.
    pub(super) nested: bool,
    /// Whether rules of its type would be skipped although clients send the field.
    pub(super) skips_rules: bool,
    /// The error code of its rule `must_match`.
    pub(super) matched: Option<TokenStream>,
    /// The rule for the number of items of a list. It is `None` for a string, which is cheap to
    /// copy.
    pub(super) length: Option<Length>,
}

impl<'a> Field<'a> {
    /// Returns whether this field makes the validation of a large message go field by field.
    pub(super) fn is_walked(&self) -> bool {
        self.nested || self.length.is_some()
    }

    /// Returns the named fields of a struct with these attributes.
    pub(super) fn all(fields: &'a Fields, attrs: &[Attribute], container: &Container) -> Vec<Self> {
        let nests_all = validates(attrs, "nest_all_fields");
        let named = fields.iter().filter_map(|field| Some((field.ident.as_ref()?, field)));
        let fields = named.map(|(ident, field)| {
            let nests = nests_all && !validates(&field.attrs, "skip");
            Self::of(ident, field, nests, container)
        });
        fields.collect()
    }

    fn of(ident: &'a Ident, field: &syn::Field, nests: bool, container: &Container) -> Self {
        let attrs = &field.attrs;
        let nested = nests || validates(attrs, "nested");
        let matched = matched(attrs);
        let length = Length::of(attrs).filter(|_| !is_text(&field.ty));
        let FieldAttr { rename, skip, aliases, flatten } = FieldAttr::of(attrs);
        let is_checked = nested || ["custom", "skip"].iter().any(|word| validates(attrs, word));
        let skips_rules = !is_checked && !skip.deserialize && !container.transparent;
        if flatten || container.transparent {
            let flatten = flatten && !skip.deserialize;
            let (wire, keys) = (String::new(), Vec::new());
            return Self { ident, wire, keys, flatten, nested, skips_rules, matched, length };
        }
        let name = ident.unraw().to_string();
        let rules = &container.rename_all;
        let renamed = |explicit: Option<String>, rule: &Option<super::rename::Rule>| {
            explicit.or_else(|| Some(rule.as_ref()?.apply(&name))).unwrap_or_else(|| name.clone())
        };
        let received = renamed(rename.deserialize, &rules.deserialize);
        let sent = renamed(rename.serialize, &rules.serialize);
        let mut keys = Vec::new();
        if !skip.deserialize && !container.converted.deserialize {
            keys.push(received.clone());
            keys.extend(aliases);
        }
        if !skip.serialize && !container.converted.serialize {
            keys.push(sent);
        }
        Self { ident, wire: received, keys, flatten, nested, skips_rules, matched, length }
    }
}

/// Returns whether the type is written as `String` or `Option<String>`.
fn is_text(ty: &Type) -> bool {
    let name = ty.to_token_stream().to_string();
    matches!(name.as_str(), "String" | "Option < String >")
}

/// Returns the code of `#[validate(must_match(other = "..", code = ".."))]`.
fn matched(attrs: &[Attribute]) -> Option<TokenStream> {
    let mut validates = attrs.iter().filter(|attr| attr.path().is_ident("validate"));
    validates.find_map(|attr| {
        let Meta::List(list) = &attr.meta else { return None };
        let mut tokens = list.tokens.clone().into_iter();
        tokens.find(|token| token.to_string() == "must_match")?;
        let Some(TokenTree::Group(options)) = tokens.next() else { return None };
        let mut options = options.stream().into_iter();
        let is_given = options.any(|token| token.to_string() == "code");
        let code = options.nth(1).filter(|_| is_given);
        Some(code.map_or_else(|| quote!("must_match"), ToTokens::into_token_stream))
    })
}

/// Returns whether `#[validate(..)]` contains this word.
fn validates(attrs: &[Attribute], word: &str) -> bool {
    let mut validates = attrs.iter().filter(|attr| attr.path().is_ident("validate"));
    validates.any(|attr| match &attr.meta {
        Meta::List(list) => list.tokens.clone().into_iter().any(|token| token.to_string() == word),
        Meta::NameValue(_) | Meta::Path(_) => false,
    })
}
