//! The arguments of a handler attribute.

use proc_macro2::{Span, TokenStream};
use syn::LitStr;

use super::Kind;
use crate::{
    errors::Errors,
    krate::Krate,
    options::{self, Known, Piece},
    type_name,
};

/// The parsed arguments, such as `"chat", crate = ws` or `always`.
#[derive(Default)]
pub(super) struct Attr {
    /// Present on every accepted `#[message]`, absent on the other attributes.
    pub(super) message_type: Option<LitStr>,
    /// Whether this is `#[disconnect(always)]`.
    pub(super) always: bool,
    pub(super) krate: Krate,
}

impl Attr {
    pub(super) fn parse(kind: Kind, tokens: TokenStream, errors: &mut Errors) -> Self {
        let mut attr = Self::default();
        let mut known = Known::new(&["crate"]);
        let mut values = 0;
        for piece in options::pieces(tokens) {
            match piece {
                Piece::Option { key, value } => {
                    if known.admit(&key, errors) {
                        attr.krate = options::krate(&key, value, errors);
                    }
                }
                Piece::Value(tokens) if kind == Kind::Disconnect => {
                    if attr.always || tokens.to_string() != "always" {
                        errors.push(tokens, "`#[disconnect]` takes no argument except `always`");
                    }
                    attr.always = true;
                }
                Piece::Value(tokens) if kind != Kind::Message => {
                    errors.push(tokens, format!("`#[{}]` takes no arguments", kind.name()));
                }
                Piece::Value(tokens) if values > 0 => {
                    values += 1;
                    let text =
                        "a handler serves one message type, write a second handler for this one";
                    errors.push(tokens, text);
                }
                Piece::Value(tokens) => {
                    values += 1;
                    attr.message_type = type_name::literal(tokens, errors);
                }
            }
        }
        if kind == Kind::Message && values == 0 && errors.is_empty() {
            let text = "message handler needs a message type, like `#[message(\"chat\")]`";
            errors.push_at(Span::call_site(), text);
        }
        attr
    }
}
