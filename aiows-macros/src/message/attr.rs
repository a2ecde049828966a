//! Parses `#[aiows(type = "..", delivery = "..", key = "..", crate = path)]`.

use syn::{Attribute, LitStr, Meta};

use super::delivery::Delivery;
use crate::{
    errors::Errors,
    krate::Krate,
    options::{self, Known, Piece},
    type_name,
};

/// The parsed options.
#[derive(Default)]
pub(super) struct Attr {
    /// The message type, if the attribute declares one.
    pub(super) declared: Option<LitStr>,
    pub(super) delivery: Delivery,
    pub(super) krate: Krate,
}

impl Attr {
    pub(super) fn parse(
        options: &'static [&'static str],
        attrs: &[Attribute],
        errors: &mut Errors,
    ) -> Self {
        let mut attr = Self::default();
        let mut known = Known::new(options);
        for found in attrs.iter().filter(|attr| attr.path().is_ident("aiows")) {
            let Meta::List(list) = &found.meta else {
                errors.push(
                    found,
                    "write the options in parentheses, like `#[aiows(type = \"chat\")]`",
                );
                continue;
            };
            for piece in options::pieces(list.tokens.clone()) {
                attr.read(piece, &mut known, errors);
            }
        }
        attr
    }

    fn read(&mut self, piece: Piece, known: &mut Known, errors: &mut Errors) {
        match piece {
            Piece::Option { key, value } if known.admit(&key, errors) => {
                if key == "crate" {
                    self.krate = options::krate(&key, value, errors);
                } else if key == "delivery" {
                    self.delivery.read_policy(&key, value, errors);
                } else if key == "key" {
                    self.delivery.read_key(&key, value, errors);
                } else if value.is_empty() {
                    errors.push(key, type_name::NOT_A_STRING);
                } else {
                    self.declared = type_name::literal(value, errors);
                }
            }
            Piece::Option { .. } => {}
            Piece::Value(tokens) => {
                errors.push(tokens, "expected an option, like `type = \"chat\"`");
            }
        }
    }
}
