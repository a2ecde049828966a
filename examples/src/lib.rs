//! The examples are in the folders next to this one. `README.md` lists them.

// The pages in `docs` are documentation tests of this crate, which has all the features they use.
#[cfg(doctest)]
mod docs {
    #[doc = include_str!("../../docs/coming_from_aiows.md")]
    mod coming_from_aiows {}

    #[doc = include_str!("../../docs/coming_from_hawkapi.md")]
    mod coming_from_hawkapi {}

    #[doc = include_str!("../../docs/coming_from_plugin_server.md")]
    mod coming_from_plugin_server {}

    #[doc = include_str!("../../docs/coming_from_uno.md")]
    mod coming_from_uno {}
}
