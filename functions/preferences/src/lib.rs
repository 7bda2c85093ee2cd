//! The unsubscribe page, reached from the link in each e-mail. There is no account and no login: the token in the
//! link authorises the change.
//!
//! This function is public. It has access to the Suppressions table and the keys of links only, so it can reveal neither
//! an address nor a name.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | paths and their handlers | `routes` |
//! | what the handlers depend on | `app` |
//! | what GET and POST do | `unsubscribe` |
//! | how a link is verified | `links` |
//! | the layout and headers of the pages | `page`, `templates/` |
//! | their texts | `crates/language/catalogues/` |
//! | which language a reader gets | `reader` |

mod app;
mod links;
mod page;
mod reader;
mod routes;
mod unsubscribe;

pub use app::App;
pub use page::Pages;
pub use routes::router;
