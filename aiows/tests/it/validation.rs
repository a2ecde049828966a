//! Validation errors: their paths with the field names of the wire, their codes and parameters.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use aiows::messages::BoundedVec;
use aiows::{HandlerError, Message, Router, Server, WireNames, message, routes};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use validator::{Validate, ValidationError, ValidationErrors, ValidationErrorsKind};

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, WireNames, Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[validate(length(min = 1))]
    item_name: String,
}

/// An item that does not derive `WireNames`, so its names on the wire are unknown.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Validate)]
struct Plain {
    #[validate(length(min = 1))]
    item_name: String,
}

#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
struct Kind(u8);

#[derive(Default, Message, Deserialize, Validate)]
#[serde(rename_all = "camelCase", default)]
struct Board {
    #[validate(nested)]
    the_grid: Vec<Vec<Item>>,
    #[validate(nested)]
    the_cube: Vec<VecDeque<BoundedVec<Item, 400>>>,
    #[validate(nested)]
    the_rows: Option<Vec<[Plain; 2]>>,
    #[validate(nested)]
    by_name: HashMap<String, Item>,
    #[validate(nested)]
    by_number: BTreeMap<i32, Item>,
    #[validate(nested)]
    by_choice: Option<HashMap<String, Item>>,
    #[validate(nested)]
    by_shared: BTreeMap<Box<str>, Plain>,
    #[validate(nested)]
    by_kind: BTreeMap<Kind, Item>,
    #[validate(nested)]
    by_plain: HashMap<Kind, Plain>,
    #[validate(nested)]
    lists: HashMap<String, Vec<Item>>,
    #[validate(nested)]
    the_set: HashSet<Item>,
    #[validate(nested)]
    the_sets: Vec<BTreeSet<Item>>,
    #[validate(nested)]
    the_plain_set: BTreeSet<Plain>,
    #[validate(nested)]
    sub_board: Option<Box<Sub>>,
    #[validate(nested)]
    sub_boards: Vec<Sub>,
}

/// A part of a board, which may be nested in itself.
#[derive(Default, WireNames, Deserialize, Validate)]
#[serde(rename_all = "camelCase", default)]
struct Sub {
    #[validate(nested)]
    by_name: HashMap<String, Item>,
    #[validate(nested)]
    lists: HashMap<String, Vec<Item>>,
    #[validate(nested)]
    sub_board: Option<Box<Self>>,
}

/// Returns the paths of the validation errors of a board.
fn paths(fields: Value) -> Vec<String> {
    let board: Board = serde_json::from_value(fields).unwrap();
    let error = Message::validate(&board).unwrap_err();
    error.fields().iter().map(|field| field.path.clone()).collect()
}

fn item(name: &str) -> Value {
    json!({ "itemName": name })
}

fn plain(name: &str) -> Value {
    json!({ "item_name": name })
}

#[test]
fn the_path_of_a_validation_error_passes_through_nested_lists_and_maps() {
    let (ok, bad) = (item("x"), item(""));
    for (fields, path) in [
        (json!({ "theGrid": [[&ok], [&ok, &bad]] }), "theGrid[1][1].itemName"),
        (json!({ "theCube": [[], [[], [&ok, &ok, &bad]]] }), "theCube[1][1][2].itemName"),
        (json!({ "theRows": [[plain("x"), plain("")]] }), "theRows[0][1].item_name"),
        (json!({ "byName": { "ann": &ok, "bob": &bad, "eve": &ok } }), "byName.bob.itemName"),
        (json!({ "byName": { "": &bad } }), "byName.itemName"),
        (json!({ "byName": { "ann": &ok }, "byNumber": { "1": &bad } }), "byNumber.1.itemName"),
        (json!({ "byNumber": { "1": &ok, "-7": &bad } }), "byNumber.-7.itemName"),
        (json!({ "byChoice": { "ann": &ok, "bob": &bad } }), "byChoice.bob.itemName"),
        (json!({ "byShared": { "a": plain("x"), "b": plain("") } }), "byShared.b.item_name"),
        (json!({ "byKind": { "1": &ok, "2": &bad } }), "byKind.itemName"),
        (json!({ "byPlain": { "1": plain("x"), "2": plain("") } }), "byPlain.item_name"),
        (json!({ "lists": { "ann": [&ok, &bad] } }), "lists.ann[1].itemName"),
        (json!({ "theSet": [&ok, &bad] }), "theSet.itemName"),
        (json!({ "theSets": [[&ok], [&ok, &bad]] }), "theSets[1].itemName"),
        (json!({ "thePlainSet": [plain("x"), plain("")] }), "thePlainSet.item_name"),
        (
            json!({ "subBoard": { "subBoard": { "byName": { "ann": &bad } } } }),
            "subBoard.subBoard.byName.ann.itemName",
        ),
        (
            json!({ "subBoards": [{ "byName": { "ann": &ok } }, { "byName": { "bob": &bad } }] }),
            "subBoards[1].byName.bob.itemName",
        ),
    ] {
        assert_eq!(paths(fields.clone()), [path], "{fields}");
    }
}

