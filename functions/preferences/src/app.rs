//! What the handlers work with.

use runtime::Keys;
use store::Suppressions;

use crate::page::Pages;

/// What every handler may use.
pub struct App {
    pub suppressions: Suppressions,
    pub keys: Keys,
    pub pages: Pages,
}
