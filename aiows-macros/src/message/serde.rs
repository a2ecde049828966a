//! Reads the serde attributes that determine the names of fields on the wire.

use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta, Token, punctuated::Punctuated};

use super::rename::Rule;

/// A setting that serde accepts for each direction separately.
#[derive(Clone, Default)]
pub(super) struct Both<T> {
    pub(super) serialize: T,
    pub(super) deserialize: T,
}

/// The settings of a struct.
#[derive(Default)]
pub(super) struct Container {
    pub(super) rename_all: Both<Option<Rule>>,
    pub(super) transparent: bool,
    /// Whether serde converts the struct to or from another type.
    pub(super) converted: Both<bool>,
    /// The key that serde adds to the fields.
    pub(super) tag: Option<LitStr>,
}

impl Container {
    pub(super) fn of(attrs: &[Attribute]) -> Self {
        let mut container = Self::default();
        for meta in metas(attrs) {
            let is = |name: &str| meta.path().is_ident(name);
            if is("rename_all") {
                let names = both(&meta);
                container.rename_all = Both {
                    serialize: names.serialize.and_then(|rule| Rule::of(&rule)),
                    deserialize: names.deserialize.and_then(|rule| Rule::of(&rule)),
                };
            } else if is("tag") {
                container.tag = literal(&meta);
            } else if is("transparent") {
                container.transparent = true;
            } else if is("into") {
                container.converted.serialize = true;
            } else if is("from") || is("try_from") {
                container.converted.deserialize = true;
            }
        }
        container
    }
}

/// The settings of a field.
#[derive(Default)]
pub(super) struct FieldAttr {
    pub(super) rename: Both<Option<String>>,
    pub(super) skip: Both<bool>,
    pub(super) aliases: Vec<String>,
    pub(super) flatten: bool,
}

impl FieldAttr {
    pub(super) fn of(attrs: &[Attribute]) -> Self {
        let mut field = Self::default();
        for meta in metas(attrs) {
            let Some(key) = meta.path().get_ident().map(ToString::to_string) else {
                continue;
            };
            match key.as_str() {
                "rename" => field.rename = both(&meta),
                "alias" => field.aliases.extend(literal(&meta).map(|alias| alias.value())),
                "flatten" => field.flatten = true,
                "skip" => field.skip = Both { serialize: true, deserialize: true },
                "skip_serializing" => field.skip.serialize = true,
                "skip_deserializing" => field.skip.deserialize = true,
                _ => {}
            }
        }
        field
    }
}

/// Returns the entries of all `#[serde(..)]` attributes. An attribute that cannot be parsed is
/// skipped, because serde reports it.
fn metas(attrs: &[Attribute]) -> impl Iterator<Item = Meta> {
    let lists = attrs.iter().filter(|attr| attr.path().is_ident("serde"));
    lists
        .filter_map(|attr| {
            attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()
        })
        .flatten()
}

/// Reads `key = "x"` for both directions, or `key(serialize = "x", deserialize = "y")`.
fn both(meta: &Meta) -> Both<Option<String>> {
    let Meta::List(list) = meta else {
        let name = literal(meta).map(|name| name.value());
        return Both { serialize: name.clone(), deserialize: name };
    };
    let mut names = Both::default();
    let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
    for part in parts.into_iter().flatten() {
        let name = literal(&part).map(|name| name.value());
        if part.path().is_ident("serialize") {
            names.serialize = name;
        } else if part.path().is_ident("deserialize") {
            names.deserialize = name;
        }
    }
    names
}

fn literal(meta: &Meta) -> Option<LitStr> {
    match meta {
        Meta::NameValue(pair) => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.clone()),
            _ => None,
        },
        Meta::List(_) | Meta::Path(_) => None,
    }
}