#[test]
fn the_path_of_a_validation_error_in_a_large_message_is_complete() {
    let many = |last: Value| {
        let mut items = vec![item("x"); 300];
        items.push(last);
        items
    };
    let named = |value: &Value| {
        let pairs = (0..100).map(|n| (format!("n{n}"), vec![value.clone(); 3]));
        serde_json::Map::from_iter(pairs.map(|(name, values)| (name, values.into())))
    };
    assert_eq!(paths(json!({ "theGrid": [[], many(item(""))] })), ["theGrid[1][300].itemName"]);
    let mut lists = named(&item("x"));
    lists.insert("bad".into(), vec![item(""); 40].into());
    let found = paths(json!({ "lists": &lists }));
    assert_eq!(found.len(), 32);
    for path in found {
        assert!(path.starts_with("lists.bad[") && path.ends_with("].itemName"), "{path}");
    }
    let sub = json!({ "subBoard": { "lists": { "a": many(item("")) } } });
    assert_eq!(paths(sub), ["subBoard.lists.a[300].itemName"]);
}

#[test]
fn a_path_with_a_very_long_key_is_truncated() {
    let key = "é".repeat(1000);
    let [path] = &paths(json!({ "byName": { key: item("") } }))[..] else { panic!("one path") };
    assert!(path.starts_with("byName.éé") && path.len() <= 128, "{path}");
}

#[test]
fn the_path_of_a_validation_error_passes_through_flattened_fields() {
    #[derive(Message, Deserialize, Validate)]
    struct Flat {
        #[serde(flatten)]
        #[validate(nested)]
        item: Item,
        #[validate(nested)]
        deep: Deep,
    }
    #[derive(Deserialize, Validate, WireNames)]
    struct Deep {
        #[serde(flatten)]
        #[validate(nested)]
        by_name: HashMap<String, Item>,
    }
    let fields = json!({ "itemName": "", "deep": { "ann": item("x"), "bob": item("") } });
    assert_eq!(paths_of::<Flat>(fields), ["deep.bob.itemName", "itemName"]);
}

#[test]
fn a_failed_rule_has_a_text_for_people_unless_the_rule_has_one() {
    let other = "is not valid";
    for (code, text) in [
        ("contains", "lacks a required part"),
        ("credit_card", "is not a credit card number"),
        ("does_not_contain", "has a forbidden part"),
        ("email", "is not an e-mail address"),
        ("ip", "is not an IP address"),
        ("ipv4", "is not an IP address"),
        ("ipv6", "is not an IP address"),
        ("length", "has a length out of bounds"),
        ("must_match", "does not match the field it must match"),
        ("non_control_character", "has control characters"),
        ("range", "is out of bounds"),
        ("regex", "does not have the required form"),
        ("required", "is required"),
        ("url", "is not a URL"),
        // The application's own codes, even if a failed decode has the same ones.
        ("own", other),
        ("duplicate", other),
        ("invalid_value", other),
        ("missing", other),
        ("too_many", other),
        ("unknown", other),
        ("wrong_type", other),
    ] {
        let mut errors = ValidationErrors::new();
        errors.add("name", ValidationError::new(code));
        errors.add("named", ValidationError::new(code).with_message(Cow::Borrowed("is odd")));
        let error = HandlerError::from_validation(&errors);
        let fields: Vec<_> = error
            .fields()
            .iter()
            .map(|field| (&*field.path, &*field.code, &*field.message))
            .collect();
        assert_eq!(fields, [("name", code, text), ("named", code, "is odd")]);
    }
}

/// Returns the errors of a list in which the second item has these errors.
fn list_of(errors: ValidationErrors) -> ValidationErrors {
    let items = BTreeMap::from([(1, Box::new(errors))]);
    let mut list = ValidationErrors::new();
    list.errors_mut().insert("_tmp_validator".into(), ValidationErrorsKind::List(items));
    list
}

