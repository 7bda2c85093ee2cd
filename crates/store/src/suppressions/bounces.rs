//! Bounces that suppress an address only once there are enough of them.
//!
//! What was seen so far is stored in items of their own, `bounces#…` and `unknown#…`. They hold no attribute of a
//! suppression, so neither the lookup nor the index takes them for one, and they expire by themselves.

use aws_sdk_dynamodb::types::AttributeValue;
use data_encoding::HEXLOWER;
use domain::AddressHash;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Reason, Report, Suppressions, report_key};
use crate::StoreError;
use crate::attributes::{Item, millis, millis_serde, number, partition_key, text};
use crate::table::{Conditional, never_own};

/// How long after the first sighting of an unknown address a second one suppresses it. Gmail once answered `550 5.1.1`
/// for valid accounts for hours.
const CONFIRMED_AFTER: SignedDuration = SignedDuration::from_hours(24);
/// How long the first sighting of an unknown address counts.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Attempts at counting a bounce while other invocations count bounces of the same address.
const ATTEMPTS: u32 = 10;

/// How many transient bounces suppress an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BounceRule {
    threshold: u32,
    window: SignedDuration,
}

/// The numbers make no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bounces must be 1 to 100, and the days 1 to 365")]
pub struct InvalidBounceRule;

impl BounceRule {
    /// `threshold` bounces (1 to 100) within `days` days (1 to 365) suppress an address.
    ///
    /// # Errors
    /// If a number is not in its range.
    pub fn new(threshold: u32, days: u32) -> Result<Self, InvalidBounceRule> {
        if !(1..=100).contains(&threshold) || !(1..=365).contains(&days) {
            return Err(InvalidBounceRule);
        }
        Ok(Self { threshold, window: SignedDuration::from_hours(24 * i64::from(days)) })
    }

    /// The bounces that count once `new` has happened, the latest first. `None` if `new` was counted before.
    fn count(&self, known: &[Bounce], new: Bounce) -> Option<Vec<Bounce>> {
        if known.iter().any(|bounce| bounce.event == new.event) {
            return None;
        }
        let mut bounces = known.to_vec();
        bounces.push(new);
        // Queues deliver events in any order.
        bounces.sort_by_key(|bounce| std::cmp::Reverse(bounce.at));
        let latest = bounces[0].at;
        bounces.retain(|bounce| latest.duration_since(bounce.at) <= self.window);
        bounces.truncate(usize::try_from(self.threshold).unwrap_or(usize::MAX));
        Some(bounces)
    }

    fn is_met(&self, bounces: usize) -> bool {
        u32::try_from(bounces).is_ok_and(|bounces| bounces >= self.threshold)
    }
}

/// The result of counting a bounce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BounceResult {
    /// There are enough: the address is suppressed.
    Suppressed,
    /// There are so many bounces that count, and more are needed.
    Counted(usize),
}

/// The result of reporting that a server does not know an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownAddressResult {
    /// The address is suppressed.
    Suppressed,
    /// It is not, and this report or an earlier one is remembered: another one, a day after that, suppresses it.
    Remembered,
}

/// A bounce that counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Bounce {
    /// Identifies the event, so that it counts once.
    event: String,
    #[serde(with = "millis_serde")]
    at: Timestamp,
}

