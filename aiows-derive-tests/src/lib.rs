//! The tests of the macros, in a crate of their own that uses `aiows` as an application does.
