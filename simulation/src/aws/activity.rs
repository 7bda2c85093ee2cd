//! Whether anything is going on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many pieces of work are under way. Clones share the number.
#[derive(Debug, Clone, Default)]
pub struct Activity(Arc<AtomicUsize>);

/// A piece of work, until it is dropped.
#[derive(Debug)]
pub struct Busy(Arc<AtomicUsize>);

impl Activity {
    /// A piece of work begins.
    #[must_use = "the work ends when this is dropped"]
    pub fn begin(&self) -> Busy {
        self.0.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(&self.0))
    }

    /// Whether no work is under way.
    pub fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
