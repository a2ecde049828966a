//! The arguments of the attributes: values and `key = value` options, separated by commas.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{Path, parse::Parser};

use crate::{
    errors::{Errors, list},
    krate::Krate,
};

/// One argument.
pub(crate) enum Piece {
    /// `key = value`; the stream is empty if the value is missing.
    Option { key: Ident, value: TokenStream },
    /// Any other tokens.
    Value(TokenStream),
}

/// Splits the tokens of an attribute into its arguments.
pub(crate) fn pieces(tokens: TokenStream) -> Vec<Piece> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    tokens
        .split(|token| is_punct(token, ','))
        .filter(|piece| !piece.is_empty())
        .map(|piece| match piece {
            [TokenTree::Ident(key), TokenTree::Punct(sign), value @ ..]
                if sign.as_char() == '=' =>
            {
                Piece::Option { key: key.clone(), value: value.iter().cloned().collect() }
            }
            [TokenTree::Ident(key)] if key == "crate" => {
                Piece::Option { key: key.clone(), value: TokenStream::new() }
            }
            [TokenTree::Ident(key), TokenTree::Group(_)] => {
                Piece::Option { key: key.clone(), value: TokenStream::new() }
            }
            other => Piece::Value(other.iter().cloned().collect()),
        })
        .collect()
}

fn is_punct(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

/// The options that a list accepts, and those it has had so far.
pub(crate) struct Known {
    names: &'static [&'static str],
    seen: Vec<Ident>,
}

impl Known {
    pub(crate) fn new(names: &'static [&'static str]) -> Self {
        Self { names, seen: Vec::new() }
    }

    /// Returns whether the caller may read the option; reports an unknown or repeated one.
    pub(crate) fn admit(&mut self, key: &Ident, errors: &mut Errors) -> bool {
        if !self.names.iter().any(|name| key == name) {
            let names: Vec<_> = self.names.iter().map(|name| format!("`{name}`")).collect();
            errors.push(key, format!("unknown option `{key}`, expected {}", list(&names)));
            return false;
        }
        if self.seen.contains(key) {
            errors.push(key, format!("option `{key}` is given twice, remove one"));
            return false;
        }
        self.seen.push(key.clone());
        true
    }
}

/// Reads the value of `crate = path`.
pub(crate) fn krate(key: &Ident, value: TokenStream, errors: &mut Errors) -> Krate {
    match Path::parse_mod_style.parse2(value.clone()) {
        Ok(path) => path.into(),
        Err(_) => {
            let text = "`crate` must be a path, like `crate = ws`";
            if value.is_empty() {
                errors.push(key, text)
            } else {
                errors.push(value, text)
            }
            Krate::default()
        }
    }
}
