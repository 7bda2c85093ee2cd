//! The test program of all stories, which are the end-to-end tests. Each group is a module in `stories`.
//!
//! Run it with `cargo xtask test`, which starts a stack and runs the groups in stages.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

/// `cargo xtask test` finds stories by the name of this module.
mod stories;
