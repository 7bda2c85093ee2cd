//! Shared by the HTTP functions: errors, bodies, the caller, paging, tracing.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | which errors callers get, and what is logged | [`problem`] |
//! | how a request body is read, and its size limit | [`body`] |
//! | which numbers and names in JSON are refused | `json` |
//! | the path behind a custom domain, and serving | [`base_path`] |
//! | how the caller is identified | [`caller`] |
//! | how lists are paged | [`paging`] |
//! | how a variable of the path is decoded | [`path`] |
//! | trace ids, and the log line of each request | [`trace`] |

pub mod base_path;
pub mod body;
pub mod caller;
mod json;
pub mod paging;
pub mod path;
pub mod problem;
pub mod trace;

pub use base_path::serve;
pub use body::{Body, ListBody, OptionalBody};
pub use caller::Caller;
pub use paging::Paging;
pub use path::PathVariables;
pub use problem::Problem;
pub use trace::{Trace, traced};