#[test]
fn a_validation_error_lists_the_first_fields_by_path_and_code_and_counts_all_others() {
    let mut errors = ValidationErrors::new();
    for (field, code) in [("b", "x"), ("a", "y"), ("c", "x"), ("a", "x")] {
        errors.add(field, ValidationError::new(code));
    }
    let mut message = ValidationErrors::new();
    message.merge_self("z", Err(errors.clone()));
    message.merge_self("l", Err(list_of(errors.clone())));
    let error = HandlerError::from_validation(&message);
    let fields: Vec<_> =
        error.fields().iter().map(|field| format!("{} {}", field.path, field.code)).collect();
    let listed = ["l[1].a x", "l[1].a y", "l[1].b x", "l[1].c x"];
    let nested = ["z.a x", "z.a y", "z.b x", "z.c x"];
    assert_eq!(fields, [listed, nested].concat());
    let mut message = ValidationErrors::new();
    for n in (0..40).rev() {
        let name: &'static str = format!("f{n:02}").leak();
        message.add(name, ValidationError::new("x"));
    }
    let mut last = ValidationErrors::new();
    for nested in [errors.clone(), list_of(errors.clone()), list_of(list_of(errors))] {
        let name: &'static str = format!("z{}", last.errors().len()).leak();
        last.merge_self(name, Err(nested));
    }
    message.merge_self("z", Err(last));
    let error = HandlerError::from_validation(&message);
    let fields: Vec<_> = error.fields().iter().map(|field| field.path.clone()).collect();
    assert_eq!(fields, (0..32).map(|n| format!("f{n:02}")).collect::<Vec<_>>());
    assert_eq!(error.more_fields(), 8 + 4 + 4 + 4);
}

fn far(_: &str) -> Result<(), ValidationError> {
    let mut error = ValidationError::new("far");
    for (name, value) in [("other", 1), ("min", 2), ("field", 3), ("value", 4)] {
        error.add_param(Cow::Borrowed(name), &value);
    }
    Err(error)
}

fn whole(_: &Signup) -> Result<(), ValidationError> {
    let mut error = ValidationError::new("whole");
    error.add_param(Cow::Borrowed("other"), &5);
    error.add_param(Cow::Borrowed("value"), &6);
    Err(error)
}

#[derive(Message, Deserialize, Serialize, Validate)]
#[validate(schema(function = whole, skip_on_field_errors = false))]
struct Signup {
    #[validate(must_match(other = "again"))]
    password: String,
    #[validate(must_match(other = "password", code = "typo"), custom(function = far))]
    again: String,
    #[validate(custom(function = far))]
    place: String,
}

#[test]
fn validation_errors_keep_the_application_s_parameters_and_omit_field_values() {
    let signup = Signup { password: "s3cret".into(), again: "h1dden".into(), place: "here".into() };
    let error = Message::validate(&signup).unwrap_err();
    let fields: Vec<_> = error
        .fields()
        .iter()
        .map(|field| (&*field.path, &*field.code, serde_json::to_value(&field.params).unwrap()))
        .collect();
    let custom = json!({ "other": 1, "min": 2, "field": 3 });
    assert_eq!(
        fields,
        [
            ("", "whole", json!({ "other": 5, "value": 6 })),
            ("again", "far", custom.clone()),
            ("again", "typo", json!({})),
            ("password", "must_match", json!({})),
            ("place", "far", custom),
        ]
    );
    // If the rules are unknown, parameters that may contain another field's value are left out.
    let error = HandlerError::from_validation(&Validate::validate(&signup).unwrap_err());
    let text = serde_json::to_string(error.fields()).unwrap();
    assert!(
        !text.contains("s3cret") && !text.contains("h1dden") && !text.contains("here"),
        "{text}"
    );
}

/// Returns the paths of the validation errors of a message that is read from these fields.
fn paths_of<M: Message + serde::de::DeserializeOwned>(fields: Value) -> Vec<String> {
    let message: M = serde_json::from_value(fields).unwrap();
    match message.validate() {
        Ok(()) => Vec::new(),
        Err(error) => error.fields().iter().map(|field| field.path.clone()).collect(),
    }
}

