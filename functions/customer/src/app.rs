//! What the handlers work with.

use store::{Customers, Suppressions};

/// What every handler may use.
pub struct App {
    pub customers: Customers,
    pub suppressions: Suppressions,
}
