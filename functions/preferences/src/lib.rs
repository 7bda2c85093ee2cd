//! What a customer decides herself, from a link in her mail: no account, no login. The link's signature is the proof.
//!
//! This function is open to everybody. It can read and write the Suppressions table and nothing else: neither her address
//! nor her name can be had through it.

mod app;
mod links;
mod page;
mod routes;
mod unsubscribe;

pub use app::App;
pub use page::Pages;
pub use routes::router;
