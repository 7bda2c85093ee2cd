//! What a batch, a slice or a push counts of its notifications: their outcomes, and why some were not sent.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::OutcomeCounts;
use crate::notification::{Outcome, ReasonCode};

/// Outcomes, and the reasons of those that were not sent. In messages and tables, each counter has its own name.
///
/// The reasons can be fewer than the outcomes: a function of a release before this one counts none. Where they are more, they
/// are [not true](Tally::checked).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Notifications by outcome.
    #[serde(flatten)]
    pub outcomes: OutcomeCounts,
    /// Those that were not sent, by reason.
    #[serde(flatten)]
    pub reasons: ReasonCounts,
}

impl Tally {
    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts one notification whose outcome this push recorded.
    pub fn count(&mut self, outcome: Outcome, reason: Option<ReasonCode>) {
        self.outcomes.count(outcome);
        if let Some(reason) = reason {
            self.reasons.count(reason);
        }
    }

    /// The same without reasons if there are more of them than notifications that were not sent: where a function of a release
    /// before this one has begun a slice anew, which resets the outcomes alone, or in a message that is not ours.
    #[must_use]
    pub fn checked(self) -> Self {
        let fits = Outcome::ALL.into_iter().all(|outcome| {
            let with_reason = self.reasons.all().filter(|(reason, _)| reason.outcome() == outcome);
            let with_reason = with_reason.map(|(_, count)| count).fold(0, u64::saturating_add);
            with_reason <= self.outcomes.of(outcome)
        });
        if fits { self } else { self.outcomes.into() }
    }

    /// The counters by their names in messages and tables: every outcome, and the reasons that were met.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.outcomes.named().into_iter().chain(self.reasons.named())
    }
}

impl From<OutcomeCounts> for Tally {
    fn from(outcomes: OutcomeCounts) -> Self {
        Self { outcomes, reasons: ReasonCounts::default() }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.outcomes += other.outcomes;
        for (sum, count) in self.reasons.0.iter_mut().zip(other.reasons.0) {
            *sum = sum.saturating_add(count);
        }
    }
}

/// How many notifications were not sent for each reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReasonCounts([u64; ReasonCode::ALL.len()]);

impl ReasonCounts {
    fn count(&mut self, reason: ReasonCode) {
        self.0[reason as usize] += 1;
    }

    fn all(&self) -> impl Iterator<Item = (ReasonCode, u64)> {
        ReasonCode::ALL.into_iter().zip(self.0)
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.all().filter(|(_, count)| *count > 0).map(|(reason, count)| (counter(reason), count))
    }

    /// The name of every counter in messages and tables.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ReasonCode::ALL.into_iter().map(counter)
    }

    /// The most frequent reason of this outcome.
    pub fn most_frequent(&self, outcome: Outcome) -> Option<CountedReason> {
        let of_outcome = self.all().filter(|(reason, count)| reason.outcome() == outcome && *count > 0);
        of_outcome.max_by_key(|(_, count)| *count).map(|(reason, count)| CountedReason::new(reason, count))
    }

    /// The most frequent reasons, at most so many, the most frequent first.
    pub fn top(&self, at_most: usize) -> Vec<CountedReason> {
        let mut counted: Vec<_> = self.all().filter(|(_, count)| *count > 0).collect();
        counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counted.truncate(at_most);
        counted.into_iter().map(|(reason, count)| CountedReason::new(reason, count)).collect()
    }
}

/// How many notifications were not sent for one reason, as callers read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CountedReason {
    /// Their outcome.
    pub outcome: Outcome,
    /// The reason, for programs.
    pub reason_code: ReasonCode,
    /// The same in words.
    pub reason: &'static str,
    /// How many they are.
    pub count: u64,
}

impl CountedReason {
    /// So many notifications that were not sent for this reason.
    pub const fn new(reason: ReasonCode, count: u64) -> Self {
        Self { outcome: reason.outcome(), reason_code: reason, reason: reason.in_words(), count }
    }
}

impl Serialize for ReasonCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.named())
    }
}

/// From all fields that there are, since the counters are flattened among others.
impl<'de> Deserialize<'de> for ReasonCounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Field {
            Count(u64),
            Other(IgnoredAny),
        }
        let fields = BTreeMap::<String, Field>::deserialize(deserializer)?;
        let count = |reason: ReasonCode| match fields.get(counter(reason)) {
            Some(Field::Count(count)) => *count,
            Some(Field::Other(_)) | None => 0,
        };
        Ok(Self(ReasonCode::ALL.map(count)))
    }
}

