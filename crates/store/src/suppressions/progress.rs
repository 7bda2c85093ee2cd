//! How far the migration of hashes is, and when it waits.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::attributes::{Item, millis, millis_serde, number, partition_key, text};

/// The item that says how far the migration is.
pub(super) const STATE: &str = "migration#state";
/// How long the migration moves nothing at first.
const WAIT: SignedDuration = SignedDuration::from_hours(1);
/// After such a pause without a step, the migration waits again: the release before may have been back. The schedule makes
/// one every five minutes.
const PAUSE: SignedDuration = SignedDuration::from_mins(15);

/// How far the migration is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    #[serde(with = "millis_serde")]
    began_at: Timestamp,
    /// When the last step was.
    #[serde(with = "millis_serde")]
    ran_at: Timestamp,
    /// The last key that this pass has read. `None` at the start of a pass.
    pub(super) cursor: Option<String>,
    /// Old items that this pass has found.
    found: u64,
    /// Changes with each write.
    pub(super) version: u64,
}

impl State {
    /// At the start of a migration.
    pub(super) const fn new(now: Timestamp, version: u64) -> Self {
        Self { began_at: now, ran_at: now, cursor: None, found: 0, version }
    }

    /// In a step that moves nothing. `None` if it may.
    pub(super) fn waiting(&self, now: Timestamp) -> Option<Self> {
        if now.duration_since(self.ran_at) > PAUSE {
            return Some(Self::new(now, self.version + 1));
        }
        let waiting = || Self { ran_at: now, version: self.version + 1, ..self.clone() };
        (now < self.began_at + WAIT).then(waiting)
    }

    /// After a page. `None` if that was the last one of a pass that found nothing old.
    pub(super) fn after(&self, found: u64, cursor: Option<String>, now: Timestamp) -> Option<Self> {
        let found = self.found + found;
        let is_end = cursor.is_none();
        let found_next = if is_end { 0 } else { found };
        (!is_end || found > 0).then(|| Self {
            ran_at: now,
            cursor,
            found: found_next,
            version: self.version + 1,
            ..self.clone()
        })
    }

    /// Once it is finished.
    pub(super) fn ended(&self) -> Self {
        Self { cursor: None, version: self.version + 1, ..self.clone() }
    }

    /// When it moves something at the earliest.
    pub(super) fn starts_at(&self) -> Timestamp {
        self.began_at + WAIT
    }

    /// Its item.
    pub(super) fn item(&self) -> Item {
        let Self { began_at, ran_at, cursor, found, version } = self;
        let mut item = partition_key(STATE);
        item.insert("beganAt".to_owned(), millis(*began_at));
        item.insert("ranAt".to_owned(), millis(*ran_at));
        item.insert("found".to_owned(), number(found));
        item.insert("version".to_owned(), number(version));
        item.extend(cursor.as_ref().map(|cursor| ("cursor".to_owned(), text(cursor))));
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute)
    }

    #[test]
    fn it_waits_for_an_hour_and_again_after_a_pause() {
        let state = |began, ran, version| State { began_at: at(began), ran_at: at(ran), ..State::new(at(0), version) };
        for (before, now, expected) in [
            (state(0, 0, 7), 0, Some(state(0, 0, 8))),
            (state(0, 50, 7), 59, Some(state(0, 59, 8))),
            (state(0, 59, 7), 60, None),
            (state(0, 100, 7), 115, None),
            // Whatever it had begun to move: the release before may have been back.
            (State { cursor: Some("a".to_owned()), found: 3, ..state(0, 100, 7) }, 116, Some(state(116, 116, 8))),
            (state(0, 0, 7), 60, Some(state(60, 60, 8))),
        ] {
            assert_eq!(before.waiting(at(now)), expected, "{before:?} at {now}");
        }
    }

    #[test]
    fn only_a_whole_pass_that_found_nothing_ends_it() {
        let state = |cursor: Option<&str>, found, version| State {
            began_at: at(0),
            ran_at: at(99),
            cursor: cursor.map(str::to_owned),
            found,
            version,
        };
        for (found_so_far, found, next, expected) in [
            (0, 0, Some("b"), Some(state(Some("b"), 0, 8))),
            (0, 2, Some("b"), Some(state(Some("b"), 2, 8))),
            (2, 0, Some("b"), Some(state(Some("b"), 2, 8))),
            (2, 3, Some("b"), Some(state(Some("b"), 5, 8))),
            (2, 0, None, Some(state(None, 0, 8))),
            (0, 2, None, Some(state(None, 0, 8))),
            (0, 0, None, None),
        ] {
            let after = state(Some("a"), found_so_far, 7).after(found, next.map(str::to_owned), at(99));
            assert_eq!(after, expected, "{found_so_far}, then {found}, then {next:?}");
        }
    }
}