#[test]
fn a_message_that_wraps_a_validated_type_is_validated_by_that_type_s_rules() {
    #[derive(Message, Deserialize)]
    struct Named(Item);
    #[derive(Message, Deserialize)]
    struct Unnamed(Plain);
    #[derive(Message, Deserialize)]
    struct Boxed(Box<Item>);
    #[derive(Message, Deserialize)]
    struct BoxedPlain(Box<Plain>);
    #[derive(Message, Deserialize)]
    struct Perhaps(Option<Item>);
    #[derive(Message, Deserialize)]
    struct Twice(Named);
    #[derive(Message, Deserialize)]
    #[serde(transparent)]
    struct Transparent {
        item: Item,
    }
    #[derive(Message, Deserialize)]
    struct All(HashMap<String, Item>);
    #[derive(Message, Deserialize)]
    struct Subs(HashMap<String, Sub>);
    #[derive(Message, Deserialize)]
    struct Free(Value);
    #[derive(Deserialize, Validate)]
    struct Page<T: Validate> {
        #[validate(nested)]
        items: Vec<T>,
    }
    #[derive(Message, Deserialize)]
    struct Generic(Page<Item>);

    let (ok, bad) = (item("x"), item(""));
    assert_eq!(paths_of::<Named>(bad.clone()), ["itemName"]);
    assert_eq!(paths_of::<Unnamed>(plain("")), ["item_name"]);
    assert_eq!(paths_of::<Boxed>(bad.clone()), ["itemName"]);
    assert_eq!(paths_of::<BoxedPlain>(plain("")), ["item_name"]);
    assert_eq!(paths_of::<Perhaps>(bad.clone()), ["itemName"]);
    assert_eq!(paths_of::<Twice>(bad.clone()), ["itemName"]);
    assert_eq!(paths_of::<Transparent>(bad.clone()), ["itemName"]);
    assert_eq!(paths_of::<Generic>(json!({ "items": [ok, bad] })), ["items[1].item_name"]);
    assert_eq!(paths_of::<All>(json!({ "a": ok, "b": bad })), ["b.itemName"]);
    let subs = json!({ "a": { "byName": { "b": &ok, "c": &bad } } });
    assert_eq!(paths_of::<Subs>(subs), ["a.byName.c.itemName"]);
    let many = (0..1_000).map(|n| (n.to_string(), Item { item_name: String::new() })).collect();
    let error = Message::validate(&All(many)).unwrap_err();
    assert_eq!((error.fields().len(), error.more_fields()), (32, 1));
    assert_eq!(paths_of::<Free>(bad), [""; 0]);
    for accepted in [
        paths_of::<Named>(ok.clone()),
        paths_of::<Unnamed>(plain("x")),
        paths_of::<Boxed>(ok.clone()),
        paths_of::<BoxedPlain>(plain("x")),
        paths_of::<Perhaps>(ok.clone()),
        paths_of::<Perhaps>(Value::Null),
        paths_of::<Twice>(ok.clone()),
        paths_of::<Transparent>(ok.clone()),
        paths_of::<Generic>(json!({ "items": [ok] })),
        paths_of::<All>(json!({ "a": ok })),
    ] {
        assert_eq!(accepted, [""; 0]);
    }
}

#[test]
fn rules_that_a_message_implements_by_hand_are_checked() {
    #[derive(Message, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Span {
        from_page: u8,
        to_page: u8,
    }
    impl Validate for Span {
        fn validate(&self) -> Result<(), ValidationErrors> {
            let mut errors = ValidationErrors::new();
            if self.from_page > self.to_page {
                errors.add("to_page", ValidationError::new("range"));
            }
            Err(errors).or_else(|errors| if errors.is_empty() { Ok(()) } else { Err(errors) })
        }
    }
    assert_eq!(paths_of::<Span>(json!({ "fromPage": 2, "toPage": 1 })), ["toPage"]);
    assert_eq!(paths_of::<Span>(json!({ "fromPage": 1, "toPage": 1 })), [""; 0]);
}

#[test]
fn a_nested_type_whose_rules_are_never_checked_is_a_mistake() {
    #[derive(Message, Deserialize)]
    #[expect(dead_code, reason = "only its type is used")]
    struct Loose {
        item: Item,
        #[serde(flatten)]
        flat: Plain,
        list: Vec<Item>,
        plain: Option<Vec<Plain>>,
        boxed: Option<Box<Item>>,
        map: HashMap<String, Plain>,
        #[validate(length(max = 3))]
        r#ref: BTreeMap<String, Vec<Item>>,
        #[validate(nested)]
        nested: Item,
        #[validate(skip)]
        skipped: Item,
        #[serde(skip)]
        unsent: Option<Item>,
        #[validate(custom(function = "any"))]
        custom: Vec<Item>,
        free: Vec<Value>,
        text: String,
    }
    impl Validate for Loose {
        fn validate(&self) -> Result<(), ValidationErrors> {
            Ok(())
        }
    }
    #[derive(Message, Deserialize, Validate)]
    #[validate(nest_all_fields)]
    struct Strict {
        item: Item,
        list: Vec<Item>,
    }
    #[message("loose")]
    async fn loose(_: Loose) {}
    #[message("strict")]
    async fn strict(_: Strict) {}

    let router = |routes| Server::new().include_router(Router::new().routes(routes));
    assert!(router(routes![strict]).build().is_ok());
    let error = router(routes![loose]).build().unwrap_err();
    let fields: Vec<_> = error
        .mistakes()
        .iter()
        .map(|text| {
            assert!(text.contains("add `#[validate(nested)]`, or `#[validate(skip)]`"), "{text}");
            text.split('`').nth(5).unwrap()
        })
        .collect();
    assert_eq!(fields, ["item", "flat", "list", "plain", "boxed", "map", "ref"]);
}
