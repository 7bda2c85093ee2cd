//! The dependencies of the handlers.

use domain::Sources;
use runtime::Keys;
use store::Suppressions;

use crate::page::Pages;

/// State shared by all handlers.
pub struct App {
    /// The clock and the random numbers.
    pub sources: Sources,
    pub suppressions: Suppressions,
    pub keys: Keys,
    pub pages: Pages,
}
