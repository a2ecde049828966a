//! The grammar shared by `#[message(..)]`, its siblings and `#[aiows(..)]`: values and options,
//! separated by commas.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::{Path, parse::Parser};

use crate::{errors::Errors, krate::Krate};

/// One element of the list.
pub(crate) enum Piece {
    /// `key = value`; a missing value is an empty stream.
    Option { key: Ident, value: TokenStream },
    /// Anything else.
    Value(TokenStream),
}

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

/// Which options a list may hold, and which it has held already.
pub(crate) struct Known {
    names: &'static [&'static str],
    seen: Vec<Ident>,
}

impl Known {
    pub(crate) fn new(names: &'static [&'static str]) -> Self {
        Self { names, seen: Vec::new() }
    }

    /// Tells whether the option is to be read; reports it when it is unknown or repeated.
    pub(crate) fn admit(&mut self, key: &Ident, errors: &mut Errors) -> bool {
        if !self.names.iter().any(|name| key == name) {
            let names: Vec<_> = self.names.iter().map(|name| format!("`{name}`")).collect();
            errors.push(key, format!("unknown option `{key}`, expected {}", names.join(" or ")));
            return false;
        }
        if self.seen.contains(key) {
            errors.push(key, format!("option `{key}` is given twice"));
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
