//! The dependencies of the handlers.

use runtime::Keys;
use store::Suppressions;

use crate::page::Pages;

/// State shared by all handlers.
pub struct App {
    pub suppressions: Suppressions,
    pub keys: Keys,
    pub pages: Pages,
}
