//! Tests of the code that `#[router]` adds to a module, and of the handlers it finds.

use quote::ToTokens;

use super::*;

fn expanded(args: &str, item: &str) -> String {
    expand(args.parse().unwrap(), item.parse().unwrap()).to_string()
}

/// Returns the handlers that are found in a module with this body, each with its conditions.
fn found(body: &str) -> Vec<String> {
    let functions = scan::functions(body.parse().unwrap());
    let handlers = functions.into_iter().filter(|function| function.is_handler);
    handlers.map(|Function { cfg, name, .. }| quote!(#(#cfg)* #name).to_string()).collect()
}

#[test]
fn a_module_keeps_its_tokens_and_gets_a_router_function() {
    let body = quote! {
        #![allow(unused)]
        #[message("chat")] async fn say() {}
        #[cfg(unix)] #[ws::connect] pub(super) async fn r#match() {}
    };
    let item = quote!(#[doc = "Chat."] pub(crate) mod chat { #body });
    let metas = quote! {
        const METAS: &[__runtime::__private::HandlerMeta] = &[
            __runtime::__private::meta(&say {}),
            #[cfg(unix)] __runtime::__private::meta(&r#match {})
        ];
        #[cfg(unix)]
        const _: () = __runtime::__private::assert_unique(METAS, 1usize);
    };
    let expected = quote! {
        #[doc = "Chat."] pub(crate) mod chat {
            #body
            use ws as __runtime;
            #[doc = r" Returns a router with the handlers of this module."]
            #[allow(unreachable_pub, reason = "the module may be private, its parent needs the function")]
            pub fn router() -> __runtime::Router {
                __runtime::Router::new().routes({ #metas __runtime::__private::routes(METAS) })
            }
        }
    };
    assert_eq!(expanded("crate = ws", &item.to_string()), expected.to_string());
}

#[test]
fn generated_code_names_only_the_renamed_crate() {
    let item = "mod chat { #[connect] async fn on() {} }";
    assert!(!expanded("crate = ws", item).contains("aiows"));
    assert!(expanded("", item).contains("use :: aiows as __runtime"));
}

#[test]
fn handlers_are_found_by_the_last_segment_of_their_attribute() {
    let body = r#"
        #[connect] async fn a() {}
        #[aiows::message("b")] pub async fn b() {}
        /// Documented.
        #[::aiows::disconnect] #[deprecated] pub(in crate::x) async fn r#c() {}
        #[allow(unused)] #[fallback(crate = ws)] async fn d() -> [u8; 2] {}
        #[message::other] async fn e() {}
        #[doc = "message"] async fn f() {}
        fn g() {}
    "#;
    assert_eq!(found(body), ["a", "b", "r#c", "d"]);
}

#[test]
fn an_entry_has_the_conditions_of_its_handler() {
    let body = r#"
        #[cfg(unix)] use x::y;
        #[cfg(unix)] #[message("a")] #[cfg(test)] async fn a() {}
        #[cfg_attr(all(unix, test), aiows::message("b"), doc = "b")] async fn b() {}
        #[cfg_attr(unix, doc = "message")] async fn c() {}
        #[message("d")] async fn d() {}
    "#;
    let expected = ["# [cfg (unix)] # [cfg (test)] a", "# [cfg (all (unix , test))] b", "d"];
    let expected = expected.map(|entry| entry.parse::<TokenStream>().unwrap().to_string());
    assert_eq!(found(body), expected);
}

#[test]
fn other_items_and_their_content_are_skipped() {
    let body = r#"
        #[message("a")] struct A { x: u8 }
        #[message("b")] struct B;
        #[message("c")] mod c { #[message("c")] async fn c() {} }
        impl A { #[message("d")] async fn d() {} }
        macro_rules! e { () => { #[message("e")] async fn e() {} } }
        type F = fn(u8) -> fn();
        const fn g() {}
        #[message("h")] async fn h() {}
    "#;
    assert_eq!(found(body), ["h"]);
}

#[test]
fn a_half_typed_handler_does_not_hide_its_neighbors() {
    let body = r#"
        #[message("a")] pub async fn a(ws WebSocket) -> { ws. }
        #[message("b")] async fn b(
        ) {}
        #[message("c")] async fn
    "#;
    assert_eq!(found(body), ["a", "b"]);
}

#[test]
fn handlers_in_macro_fragments_are_found() {
    let fragment = |tokens: &str| Group::new(Delimiter::None, tokens.parse().unwrap());
    let attribute = fragment(r#"message("a")"#);
    let handler = fragment("pub async fn a() {}");
    let item = fragment(
        &quote!(
            #[connect]
            async fn b() {}
        )
        .to_string(),
    );
    let functions = scan::functions(quote!(#[#attribute] #handler #item));
    let names: Vec<_> = functions.iter().map(|function| function.name.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(functions.iter().all(|function| function.is_handler));
}

#[test]
fn a_rejected_module_keeps_its_tokens() {
    let cases = [
        ("mod chat { }", "module `chat` contains no handlers"),
        ("mod chat { fn router() {} }", "already has a function `router`"),
        ("mod chat ;", "needs an inline module: `mod chat { .. }`"),
        ("pub fn chat() {}", "can only be applied to an inline module"),
        ("chat", "can only be applied to an inline module"),
    ];
    for (item, text) in cases {
        let output = expanded("", item);
        let tokens = item.parse::<TokenStream>().unwrap().to_token_stream().to_string();
        let start = tokens.trim_end_matches([' ', '}']);
        assert!(output.starts_with(start), "{output}");
        assert_eq!(output.matches("compile_error").count(), 1, "{output}");
        assert!(output.contains(text), "{output}");
    }
}

#[test]
fn a_conditional_function_named_router_is_left_to_rustc() {
    let item = "mod chat { #[cfg(no)] fn router() {} #[connect] async fn on() {} }";
    assert!(!expanded("", item).contains("compile_error"));
}
