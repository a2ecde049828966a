//! Expands the list of `routes![..]`.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Attribute, Path,
    parse::{Parse, ParseStream, Parser},
};

use crate::errors::Errors;

/// Expands `($crate) a, b::c, #[cfg(x)] d` to an expression of type `Routes`.
pub(crate) fn expand(input: TokenStream) -> TokenStream {
    let mut input = input.into_iter();
    let Some(TokenTree::Group(krate)) = input.next() else {
        return syn::Error::new(Span::call_site(), "use `aiows::routes!`").to_compile_error();
    };
    let krate = Krate(krate);
    let mut errors = Errors::default();
    let entries = entries(input.collect(), &mut errors);
    let metas = entries.iter().map(|entry| entry.meta(&krate));
    let checks = (1..entries.len()).map(|at| entries[at].check(&entries[..at], &krate));
    let errors = errors.report();
    let runtime = krate.at(Span::mixed_site());
    quote_spanned! {Span::mixed_site()=>
        {
            #errors
            const METAS: &[#runtime::__private::HandlerMeta] = &[#(#metas),*];
            #(#checks)*
            #runtime::__private::routes(METAS)
        }
    }
}

/// The `$crate` of `routes!`, in parentheses.
struct Krate(Group);

impl Krate {
    /// Returns the path with its tokens located at `span`.
    fn at(&self, span: Span) -> TokenStream {
        let tokens = self.0.stream().into_iter();
        tokens
            .map(|mut token| {
                token.set_span(token.span().located_at(span));
                token
            })
            .collect()
    }

    /// Returns a span that resolves like `$crate` and is located at `span`.
    ///
    /// Unless all tokens of a call resolve the same way, rustc underlines the whole `routes![..]`.
    fn span_at(&self, span: Span) -> Span {
        let first = self.0.stream().into_iter().next();
        first.map_or(span, |token| token.span().located_at(span))
    }
}

/// One handler of the list.
struct Entry {
    cfg: Vec<Attribute>,
    path: Path,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        Ok(Self { cfg: input.call(Attribute::parse_outer)?, path: Path::parse_mod_style(input)? })
    }
}

fn entries(tokens: TokenStream, errors: &mut Errors) -> Vec<Entry> {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(p) if p.as_char() == ',');
    let mut entries = Vec::new();
    for piece in tokens.split(is_comma).filter(|piece| !piece.is_empty()) {
        let tokens: TokenStream = piece.iter().cloned().collect();
        let Ok(mut entry) = Entry::parse.parse2(tokens.clone()) else {
            errors.push(tokens, "`routes!` takes handler names, like `routes![say]`");
            continue;
        };
        for other in entry.cfg.extract_if(.., |attr| !attr.path().is_ident("cfg")) {
            errors.push(other, "an entry of `routes!` takes no attribute except `#[cfg(..)]`");
        }
        entries.push(entry);
    }
    entries
}

impl Entry {
    fn name(&self) -> Span {
        self.path.segments.last().map_or_else(Span::call_site, |last| last.ident.span())
    }

    /// Returns the metadata of the handler. The path occurs only here, so a wrong one is one error.
    fn meta(&self, krate: &Krate) -> TokenStream {
        let Self { cfg, path } = self;
        let runtime = krate.at(self.name());
        let value = quote_spanned!(self.name()=> &#path {});
        quote_spanned!(krate.span_at(self.name())=> #(#cfg)* #runtime::__private::meta(#value))
    }

    /// Compares the handler with the handlers before it. The compiler counts its index, because
    /// only the compiler evaluates `#[cfg]`.
    fn check(&self, before: &[Self], krate: &Krate) -> TokenStream {
        let cfg = &self.cfg;
        let span = krate.span_at(self.name());
        let runtime = krate.at(self.name());
        let metas = Ident::new("METAS", span);
        let index = index(before);
        quote_spanned! {span=>
            #(#cfg)*
            const _: () = #runtime::__private::assert_unique(#metas, #index);
        }
    }
}

fn index(before: &[Entry]) -> TokenStream {
    if before.iter().all(|entry| entry.cfg.is_empty()) {
        return before.len().to_token_stream();
    }
    let units = before.iter().map(|Entry { cfg, .. }| quote!(#(#cfg)* ()));
    quote!(<[()]>::len(&[#(#units),*]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &str) -> String {
        expand(format!("(ws) {entries}").parse().unwrap()).to_string()
    }

    #[test]
    fn every_entry_is_mentioned_once() {
        let expected = quote! {
            {
                const METAS: &[ws::__private::HandlerMeta] =
                    &[ws::__private::meta(&say {}), ws::__private::meta(&chat::join {})];
                const _: () = ws::__private::assert_unique(METAS, 1usize);
                ws::__private::routes(METAS)
            }
        };
        assert_eq!(list("say, chat::join,"), expected.to_string());
    }

    #[test]
    fn a_conditional_entry_does_not_shift_the_checks() {
        let expected = quote! {
            {
                const METAS: &[ws::__private::HandlerMeta] = &[
                    #[cfg(unix)] ws::__private::meta(&a {}),
                    #[cfg(windows)] ws::__private::meta(&b {}),
                    ws::__private::meta(&c {})
                ];
                #[cfg(windows)]
                const _: () = ws::__private::assert_unique(METAS, <[()]>::len(&[#[cfg(unix)] ()]));
                const _: () = ws::__private::assert_unique(
                    METAS, <[()]>::len(&[#[cfg(unix)] (), #[cfg(windows)] ()]));
                ws::__private::routes(METAS)
            }
        };
        assert_eq!(list("#[cfg(unix)] a, #[cfg(windows)] b, c"), expected.to_string());
    }

    #[test]
    fn the_empty_list_has_no_checks() {
        assert!(!list("").contains("assert_unique"));
    }

    #[test]
    fn valid_entries_are_kept_next_to_an_invalid_one() {
        let output = list("say(), talk, || 1");
        assert_eq!(output.matches("takes handler names").count(), 2);
        assert!(output.contains("& talk { }"));
    }
}
