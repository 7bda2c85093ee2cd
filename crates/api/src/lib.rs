//! What the HTTP functions share.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what callers hear of errors, and what the log hears | [`problem`] |
//! | how a body is read, and its limit | [`body`] |
//! | who is calling | [`caller`] |
//! | how lists are paged | [`paging`] |
//! | what ties log lines together | [`trace`] |

pub mod body;
pub mod caller;
pub mod paging;
pub mod problem;
pub mod trace;

pub use body::{Body, OptionalBody};
pub use caller::Caller;
pub use paging::Paging;
pub use problem::Problem;
pub use trace::{Trace, traced};