/// The name of a reason's counter. Outcomes have counters of their own, and `optedOut` is both an outcome and a reason.
const fn counter(reason: ReasonCode) -> &'static str {
    match reason {
        ReasonCode::PushCancelled => "reasonPushCancelled",
        ReasonCode::OfferExpired => "reasonOfferExpired",
        ReasonCode::CustomerUnreadable => "reasonCustomerUnreadable",
        ReasonCode::CustomerDeleted => "reasonCustomerDeleted",
        ReasonCode::NotReachable => "reasonNotReachable",
        ReasonCode::OptedOut => "reasonOptedOut",
        ReasonCode::AddressBounced => "reasonAddressBounced",
        ReasonCode::AddressComplained => "reasonAddressComplained",
        ReasonCode::NotComposable => "reasonNotComposable",
        ReasonCode::AddressUnknown => "reasonAddressUnknown",
        ReasonCode::RecipientRefused => "reasonRecipientRefused",
        ReasonCode::MessageRefused => "reasonMessageRefused",
        ReasonCode::Refused => "reasonRefused",
        ReasonCode::RefusedForNow => "reasonRefusedForNow",
        ReasonCode::NoResponse => "reasonNoResponse",
        ReasonCode::ProviderUnavailable => "reasonProviderUnavailable",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tally(counts: &[(ReasonCode, u64)]) -> Tally {
        let mut tally = Tally::default();
        for (reason, count) in counts {
            (0..*count).for_each(|_| tally.count(reason.outcome(), Some(*reason)));
        }
        tally
    }

    #[test]
    fn counters_of_both_kinds_have_names_of_their_own() {
        let mut tally = tally(&[(ReasonCode::AddressUnknown, 2), (ReasonCode::OptedOut, 1)]);
        tally.count(Outcome::Sent, None);
        let stored = json!({
            "sent": 1, "failed": 2, "suppressed": 0, "optedOut": 1, "expired": 0, "cancelled": 0, "alreadyServed": 0,
            "reasonAddressUnknown": 2, "reasonOptedOut": 1,
        });
        assert_eq!(json!(tally), stored);
        assert_eq!(stored, tally.named().map(|(name, count)| (name, json!(count))).collect::<serde_json::Value>());
        assert_eq!(serde_json::from_value::<Tally>(stored).unwrap(), tally);
    }

    /// A release before this one counts no reasons, and a later one may know more of them.
    #[test]
    fn tallies_of_other_releases_are_read() {
        let read = |json| serde_json::from_value::<Tally>(json).unwrap();
        let failed = OutcomeCounts { failed: 3, ..OutcomeCounts::default() };
        assert_eq!(read(json!({"failed": 3})), Tally::from(failed));
        assert_eq!(read(json!({"failed": 3, "reasonOfLater": 3, "x": {"y": [1]}})), Tally::from(failed));
        assert_eq!(read(json!({"reasonRefused": "many"})), Tally::default());
        let old: OutcomeCounts = serde_json::from_value(json!(tally(&[(ReasonCode::Refused, 3)]))).unwrap();
        assert_eq!(old, failed);
    }

    #[test]
    fn reasons_of_more_notifications_than_there_are_do_not_count() {
        let unknown = tally(&[(ReasonCode::AddressUnknown, 2), (ReasonCode::Refused, 1)]);
        assert_eq!(unknown.checked(), unknown);
        for outcomes in [
            OutcomeCounts { failed: 2, ..OutcomeCounts::default() },
            OutcomeCounts { sent: 9, suppressed: 9, ..OutcomeCounts::default() },
        ] {
            assert_eq!(Tally { outcomes, ..unknown }.checked(), Tally::from(outcomes));
        }
        let absurd = json!({"failed": 1, "reasonRefused": u64::MAX, "reasonNoResponse": u64::MAX});
        let mut absurd: Tally = serde_json::from_value(absurd).unwrap();
        absurd += absurd;
        assert_eq!(absurd.checked().reasons, ReasonCounts::default());
    }

    #[test]
    fn each_reason_has_its_counter() {
        for reason in ReasonCode::ALL {
            let tally = tally(&[(reason, 1)]);
            assert_eq!(tally.reasons.top(9), [CountedReason::new(reason, 1)]);
            let name = reason.as_str();
            let (first, rest) = name.split_at(1);
            assert_eq!(counter(reason), format!("reason{}{rest}", first.to_uppercase()));
            assert_eq!(tally.outcomes.total(), 1);
            assert_eq!(serde_json::from_value::<Tally>(json!(tally)).unwrap(), tally);
        }
    }

    #[test]
    fn most_frequent_reasons_come_first() {
        let mut sum = tally(&[(ReasonCode::Refused, 2), (ReasonCode::AddressUnknown, 3), (ReasonCode::OptedOut, 1)]);
        sum += tally(&[(ReasonCode::OptedOut, 4), (ReasonCode::OfferExpired, 2)]);
        let expected = [(ReasonCode::OptedOut, 5), (ReasonCode::AddressUnknown, 3), (ReasonCode::OfferExpired, 2)];
        assert_eq!(sum.reasons.most_frequent(Outcome::Failed), Some(CountedReason::new(ReasonCode::AddressUnknown, 3)));
        assert_eq!(sum.reasons.most_frequent(Outcome::Suppressed), None);
        assert_eq!(sum.reasons.top(3), expected.map(|(reason, count)| CountedReason::new(reason, count)));
    }
}
