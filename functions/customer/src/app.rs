//! The dependencies of the handlers.

use domain::Sources;
use runtime::HashKeys;
use store::{Customers, Suppressions};

/// State shared by all handlers.
pub struct App {
    /// The clock and the random numbers.
    pub sources: Sources,
    pub customers: Customers,
    pub suppressions: Suppressions,
    /// The key of the hashes in the tables.
    pub hash_keys: HashKeys,
}
