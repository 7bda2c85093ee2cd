//! The dependencies of the handlers.

use store::{Customers, Suppressions};

/// State shared by all handlers.
pub struct App {
    pub customers: Customers,
    pub suppressions: Suppressions,
}
