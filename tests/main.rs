//! The end-to-end tests. Run them with `cargo xtask test`, which starts a stack for them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

/// `cargo xtask test` finds stories by the name of this module.
mod stories;
