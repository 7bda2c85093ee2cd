//! The HTTP API of customers: put, read and delete them, one or many; and of the addresses that must not be written to.

mod app;
mod customers;
mod routes;
mod suppressions;

pub use app::App;
pub use routes::router;
