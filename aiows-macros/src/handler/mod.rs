//! Expands `#[connect]`, `#[message("t")]`, `#[disconnect]` and `#[fallback]`. All four share one
//! pipeline; they differ in their [`Kind`].

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

/// The attribute that is being expanded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Connect,
    Disconnect,
    Fallback,
    Message,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Connect, Self::Disconnect, Self::Fallback, Self::Message];

    /// Returns whether one of the attributes has this name.
    pub(crate) fn is_named(name: &Ident) -> bool {
        Self::ALL.iter().any(|kind| name == kind.name())
    }

    /// Returns the attribute's name. Error texts use it for the kind of the handler, too.
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::Fallback => "fallback",
            Self::Message => "message",
        }
    }
}

/// Expands a handler attribute.
///
/// The item is always part of the output, so that editors keep working while the user types it.
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
    // The attribute requires `async`, even if the author does not need it.
    quote! {
        #[allow(clippy::unused_async)]
        #function
        #errors
        #registration
    }
}

/// Returns the output for an item that is not a function, or for a function with a syntax error.
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
                "`#[{name}]` can only be applied to an `async fn`, \
                 use `#[derive(Message)]` to declare a message"
            ),
        ),
        Rejected::Other(tokens) => {
            errors.push(tokens, format!("`#[{name}]` can only be applied to an `async fn`"));
        }
    }
    let errors = errors.report();
    quote!(#item #errors #registration)
}
