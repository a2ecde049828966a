//! The rules for message types such as `"chat"`, and the default message type of a struct.

use proc_macro2::{Ident, TokenStream};
use syn::{LitStr, ext::IdentExt};

use crate::errors::Errors;

pub(crate) const NOT_A_STRING: &str = "message type must be a string literal, like `\"chat\"`";

const RESERVED: [&str; 7] =
    ["ack", "auth", "auth_success", "error", "room.joined", "room.left", "room.members"];

/// Reads a message type written as a literal; reports an invalid one and returns `None`.
pub(crate) fn literal(tokens: TokenStream, errors: &mut Errors) -> Option<LitStr> {
    match syn::parse2::<LitStr>(tokens.clone()) {
        Ok(literal) if literal.suffix().is_empty() => accepted(literal, errors),
        _ => {
            errors.push(tokens, NOT_A_STRING);
            None
        }
    }
}

fn accepted(literal: LitStr, errors: &mut Errors) -> Option<LitStr> {
    let name = literal.value();
    let text = if name.is_empty() {
        "message type must not be empty".to_owned()
    } else if name.contains(|c: char| c.is_whitespace() || c.is_control()) {
        "message type must not contain whitespace or control characters".to_owned()
    } else if is_reserved(&name) {
        format!("message type `{name}` is reserved for the protocol, choose another")
    } else {
        return Some(literal);
    };
    errors.push(&literal, text);
    None
}

pub(crate) fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// Converts a struct's name to snake_case. A run of capitals is one word: `HTTPPing` becomes
/// `http_ping`.
pub(crate) fn of_struct(ident: &Ident) -> String {
    let name: Vec<char> = ident.unraw().to_string().chars().collect();
    let mut snake = String::new();
    for (at, &letter) in name.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| name[at]);
        let ends_run = name.get(at + 1).is_some_and(|after| after.is_lowercase());
        let starts_word = before.is_some_and(|before| {
            before != '_' && (!before.is_uppercase() || ends_run) && letter.is_uppercase()
        });
        if starts_word {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use quote::format_ident;

    use super::*;

    #[test]
    fn struct_names_become_snake_case() {
        let cases = [
            ("Chat", "chat"),
            ("JoinRoom", "join_room"),
            ("HTTPPing", "http_ping"),
            ("PingV2", "ping_v2"),
            ("Chat2Message", "chat2_message"),
            ("Already_Split", "already_split"),
            ("X", "x"),
            ("ÄrgerLevel", "ärger_level"),
        ];
        for (name, expected) in cases {
            assert_eq!(of_struct(&format_ident!("{name}")), expected);
        }
        assert_eq!(of_struct(&Ident::new_raw("type", proc_macro2::Span::call_site())), "type");
    }

    #[test]
    fn an_invalid_message_type_is_rejected_with_the_reason() {
        let rejection = |literal: &str| {
            let mut errors = Errors::default();
            assert!(super::literal(literal.parse().unwrap(), &mut errors).is_none());
            errors.report().to_string()
        };
        assert!(rejection(r#""""#).contains("must not be empty"));
        assert!(rejection(r#"" chat""#).contains("must not contain whitespace"));
        assert!(rejection("\"a\\u{7}\"").contains("control characters"));
        assert!(rejection(r#""ack""#).contains("message type `ack` is reserved"));
        for wrong in [r#"b"chat""#, r#""chat"x"#, "1", "chat", r#""a" "b""#] {
            assert!(rejection(wrong).contains("must be a string literal"), "{wrong}");
        }
    }
}
