//! The place of a duty in its round over all pushes: what one sweep has no time for, the next one begins with.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use domain::PushId;
use store::Pushes;
use tokio::time::timeout;

use super::duty::Duty;

/// Storing the place takes no longer: a sweep has two seconds for it, and for what it returns, before its deadline.
const STORED_WITHIN: Duration = Duration::from_secs(1);

/// The place of a duty in its round over all pushes. It is stored: otherwise, if there are more pushes than a sweep has time for,
/// a new process would begin with the first ones again, and the last ones would never have a turn.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pushes: &'a Pushes,
    duty: Duty,
    /// The last push that had its turn in this sweep.
    last: Mutex<Option<PushId>>,
}

impl<'a> Place<'a> {
    pub(super) fn new(pushes: &'a Pushes, duty: Duty) -> Self {
        Self { pushes, duty, last: Mutex::default() }
    }

    /// Orders pushes so that the first one is the next in the round. Best effort: a sweep in another order does as much.
    pub(super) async fn order<T>(&self, items: &mut [T], id: impl Fn(&T) -> PushId) {
        if items.len() < 2 {
            return;
        }
        let after = self.pushes.sweep_place(self.duty.attribute()).await.unwrap_or_else(|error| {
            tracing::warn!(duty = %self.duty, error = %error, "the sweep's place is unknown; it begins with the first push");
            None
        });
        items.sort_by_key(|item| (after.is_some_and(|after| id(item) <= after), id(item)));
    }

    /// Notes that a push has its turn.
    pub(super) fn begin(&self, id: PushId) {
        *self.lock() = Some(id);
    }

    /// Stores the place, after a sweep that has left something to the next one. Best effort, as [`Place::order`].
    pub(super) async fn store(&self) {
        let Some(last) = *self.lock() else { return };
        let stored = timeout(STORED_WITHIN, self.pushes.store_sweep_place(self.duty.attribute(), last)).await;
        let failed = match stored {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::warn!(duty = %self.duty, error = failed, "the sweep's place is not stored; the next one begins where this one did");
    }

    fn lock(&self) -> MutexGuard<'_, Option<PushId>> {
        self.last.lock().expect("nothing panics while it holds the lock")
    }
}
