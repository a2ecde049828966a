//! The examples lie in folders beside this one; see `README.md`.
