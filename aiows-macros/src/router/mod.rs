//! Expands `#[router] mod chat { .. }`, which lists the handlers of a module.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};

use crate::{
    errors::Errors,
    handler::keyword,
    krate::Krate,
    options::{self, Known, Piece},
    routes,
};

mod scan;
#[cfg(test)]
mod tests;

use scan::Function;

/// Adds `fn router` to a module. The tokens of the module itself stay as they are.
pub(crate) fn expand(args: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let krate = krate(args, &mut errors);
    let tokens = scan::flat(item.clone());
    let output = match &tokens[..] {
        [head @ .., TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body)]
            if word == "mod" && body.delimiter() == Delimiter::Brace =>
        {
            let router = router(&krate, name, body.stream(), &mut errors);
            let body = extended(body, router);
            quote!(#(#head)* #word #name #body)
        }
        [.., TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Punct(_)]
            if word == "mod" =>
        {
            let text = format!("`#[router]` needs an inline module: `mod {name} {{ .. }}`");
            errors.push(quote!(#word #name), text);
            item
        }
        _ => {
            errors.push(
                keyword(item.clone()),
                "`#[router]` can only be applied to an inline module, like `mod chat { .. }`",
            );
            item
        }
    };
    let errors = errors.report();
    quote!(#output #errors)
}

fn krate(args: TokenStream, errors: &mut Errors) -> Krate {
    let mut krate = Krate::default();
    let mut known = Known::new(&["crate"]);
    for piece in options::pieces(args) {
        match piece {
            Piece::Option { key, value } => {
                if known.admit(&key, errors) {
                    krate = options::krate(&key, value, errors);
                }
            }
            Piece::Value(tokens) => errors.push(tokens, "`#[router]` takes no arguments"),
        }
    }
    krate
}

fn extended(body: &Group, addition: TokenStream) -> Group {
    let mut stream = body.stream();
    stream.extend(addition);
    let mut extended = Group::new(body.delimiter(), stream);
    extended.set_span(body.span());
    extended
}

/// Generates the function for a module with this body, unless the module already has one of this
/// name.
fn router(krate: &Krate, module: &Ident, body: TokenStream, errors: &mut Errors) -> TokenStream {
    let functions = scan::functions(body);
    if let Some(taken) = functions.iter().find(|function| function.is_always("router")) {
        let text = format!(
            "module `{module}` already has a function `router`, rename it or remove `#[router]`"
        );
        errors.push(&taken.name, text);
        return TokenStream::new();
    }
    let handlers: Vec<_> = functions.iter().filter(|function| function.is_handler).collect();
    if handlers.is_empty() {
        let text = format!(
            "module `{module}` contains no handlers, add an `async fn` with a handler attribute, \
             like `#[message(\"..\")]`"
        );
        errors.push(module, text);
    }
    function(krate, module, &handlers)
}

/// Generates `fn router`. The import next to it serves the body and the return type, so a wrong
/// path is one error.
fn function(krate: &Krate, module: &Ident, handlers: &[&Function]) -> TokenStream {
    let import = krate.import();
    let runtime = Ident::new("__runtime", Span::mixed_site());
    let entries = handlers.iter().map(|Function { cfg, name, .. }| quote!(#(#cfg)* #name));
    // With a span of the user's code, the error for a duplicate does not point to the macro, too.
    let written = Ident::new("__runtime", module.span());
    let routes = routes::expand(quote!((#written) #(#entries),*));
    let body = quote_spanned!(Span::mixed_site()=> #runtime::Router::new().routes(#routes));
    let returned = quote_spanned!(Span::mixed_site()=> #runtime::Router);
    // With the span of a user's token, rustc warns if the function is unused.
    let router = quote_spanned!(module.span()=> pub fn router() -> #returned { #body });
    quote_spanned! {Span::mixed_site()=>
        #import

        /// Returns a router with the handlers of this module.
        #[allow(unreachable_pub, reason = "the module may be private, its parent needs the function")]
        #router
    }
}