#[derive(Deserialize)]
struct BouncesItem {
    bounces: Vec<Bounce>,
    version: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LiftedItem {
    #[serde(default, with = "millis_serde::option")]
    lifted_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UnknownItem {
    #[serde(with = "millis_serde")]
    first_seen: Timestamp,
}

impl Suppressions {
    /// Counts a transient bounce of an address, and suppresses the address if there are enough of them since the last lift.
    /// `event` identifies the report: delivered again, it does not count again.
    pub async fn count_bounce(
        &self,
        report: &Report<'_>,
        event: &str,
        rule: BounceRule,
    ) -> Result<BounceResult, StoreError> {
        let address = report.address;
        // Of any length, and a provider chooses it.
        let event = HEXLOWER.encode(&Sha256::digest(event)[..16]);
        // A clock that is ahead must not push the other bounces out of the window.
        let at = report.at.min(self.table.now());
        for _ in 0..ATTEMPTS {
            let item = self.table.get(partition_key(bounces_key(address))).await?;
            let item: Option<BouncesItem> = item.map(|item| self.table.read(item)).transpose()?;
            let (mut known, version) = item.map_or_else(Default::default, |item| (item.bounces, item.version));
            let lifted_at = self.lifted_at(address).await?;
            known.retain(|bounce| lifted_at.is_none_or(|lifted_at| lifted_at < bounce.at));
            if lifted_at.is_some_and(|lifted_at| at <= lifted_at) {
                return Ok(BounceResult::Counted(known.len()));
            }
            let bounces = match rule.count(&known, Bounce { event: event.clone(), at }) {
                // Also this call's own write whose response was lost.
                None => known,
                Some(bounces) if self.store_bounces(address, &bounces, version, rule).await? => bounces,
                Some(_) => continue,
            };
            if !rule.is_met(bounces.len()) {
                return Ok(BounceResult::Counted(bounces.len()));
            }
            self.suppress(&Report { at, ..*report }, Reason::Bounced).await?;
            return Ok(BounceResult::Suppressed);
        }
        Err(StoreError::Unavailable {
            operation: "PutItem",
            table: self.table.name().to_owned(),
            reason: "too many bounces of one address are counted at the same time".to_owned(),
        })
    }

    /// Whether the bounces are stored: not if the item has changed since it had this version.
    async fn store_bounces(
        &self,
        address: &AddressHash,
        bounces: &[Bounce],
        version: u32,
        rule: BounceRule,
    ) -> Result<bool, StoreError> {
        let latest = bounces.first().map_or_else(|| self.table.now(), |bounce| bounce.at);
        let list = bounces.iter().map(|bounce| {
            let item = [("event".to_owned(), text(&bounce.event)), ("at".to_owned(), millis(bounce.at))];
            AttributeValue::M(Item::from(item))
        });
        let put = self
            .table
            .put(partition_key(bounces_key(address)))
            .item("bounces", AttributeValue::L(list.collect()))
            .item("version", number(version + 1))
            .item("expiresAt", number((latest + rule.window).as_second()))
            .condition_expression("attribute_not_exists(pk) OR version = :version")
            .expression_attribute_values(":version", number(version));
        // After its own repeated write, the caller reads that the event is counted.
        Ok(self.table.put_if(put, never_own::<BouncesItem>).await?.is_done())
    }

    /// Reports that a server does not know an address. It is suppressed at once if the server accepts others at the same
    /// time, so that the reply is about the address and not about us; otherwise once the reply is repeated a day or more
    /// (up to 30 days) after the first.
    pub async fn unknown_address(
        &self,
        report: &Report<'_>,
        others_are_accepted: bool,
    ) -> Result<UnknownAddressResult, StoreError> {
        if others_are_accepted || self.is_confirmed(report.address, report.at).await? {
            self.suppress(report, Reason::Bounced).await?;
            return Ok(UnknownAddressResult::Suppressed);
        }
        Ok(UnknownAddressResult::Remembered)
    }

    /// Whether the address was unknown a day ago as well. Otherwise this sighting is stored, unless there is an earlier
    /// one.
    async fn is_confirmed(&self, address: &AddressHash, at: Timestamp) -> Result<bool, StoreError> {
        let put = self
            .table
            .put(partition_key(unknown_key(address)))
            .item("firstSeen", millis(at))
            .item("expiresAt", number((at + FORGOTTEN_AFTER).as_second()))
            .condition_expression("attribute_not_exists(pk) OR firstSeen < :forgotten")
            .expression_attribute_values(":forgotten", millis(at - FORGOTTEN_AFTER));
        // Its own repeated write finds the time that it would have stored.
        Ok(match self.table.put_if(put, never_own::<UnknownItem>).await? {
            Conditional::Done(()) => false,
            Conditional::NotMet(item) => at.duration_since(item.first_seen) >= CONFIRMED_AFTER,
        })
    }

    /// When the suppressions of an address were last lifted.
    async fn lifted_at(&self, address: &AddressHash) -> Result<Option<Timestamp>, StoreError> {
        let item = self.table.get(partition_key(report_key(address))).await?;
        let item: Option<LiftedItem> = item.map(|item| self.table.read(item)).transpose()?;
        Ok(item.and_then(|item| item.lifted_at))
    }

    /// Forgets what was counted of an address.
    pub(super) async fn forget_bounces(&self, address: impl ToString) -> Result<(), StoreError> {
        let address = address.to_string();
        self.table.delete(partition_key(bounces_key(&address))).await?;
        self.table.delete(partition_key(unknown_key(&address))).await
    }
}

fn bounces_key(address: impl ToString) -> String {
    format!("bounces#{}", address.to_string())
}

fn unknown_key(address: impl ToString) -> String {
    format!("unknown#{}", address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * day)
    }

    /// The days of the bounces that count, after bounces on these days in this order.
    fn counted(rule: BounceRule, days: &[i64]) -> Vec<i64> {
        let mut bounces = Vec::new();
        for (number, on) in days.iter().enumerate() {
            bounces = rule.count(&bounces, Bounce { event: number.to_string(), at: day(*on) }).unwrap();
        }
        bounces.iter().map(|bounce| bounce.at.as_second() / 86_400).collect()
    }

    #[test]
    fn only_recent_bounces_count_in_any_order() {
        let rule = BounceRule::new(3, 14).unwrap();
        for (days, expected, is_met) in [
            (&[1][..], &[1][..], false),
            (&[1, 15], &[15, 1], false),
            (&[1, 16], &[16], false),
            (&[1, 2, 15], &[15, 2, 1], true),
            (&[1, 2, 16], &[16, 2], false),
            // An event that is late by weeks does not count with those that are not near it.
            (&[30, 29, 1], &[30, 29], false),
            (&[15, 1, 2], &[15, 2, 1], true),
            (&[1, 2, 3, 4], &[4, 3, 2], true),
        ] {
            assert_eq!(counted(rule, days), expected, "{days:?}");
            assert_eq!(rule.is_met(expected.len()), is_met, "{days:?}");
        }
        assert!(BounceRule::new(1, 1).unwrap().is_met(1));
    }

    #[test]
    fn an_event_counts_once() {
        let rule = BounceRule::new(3, 14).unwrap();
        let bounce = |event: &str, on| Bounce { event: event.to_owned(), at: day(on) };
        assert_eq!(rule.count(&[bounce("a", 1)], bounce("a", 2)), None);
        assert_eq!(rule.count(&[bounce("a", 1)], bounce("b", 1)).map(|bounces| bounces.len()), Some(2));
    }

    #[test]
    fn a_rule_without_bounces_or_days_is_refused() {
        for (threshold, days) in [(0, 14), (101, 14), (3, 0), (3, 366)] {
            assert_eq!(BounceRule::new(threshold, days), Err(InvalidBounceRule), "{threshold} in {days}");
        }
    }
}
