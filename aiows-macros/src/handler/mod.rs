//! `#[connect]`, `#[message("t")]`, `#[disconnect]` and `#[fallback]`: one pipeline, the kind is
//! data.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use crate::errors::Errors;

mod argument;
mod attr;
mod expand;
mod item;
mod signature;
mod stub;
#[cfg(test)]
mod tests;

use attr::Attr;
pub(crate) use item::keyword;
use item::{HandlerFn, Rejected};

/// Which attribute is being expanded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Disconnect,
    Fallback,
    Message,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Connect, Self::Disconnect, Self::Fallback, Self::Message];

    /// Whether one of the attributes has this name.
    pub(crate) fn is_named(name: &Ident) -> bool {
        Self::ALL.iter().any(|kind| name == kind.name())
    }

    /// The attribute's name, which is also how messages to the user call the handler.
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::Fallback => "fallback",
            Self::Message => "message",
        }
    }
}

/// Expands a handler attribute. The item is part of the output whatever happens, so that an editor
/// keeps working on a function that is being typed.
pub(crate) fn expand(kind: Kind, args: TokenStream, item: &TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let attr = Attr::parse(kind, args, &mut errors);
    let Ok(mut function) = syn::parse2::<HandlerFn>(item.clone()) else {
        return without_function(kind, &attr, item, errors);
    };
    function.remove_second_attribute(kind, &mut errors);
    signature::check(kind, &function, &mut errors);
    let registration = if errors.is_empty() {
        expand::registration(kind, &function, &attr)
    } else if function.may_have_companion() {
        stub::registration(&function.companion(), &attr.krate)
    } else {
        TokenStream::new()
    };
    if !errors.is_empty() {
        function.correct();
    }
    let errors = errors.report();
    // It is the attribute that forces `async`, not the author.
    quote! {
        #[allow(clippy::unused_async)]
        #function
        #errors
        #registration
    }
}

/// The output for an item that is no function, or one that rustc could not parse either.
fn without_function(
    kind: Kind,
    attr: &Attr,
    item: &TokenStream,
    mut errors: Errors,
) -> TokenStream {
    let name = kind.name();
    let mut registration = TokenStream::new();
    match Rejected::of(item.clone()) {
        // rustc reports the syntax error itself.
        Rejected::Function(companion) => {
            registration = stub::registration(&companion, &attr.krate);
        }
        Rejected::Data(tokens) => errors.push(
            tokens,
            format!(
                "`#[{name}]` applies to an `async fn`; a message type is declared with `#[derive(Message)]`"
            ),
        ),
        Rejected::Other(tokens) => {
            errors.push(tokens, format!("`#[{name}]` applies to an `async fn`"));
        }
    }
    let errors = errors.report();
    quote!(#item #errors #registration)
}
