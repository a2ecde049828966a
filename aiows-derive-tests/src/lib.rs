//! Holds the tests of the macros: they need a crate that uses `aiows` as its users do.
