//! Tests of the code that the derives generate, token by token.

use quote::quote;

use super::expand;

fn expanded(input: &str) -> String {
    expand(input.parse().unwrap()).to_string()
}

fn errors(input: &str) -> Vec<String> {
    let output = expanded(input);
    let parts = output.split("compile_error ! { ").skip(1);
    parts.filter_map(|part| Some(part.split_once(" }")?.0.trim_matches('"').to_owned())).collect()
}

#[test]
fn a_unit_struct_is_a_message() {
    let names = cfg!(feature = "validator").then(|| {
        quote! {
            #[automatically_derived]
            impl __runtime::__private::WireNames for HTTPPing {
                fn names() -> __runtime::__private::Names {
                    __runtime::__private::Names::new(
                        |_| ::core::option::Option::None,
                        |_| ::core::option::Option::None
                    )
                }

                fn has_rules() -> bool {
                    use __runtime::__private::{ViaNoCheck as _, ViaValidated as _};
                    (&__runtime::__private::Probe::of(|value: &HTTPPing| value)).has_rules()
                }
            }
        }
    });
    let validate = cfg!(feature = "validator").then(|| {
        quote! {
            fn validate(&self) -> ::core::result::Result<(), __runtime::HandlerError> {
                use __runtime::__private::{ViaNoCheck as _, ViaValidated as _};
                let checked =
                    (&__runtime::__private::Probe::of(|value: &HTTPPing| value)).check(self);
                __runtime::__private::field_errors(self, checked)?;
                ::core::result::Result::Ok(())
            }
        }
    });
    let expected = quote! {
        const _: () = {
            use ws as __runtime;
            #[automatically_derived]
            impl __runtime::Message for HTTPPing {
                const TYPE: &'static str = "http_ping";
                const DECLARED: bool = false;
                #validate
            }
            #names
        };
    };
    let output = expanded("#[aiows(crate = ws)] struct HTTPPing;");
    assert_eq!(output, expected.to_string());
}

#[test]
fn a_declared_type_is_marked() {
    let output = expanded(r#"#[aiows(type = "game.ping")] struct Ping;"#);
    let expected = quote! {
        const TYPE: &'static str = "game.ping";
        const DECLARED: bool = true;
    };
    assert!(output.contains(&expected.to_string()), "{output}");
}

#[cfg(feature = "validator")]
#[test]
fn wire_names_are_the_names_that_serde_reads() {
    let output = super::expand_wire_names(quote! {
        #[serde(rename_all(deserialize = "camelCase", serialize = "UPPERCASE"), default)]
        struct Chat {
            user_id: u32,
            #[serde(rename = "body")]
            text: String,
            #[serde(rename(serialize = "out", deserialize = "in"))]
            both: u8,
            #[serde(flatten)]
            #[validate(nested)]
            rest: Rest,
            r#where: u8,
        }
    });
    let expected = quote! {
        use __runtime::__private::{ViaNames as _, ViaNothing as _, ViaUnordered as _};
        __runtime::__private::Names::new(
            |field| match field {
                "user_id" => ::core::option::Option::Some("userId"),
                "text" => ::core::option::Option::Some("body"),
                "both" => ::core::option::Option::Some("in"),
                "rest" => ::core::option::Option::Some(""),
                "r#where" => ::core::option::Option::Some("where"),
                _ => ::core::option::Option::None,
            },
            |field| match field {
                "rest" => (&&__runtime::__private::Probe::of(|value: &Chat| &value.rest)).names(),
                _ => ::core::option::Option::None,
            }
        )
    };
    let output = output.to_string();
    assert!(output.contains(&expected.to_string()), "{output}");
    assert!(!output.contains("Message"), "{output}");
}

#[cfg(feature = "validator")]
#[test]
fn a_struct_with_validation_rules_is_validated() {
    let calls = |input| expanded(input).contains("let validated = __runtime");
    assert!(calls("struct Chat { #[validate(email)] from: String }"));
    assert!(calls("#[validate(schema(function = check))] struct Chat { from: String }"));
    assert!(!calls("struct Chat { from: String }"));
}

#[cfg(not(feature = "validator"))]
#[test]
fn validation_without_the_feature_is_rejected() {
    let found = errors("struct Chat { #[validate(email)] from: String }");
    assert_eq!(found, ["`#[validate]` requires the feature `validator` of `aiows`"]);
}

#[test]
fn envelope_keys_are_rejected_under_any_spelling() {
    for input in [
        r#"struct Chat { id: u8 }"#,
        r#"struct Chat { #[serde(rename = "type")] kind: u8 }"#,
        r#"struct Chat { #[serde(rename(serialize = "id"))] user: u8 }"#,
        r#"struct Chat { #[serde(alias = "correlation_id")] user: u8 }"#,
        r#"#[serde(rename_all = "camelCase")] struct Chat { type_: u8 }"#,
        r#"#[serde(tag = "type")] struct Chat { text: String }"#,
        r#"#[serde(from = "Wire")] struct Chat { id: u8 }"#,
    ] {
        let found = errors(input);
        assert_eq!(found.len(), 1, "{input}");
        assert!(found[0].contains("collides with the envelope's"), "{}", found[0]);
    }
}

#[test]
fn names_of_envelope_keys_that_do_not_reach_the_wire_are_accepted() {
    for input in [
        r#"struct Chat { #[serde(rename = "user")] id: u8 }"#,
        r#"struct Chat { #[serde(skip)] id: u8 }"#,
        r#"#[serde(rename_all = "camelCase")] struct Chat { correlation_id: u8 }"#,
        r#"#[serde(transparent)] struct Chat { id: Inner }"#,
        r#"#[serde(try_from = "Wire", into = "Wire")] struct Chat { id: u8 }"#,
        r#"struct Chat(Inner);"#,
    ] {
        assert_eq!(errors(input), [""; 0], "{input}");
    }
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let found = errors(r#"#[aiows(type = "a b", kind = 1)] struct Chat { id: u8, r#type: u8 }"#);
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn a_rejected_message_still_implements_its_trait() {
    for (input, implementation) in [
        ("#[aiows(crate = ws)] struct Chat { id: u8 }", "impl __runtime :: Message for Chat"),
        (
            "#[aiows(crate = ws)] enum Chat { Say }",
            "impl __runtime :: messages :: Outgoing for Chat",
        ),
    ] {
        let output = expanded(input);
        assert!(output.contains(implementation), "{output}");
        assert!(!output.contains("aiows"), "{output}");
    }
}
