//! Two modules cannot accidentally share a connection's value by using the same foreign type.

mod notes {
    use aiows::{Context, Local, WebSocket, message};

    #[message("notes.add")]
    pub async fn add(mut notes: Local<Vec<String>>) {
        notes.push("note".into());
    }

    #[message("notes.count")]
    pub async fn count(_notes: Local<Vec<String>>) {}

    #[message("notes.owner")]
    pub async fn owner(_owner: Context<String>) {}

    #[derive(Default)]
    pub struct Draft;

    #[message("notes.draft")]
    pub async fn draft(_draft: Local<Draft>, _drafts: Local<Vec<Draft>>, _ws: WebSocket) {}
}

mod permissions {
    use aiows::{Context, Local, message};

    use super::notes::Draft;

    #[message("may")]
    pub async fn may(granted: Local<Vec<String>>) -> serde_json::Value {
        serde_json::json!({ "may": *granted })
    }

    #[message("may.again")]
    pub async fn again(_granted: Local<Vec<String>>) {}

    #[message("who")]
    pub async fn who(_name: Option<Context<String>>) {}

    #[message("may.draft")]
    pub async fn draft(_draft: Local<Draft>, _drafts: Local<Vec<Draft>>) {}
}

use std::panic::{AssertUnwindSafe, catch_unwind};

use aiows::extract::Call;
use aiows::routing::Route;
use aiows::testing::{TestCall, socket};
use aiows::{Context, Local, Router, Server, routes};

fn mistakes(router: Router) -> Vec<String> {
    match Server::from(router).build() {
        Ok(_) => Vec::new(),
        Err(error) => error.mistakes().to_vec(),
    }
}

fn assert_named(mistake: &str, shared: &str, handlers: [&str; 2]) {
    assert!(mistake.contains(shared), "{mistake}");
    for handler in handlers {
        assert!(mistake.contains(&format!("::{handler}` (")), "{mistake}");
    }
}

#[test]
fn two_modules_that_use_one_local_of_a_foreign_type_are_a_mistake() {
    let routes = || routes![notes::add, notes::count, permissions::may, permissions::again];
    let text = "in different modules and share one `Local<alloc::vec::Vec<alloc::string::String>>`";
    let both = ["notes::add", "permissions::may"];
    // The mistake is reported once for each pair of modules, even if one router is nested in the
    // other.
    let nested = Router::new().routes(routes![notes::add, notes::count]);
    let nested = nested.nest("p.", Router::new().routes(routes![permissions::may]));
    for router in [Router::new().routes(routes()), nested] {
        let mistakes = mistakes(router);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert_named(&mistakes[0], text, both);
    }
    // Connections of two paths never share values.
    let server = Server::new()
        .route("/notes", Router::new().routes(routes![notes::add]))
        .route("/may", Router::new().routes(routes![permissions::may]));
    assert!(server.build().is_ok());
}

#[test]
fn two_modules_that_use_one_context_of_a_foreign_type_are_a_mistake() {
    let mistakes = mistakes(Router::new().routes(routes![notes::owner, permissions::who]));
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    let text = "share one `Context<alloc::string::String>`";
    assert_named(&mistakes[0], text, ["notes::owner", "permissions::who"]);
}

#[test]
fn a_local_and_a_context_of_one_type_are_separate_and_modules_may_share_a_type_of_the_crate() {
    let router = Router::new().routes(routes![notes::owner, notes::draft, permissions::draft]);
    assert_eq!(mistakes(router), [""; 0]);
    let router = Router::new()
        .route(Route::message("name", async |_: Call| ()).needing::<Local<String>>())
        .routes(routes![notes::owner]);
    assert_eq!(mistakes(router), [""; 0]);
}

#[test]
fn a_route_built_by_hand_belongs_to_its_file() {
    let by_hand = || Route::message("by_hand", async |_: Call| ()).needing::<Context<String>>();
    let other = Route::message("other", async |_: Call| ()).needing::<Option<Context<String>>>();
    assert_eq!(mistakes(Router::new().route(by_hand()).route(other)), [""; 0]);
    // A module in the same file may be the one that the route belongs to.
    assert_eq!(mistakes(Router::new().route(by_hand()).routes(routes![notes::owner])), [""; 0]);
    let elsewhere = routes![super::sharing_elsewhere::owner];
    let mistakes = mistakes(Router::new().route(by_hand()).routes(elsewhere));
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].contains("`message closure` (aiows/tests/it/sharing.rs:"), "{mistakes:?}");
}

/// Inserts a value into the context from another file.
fn keep_elsewhere(ws: &aiows::WebSocket) -> Option<Vec<String>> {
    super::sharing_elsewhere::keep(ws)
}

#[test]
fn a_second_file_cannot_replace_a_foreign_type_in_the_context_of_the_first() {
    let (ws, _sent) = socket();
    let mine = vec!["mine".to_owned()];
    ws.context().insert(mine.clone());
    let refused = catch_unwind(AssertUnwindSafe(|| keep_elsewhere(&ws))).unwrap_err();
    let text = refused.downcast_ref::<String>().unwrap();
    assert!(text.contains("two modules keep a `alloc::vec::Vec<alloc::string::String>`"), "{text}");
    assert!(text.contains("it/sharing.rs:") && text.contains("it/sharing_elsewhere.rs:"), "{text}");
    let update = || super::sharing_elsewhere::update(&ws);
    assert!(catch_unwind(AssertUnwindSafe(update)).is_err());
    assert_eq!(ws.context().get(), Some(mine));
    // The owner can still change its value, and another file can keep values of its own types.
    ws.context().update(|mine: &mut Vec<String>| mine.push("more".into()));
    assert_eq!(ws.context().get::<Vec<String>>().unwrap().len(), 2);
    super::sharing_elsewhere::keep_own(&ws);
    // A file that does not insert a value may read it.
    assert_eq!(super::sharing_elsewhere::read(&ws).unwrap().len(), 2);
}

#[tokio::test]
async fn the_first_file_that_inserts_a_value_owns_it() {
    let (ws, _sent) = socket();
    let call = TestCall::connect(&ws).call();
    assert!(call.extract::<Option<Context<String>>>().await.unwrap().is_none());
    assert!(keep_elsewhere(&ws).is_none());
    assert!(catch_unwind(AssertUnwindSafe(|| ws.context().insert(vec![String::new()]))).is_err());
    assert_eq!(super::sharing_elsewhere::read(&ws).unwrap().len(), 1);
}
