//! The HTTP API of customers (put, read and delete them, one or many) and of suppressed addresses.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | paths and their handlers | `routes` |
//! | what the handlers depend on | `app` |
//! | how customers are stored, read and deleted | `customers` |
//! | how suppressions are read, and lifted one by one or many at a time | `suppressions` |

mod app;
mod customers;
mod routes;
mod suppressions;

pub use app::App;
pub use routes::router;
