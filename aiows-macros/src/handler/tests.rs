//! Tests of the code that the handler attributes generate, token by token.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;

use super::{Kind, expand};

fn idents(tokens: TokenStream) -> Vec<String> {
    tokens
        .into_iter()
        .flat_map(|token| match token {
            TokenTree::Ident(ident) => vec![ident.to_string()],
            TokenTree::Group(group) => idents(group.stream()),
            TokenTree::Literal(_) | TokenTree::Punct(_) => Vec::new(),
        })
        .collect()
}

fn say(args: &TokenStream) -> String {
    let item = quote! {
        #[cfg(unix)]
        pub(crate) async fn say(mut ws: WebSocket, Wrapped(chat): Wrapped<Chat>) -> Result<()> {
            ws.send(chat + ) ; half typed
        }
    };
    let output = expand(Kind::Message, args.clone(), &item).to_string();
    let prefix = quote!(#[allow(clippy::unused_async)] #item).to_string();
    let Some(rest) = output.strip_prefix(&prefix) else {
        panic!("the function is not emitted as it was written: {output}");
    };
    rest.trim().to_owned()
}

#[test]
fn a_handler_becomes_a_companion_and_a_route() {
    let expected = quote! {
        #[cfg(unix)]
        #[doc(hidden)]
        pub(crate) struct say {}

        #[cfg(unix)]
        #[allow(deprecated)]
        const _: () = {
            use ws as __runtime;
            impl<__T, __Via> __runtime::__private::Serves<__T, __Via> for say
            where
                __Via: __runtime::__private::Declares<__T>,
            {
                const SERVING: __runtime::__private::Serving<fn(__T, __Via)> =
                    __runtime::__private::serving("chat");
            }
            fn __route(meta: __runtime::__private::HandlerMeta) -> __runtime::routing::Route {
                let a0 = __runtime::__private::arg();
                let (a1, <say as __runtime::__private::Serves<_, _>>::SERVING) =
                    __runtime::__private::last();
                let boxed = __runtime::__private::boxed;
                let outcome = __runtime::__private::outcome;
                __runtime::__private::route(meta, &[a0.needs(), a1.needs()], move |call| {
                    boxed(async move {
                        let a0 = a0.take(&call).await?;
                        let a1 = a1.take(&call).await?;
                        let returned = say(a0, a1).await;
                        outcome(&call, returned)
                    })
                })
            }
            impl __runtime::__private::Handler for say {
                const META: __runtime::__private::HandlerMeta = __runtime::__private::HandlerMeta::new(
                    __runtime::__private::Key::Message("chat"),
                    ::core::concat!(::core::module_path!(), "::", "say"),
                    ::core::file!(),
                    ::core::line!(),
                    __route,
                );
            }
        };
    };
    assert_eq!(say(&quote!("chat", crate = ws)), expected.to_string());
}

#[test]
fn the_other_kinds_take_extractors_only() {
    let cases = [
        (Kind::Connect, "Connect"),
        (Kind::Disconnect, "Disconnect"),
        (Kind::Fallback, "Fallback"),
    ];
    for (kind, key) in cases {
        let output = expand(
            kind,
            quote!(),
            &quote!(
                async fn on(ws: WebSocket) {}
            ),
        );
        let idents = idents(output);
        assert!(idents.iter().any(|ident| ident == key), "{key}");
        assert!(!idents.iter().any(|ident| ident == "last"), "{key}");
    }
}

#[test]
fn conditional_arguments_stay_conditional() {
    let item = quote!(
        async fn on(#[cfg(unix)] ws: WebSocket, hub: Hub) {}
    );
    let output = expand(Kind::Connect, quote!(), &item).to_string();
    for part in [
        quote!(#[cfg(unix)] let a0 = __runtime::__private::arg();),
        quote!(&[
            #[cfg(unix)]
            a0.needs(),
            a1.needs()
        ]),
        quote!(on(
            #[cfg(unix)]
            a0,
            a1
        )),
    ] {
        assert!(output.contains(&part.to_string()), "{part}\n{output}");
    }
}

#[test]
fn the_last_remaining_argument_may_be_the_payload() {
    let item = quote!(
        async fn say(
            ws: WebSocket,
            chat: Chat,
            #[cfg(unix)] hub: Hub,
            #[cfg(test)]
            #[cfg(windows)]
            log: Log,
        ) {
        }
    );
    let output = expand(Kind::Message, quote!("chat"), &item).to_string();
    let first = quote!(#[cfg(any(unix, all(test, windows)))]);
    let second = quote!(#[cfg(not(any(unix, all(test, windows))))]);
    let serving = quote!(<say as __runtime::__private::Serves<_, _>>::SERVING);
    let expected = quote!(
            #first let a1 = __runtime::__private::arg();
            #second let (a1, #serving) = __runtime::__private::last();
            #[cfg(all(test, windows))] #[cfg(unix)] let a2 = __runtime::__private::arg();
            #[cfg(not(all(test, windows)))] #[cfg(unix)] let (a2, #serving) = __runtime::__private::last();
            #[cfg(test)] #[cfg(windows)] let (a3, #serving) = __runtime::__private::last();
    );
    assert!(output.contains(&expected.to_string()), "{output}");
}

#[test]
fn generated_code_names_only_the_renamed_crate() {
    let item = quote!(
        async fn say(chat: Chat) {}
    );
    let rejected = quote!(
        fn say(chat: Chat) {}
    );
    for item in [item, rejected] {
        let output = expand(Kind::Message, quote!("chat", crate = ws), &item);
        assert!(!idents(output).contains(&"aiows".to_owned()));
    }
    let default = expand(
        Kind::Message,
        quote!("chat"),
        &quote!(
            async fn say() {}
        ),
    );
    assert!(idents(default).contains(&"aiows".to_owned()));
}

#[test]
fn a_rejected_handler_keeps_its_function_and_gets_a_companion() {
    let item = quote!(
        fn say(ws: &WebSocket) {}
    );
    let output = expand(Kind::Message, quote!(), &item).to_string();
    assert!(output.contains(&item.to_string()));
    assert!(output.contains("struct say { }"));
    for mistake in ["needs a message type", "must be an `async fn`", "by value, write `WebSocket`"]
    {
        assert!(output.contains(mistake), "{mistake}\n{output}");
    }
}

#[test]
fn mistakes_that_rustc_would_report_again_are_corrected() {
    let cases = [
        (
            quote!(
                fn say() {
                    ready().await
                }
            ),
            quote!(
                async fn say() {
                    ready().await
                }
            ),
        ),
        (
            quote!(
                async fn say(&self, chat: Chat) {}
            ),
            quote!(
                async fn say(chat: Chat) {}
            ),
        ),
        (
            quote!(
                async fn say(_: ...) {}
            ),
            quote!(
                async fn say() {}
            ),
        ),
        (
            quote!(
                async fn say();
            ),
            quote!(
                async fn say() {
                    ::core::unreachable!()
                }
            ),
        ),
        (
            quote!(
                async fn say(&self) {
                    self.0
                }
            ),
            quote!(
                async fn say(&self) {
                    self.0
                }
            ),
        ),
    ];
    for (item, corrected) in cases {
        let output = expand(Kind::Message, quote!("chat"), &item).to_string();
        assert!(output.contains(&corrected.to_string()), "{corrected}\n{output}");
        assert_eq!(output.matches("compile_error").count(), 1, "{output}");
    }
}

#[test]
fn a_syntax_error_is_left_to_rustc() {
    let item = quote!(pub async fn say(ws WebSocket) {});
    let output = expand(Kind::Message, quote!("chat"), &item).to_string();
    assert!(output.starts_with(&item.to_string()));
    assert!(output.contains("pub struct say { }"));
    assert!(!output.contains("compile_error"));
}

#[test]
fn types_are_printed_as_users_write_them() {
    let item = quote!(
        async fn say(log: &'a mut State<HashMap<u8, dyn Log>>) {}
    );
    let output = expand(Kind::Connect, quote!(), &item).to_string();
    assert!(output.contains("write `State<HashMap<u8, dyn Log>>`"), "{output}");
}
