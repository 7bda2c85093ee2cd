//! The dependencies of the handlers.

use domain::Sources;
use runtime::{HashKeys, Keys};
use store::Suppressions;

use crate::page::Pages;

/// State shared by all handlers.
pub struct App {
    /// The clock and the random numbers.
    pub sources: Sources,
    pub suppressions: Suppressions,
    /// The keys of links.
    pub keys: Keys,
    /// The key of the hashes in the tables.
    pub hash_keys: HashKeys,
    pub pages: Pages,
}
