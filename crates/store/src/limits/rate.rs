//! The rate limit of a transport.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::time::Instant;

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::TransportId;
use jiff::{SignedDuration, Timestamp};

use super::TransportLimits;
use crate::StoreError;
use crate::attributes::number;

/// How far ahead sends are reserved: enough that the next reservation comes before the last one is used up.
const HORIZON: SignedDuration = SignedDuration::from_secs(1);
/// How late a reserved send may go.
const LATE: SignedDuration = SignedDuration::from_millis(250);
/// How far ahead a slow store is allowed for, in microseconds: as long as a client waits for an answer. A function that was frozen
/// amid a call has seen it take minutes, and must not keep the others waiting for so long.
const LONGEST_AHEAD: i64 = 3_000_000;
/// Tries at a reservation that others get ahead of.
const RESERVE_TRIES: u32 = 5;

/// How long calls take. What is reserved begins when its owner is likely to hear of it: a slow store would otherwise let all
/// of it lapse, again and again.
struct Took {
    before: i64,
    now: i64,
}

impl Took {
    /// When a call made now is answered, in microseconds since 1970.
    fn answer_at(&self) -> i64 {
        Timestamp::now().as_microsecond() + self.before.max(self.now).min(LONGEST_AHEAD)
    }

    async fn time<T>(&mut self, call: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = call.await;
        self.now = self.now.max(i64::try_from(began.elapsed().as_micros()).unwrap_or(i64::MAX));
        answer
    }
}

/// What came of asking for sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// These are the caller's.
    Reserved(Slot),
    /// Others have reserved all there is for the moment.
    Full {
        /// Worth asking again then.
        until: Timestamp,
    },
}

/// Sends that are reserved, spread evenly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    next: Timestamp,
    interval: SignedDuration,
    left: u32,
}

impl Iterator for Slot {
    type Item = Timestamp;

    /// When the next of the reserved sends may go. Those whose time has passed are lost: made up for, they would go all at
    /// once, beside what others have reserved since.
    fn next(&mut self) -> Option<Timestamp> {
        let lapsed = Timestamp::now() - LATE;
        loop {
            self.left = self.left.checked_sub(1)?;
            let at = self.next;
            self.next += self.interval;
            if at >= lapsed {
                return Some(at);
            }
        }
    }
}

impl TransportLimits {
    /// Reserves up to `wanted` sends, a second's worth at most. Up to two calls if nobody else asks at that moment.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn reserve(
        &self,
        transport: TransportId,
        per_second: NonZeroU32,
        wanted: u32,
    ) -> Result<Reservation, StoreError> {
        let mut took = Took { before: self.took.load(Ordering::Relaxed), now: 0 };
        let reserving = self.try_reserve(transport, per_second, wanted, &mut took).await;
        self.took.store(took.now, Ordering::Relaxed);
        reserving
    }

    async fn try_reserve(
        &self,
        transport: TransportId,
        per_second: NonZeroU32,
        wanted: u32,
        took: &mut Took,
    ) -> Result<Reservation, StoreError> {
        let interval = 1_000_000 / i64::from(per_second.get());
        let count = wanted.clamp(1, per_second.get());
        let worth = interval * i64::from(count);
        let slot = |first: i64| {
            let next =
                Timestamp::from_microsecond(first).map_err(|error| StoreError::unreadable(&self.table, error))?;
            Ok(Reservation::Reserved(Slot { next, interval: SignedDuration::from_micros(interval), left: count }))
        };
        let mut latest = 0;
        for _ in 0..RESERVE_TRIES {
            let now = took.answer_at();
            latest = now + i64::try_from(HORIZON.as_micros()).expect("a second has few microseconds");
            // Behind what is reserved already …
            let behind = self
                .update(transport)
                .update_expression("SET nextSend = nextSend + :worth")
                .condition_expression("nextSend BETWEEN :now AND :latest")
                .expression_attribute_values(":worth", number(worth))
                .expression_attribute_values(":now", number(now))
                .expression_attribute_values(":latest", number(latest))
                .return_values(ReturnValue::UpdatedNew)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let seen = match took.time(behind.send()).await {
                Ok(updated) => {
                    let item = self.read(updated.attributes.unwrap_or_default())?;
                    return slot(item.next_send.unwrap_or(now + worth) - worth);
                }
                Err(SdkError::ServiceError(error)) => match error.into_err() {
                    UpdateItemError::ConditionalCheckFailedException(failed) => {
                        self.read(failed.item.unwrap_or_default())?.next_send
                    }
                    error => return Err(StoreError::unavailable("UpdateItem", &self.table, &error)),
                },
                Err(error) => return Err(StoreError::unavailable("UpdateItem", &self.table, &error)),
            };
            if let Some(next) = seen.filter(|next| *next > latest) {
                latest = next;
                break;
            }
            // … or from now, where the time of the last one has passed: what was not used then is lost.
            let now = took.answer_at();
            let from_now = self
                .update(transport)
                .update_expression("SET nextSend = :next")
                .condition_expression("attribute_not_exists(nextSend) OR nextSend < :now")
                .expression_attribute_values(":next", number(now + worth))
                .expression_attribute_values(":now", number(now));
            if took.time(self.write(from_now)).await? {
                return slot(now);
            }
        }
        let until = Timestamp::from_microsecond(latest).map_err(|error| StoreError::unreadable(&self.table, error))?;
        Ok(Reservation::Full { until: until - HORIZON })
    }
}
