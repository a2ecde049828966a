//! Finds the functions of a module by their tokens, so that a broken one does not hide the others.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::quote;

use crate::handler::Kind;

/// A function of the module.
pub(super) struct Function {
    /// The `#[cfg(..)]` attributes as written.
    pub(super) cfg: Vec<TokenStream>,
    pub(super) name: Ident,
    pub(super) is_handler: bool,
}

impl Function {
    /// Returns whether the function has this name and no `#[cfg]`.
    pub(super) fn is_always(&self, name: &str) -> bool {
        self.cfg.is_empty() && self.name == name
    }
}

/// Replaces groups without delimiters, which come from macro fragments, with their content.
pub(super) fn flat(tokens: TokenStream) -> Vec<TokenTree> {
    let mut all = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::None => {
                all.extend(flat(group.stream()));
            }
            other => all.push(other),
        }
    }
    all
}

/// Returns the functions that are direct items of a module with this body.
pub(super) fn functions(body: TokenStream) -> Vec<Function> {
    let tokens = flat(body);
    let mut rest = &tokens[..];
    let mut found = Vec::new();
    let mut attributes = Attributes::default();
    loop {
        rest = match rest {
            [TokenTree::Punct(sign), TokenTree::Group(attribute), rest @ ..]
                if sign.as_char() == '#' =>
            {
                attributes.read(attribute);
                rest
            }
            [TokenTree::Ident(keyword), TokenTree::Ident(name), rest @ ..] if keyword == "fn" => {
                found.push(std::mem::take(&mut attributes).on(name));
                rest
            }
            [token, rest @ ..] => {
                if ends_item(token) {
                    attributes = Attributes::default();
                }
                rest
            }
            [] => return found,
        };
    }
}

fn ends_item(token: &TokenTree) -> bool {
    match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    }
}

/// The attributes of one item, as far as they matter here.
#[derive(Default)]
struct Attributes {
    cfg: Vec<TokenStream>,
    has_kind: bool,
}

impl Attributes {
    fn read(&mut self, attribute: &Group) {
        let tokens = flat(attribute.stream());
        match &tokens[..] {
            [TokenTree::Ident(name), ..] if name == "cfg" => {
                self.cfg.push(quote!(# #attribute));
            }
            [TokenTree::Ident(name), TokenTree::Group(arguments)] if name == "cfg_attr" => {
                self.read_conditional(arguments);
            }
            tokens => self.has_kind |= is_kind(tokens),
        }
    }

    /// Reads `#[cfg_attr(unix, message("chat"))]`: the function is a handler only if the condition
    /// holds.
    fn read_conditional(&mut self, arguments: &Group) {
        let tokens = flat(arguments.stream());
        let mut pieces = tokens
            .split(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ','));
        let condition = pieces.next().unwrap_or_default();
        if pieces.any(is_kind) {
            self.has_kind = true;
            self.cfg.push(quote!(#[cfg(#(#condition)*)]));
        }
    }

    fn on(self, name: &Ident) -> Function {
        Function { cfg: self.cfg, name: name.clone(), is_handler: self.has_kind }
    }
}

/// Returns whether the path of an attribute ends in the name of a handler attribute.
fn is_kind(attribute: &[TokenTree]) -> bool {
    let path = attribute.iter().take_while(|token| match token {
        TokenTree::Ident(_) => true,
        TokenTree::Punct(punct) => punct.as_char() == ':',
        TokenTree::Group(_) | TokenTree::Literal(_) => false,
    });
    matches!(path.last(), Some(TokenTree::Ident(name)) if Kind::is_named(name))
}
