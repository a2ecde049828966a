//! Checks the signature of a handler. Each property has one check, which reports its own token.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{FnArg, Safety, Signature, Type};

use super::{Kind, item::HandlerFn};
use crate::errors::Errors;

pub(super) fn check(kind: Kind, function: &HandlerFn, errors: &mut Errors) {
    let sig = &function.sig;
    let kind = kind.name();
    if let Some(receiver) = sig.receiver() {
        let text = format!("{kind} handler must be a free function, it cannot take `self`");
        return errors.push(receiver, text);
    }
    if !function.has_body() {
        return errors.push(sig, format!("{kind} handler must be a free function with a body"));
    }
    check_qualifiers(kind, sig, errors);
    check_generics(kind, sig, errors);
    for arg in &sig.inputs {
        if let FnArg::Typed(arg) = arg {
            check_argument(&arg.ty, errors);
        }
    }
}

/// Checks the keywords before the name. rustc itself rejects `const async` functions.
fn check_qualifiers(kind: &str, sig: &Signature, errors: &mut Errors) {
    if sig.asyncness.is_none() {
        errors.push(sig.fn_token, format!("{kind} handler must be an `async fn`"));
    }
    if let Safety::Unsafe(token) = sig.safety {
        errors.push(token, format!("{kind} handler must not be `unsafe`"));
    }
    if let Some(abi) = &sig.abi {
        errors.push(abi, format!("{kind} handler must not be `extern`"));
    }
    if let Some(dots) = &sig.variadic {
        errors.push(dots.dots, format!("{kind} handler must not be variadic"));
    }
}

fn check_generics(kind: &str, sig: &Signature, errors: &mut Errors) {
    let generics = &sig.generics;
    if !generics.params.is_empty() {
        let text = format!(
            "{kind} handler must not be generic: routing needs one concrete type per argument"
        );
        errors.push(generics, text);
    } else if let Some(clause) = &generics.where_clause {
        errors.push(clause, format!("{kind} handler must not have a where clause"));
    }
}

/// Rejects references and `impl Trait`, for which rustc would report misleading errors.
fn check_argument(ty: &Type, errors: &mut Errors) {
    if let Type::Reference(reference) = ty {
        let owned = compact(&reference.elem);
        errors.push(ty, format!("handler arguments are passed by value, write `{owned}`"));
    } else if has_impl(ty.to_token_stream()) {
        errors.push(ty, "handler arguments need concrete types, found `impl Trait`");
    }
}

fn has_impl(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == "impl",
        TokenTree::Group(group) => has_impl(group.stream()),
        TokenTree::Literal(_) | TokenTree::Punct(_) => false,
    })
}

/// Prints the type as users write it, without the space that token streams print around each token.
fn compact(ty: &Type) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut text = String::new();
    for token in ty.to_token_stream().to_string().split_whitespace() {
        let joins = text.ends_with(',') || text.ends_with(is_word) && token.starts_with(is_word);
        if joins {
            text.push(' ');
        }
        text.push_str(token);
    }
    text
}
