//! What is kept of an item that a release before keyed hashes stored, and of the one where the migration moves it.

use jiff::Timestamp;
use serde::Deserialize;

use super::{Reason, Suppression};
use crate::attributes::millis_serde;

/// What is stored under a key, old or new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stored {
    pub(super) pk: String,
    pub(super) address_hash: Option<String>,
    pub(super) reason: Option<Reason>,
    #[serde(default, with = "millis_serde::option")]
    pub(super) since: Option<Timestamp>,
    pub(super) by: Option<String>,
    #[serde(default, with = "millis_serde::option")]
    pub(super) lifted_at: Option<Timestamp>,
    /// Of the record of a lift: the hash of the address.
    pub(super) lifted: Option<String>,
}

impl Stored {
    pub(super) fn suppression(&self) -> Option<Suppression> {
        Some(Suppression { reason: self.reason?, since: self.since? })
    }
}

/// Which of two items holds from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// The old one: it is moved.
    Old,
    /// The new one, also if it only says when it was lifted. The old one is deleted.
    New,
}

/// Of two opt-outs, the earlier one is kept, as if both had come in this order.
pub(super) fn opt_out(old: Suppression, new: Option<&Stored>) -> Kept {
    match new.and_then(Stored::suppression) {
        Some(new) if new.since <= old.since => Kept::New,
        _ => Kept::Old,
    }
}

/// Of two reports, the one with the stronger reason is kept, and nothing of the old one that was lifted since.
pub(super) fn report(old: Suppression, new: Option<&Stored>) -> Kept {
    let is_lifted = new.and_then(|new| new.lifted_at).is_some_and(|lifted_at| lifted_at >= old.since);
    let is_stronger = new.and_then(Stored::suppression).is_none_or(|new| new.reason < old.reason);
    if is_stronger && !is_lifted { Kept::Old } else { Kept::New }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn stored(reason: Option<Reason>, since: i64, lifted_at: Option<i64>) -> Stored {
        Stored { reason, since: reason.map(|_| at(since)), lifted_at: lifted_at.map(at), ..Stored::default() }
    }

    #[test]
    fn the_earlier_of_two_opt_outs_is_kept() {
        let old = Suppression { reason: Reason::OptedOut, since: at(5) };
        for (new, expected) in [
            (None, Kept::Old),
            (Some(stored(Some(Reason::OptedOut), 4, None)), Kept::New),
            (Some(stored(Some(Reason::OptedOut), 5, None)), Kept::New),
            (Some(stored(Some(Reason::OptedOut), 6, None)), Kept::Old),
            // Not an opt-out: it suppresses no one.
            (Some(Stored::default()), Kept::Old),
        ] {
            assert_eq!(opt_out(old, new.as_ref()), expected, "{new:?}");
        }
    }

    #[test]
    fn the_stronger_of_two_reports_is_kept_unless_it_was_lifted_since() {
        use Reason::{Bounced, Complained, OptedOut};
        for old in Reason::ALL {
            let kept = |new: Option<Stored>| report(Suppression { reason: old, since: at(5) }, new.as_ref());
            assert_eq!(kept(None), Kept::Old, "{old}");
            for (lifted_at, expected) in [(4, Kept::Old), (5, Kept::New), (6, Kept::New)] {
                assert_eq!(kept(Some(stored(None, 0, Some(lifted_at)))), expected, "{old}, lifted at {lifted_at}");
            }
            for new in Reason::ALL {
                let stronger = match (old, new) {
                    (Bounced | Complained, OptedOut) | (Complained, Bounced) => Kept::Old,
                    _ => Kept::New,
                };
                for since in [4, 5, 6] {
                    assert_eq!(kept(Some(stored(Some(new), since, None))), stronger, "{old} at 5, {new} at {since}");
                    let since_lift = stored(Some(new), since, Some(3));
                    assert_eq!(kept(Some(since_lift)), stronger, "{old} at 5, lifted at 3, {new} at {since}");
                }
                // Reported anew after a lift that came after the old one.
                assert_eq!(kept(Some(stored(Some(new), 7, Some(6)))), Kept::New, "{old}, then lifted, then {new}");
            }
        }
    }
}
