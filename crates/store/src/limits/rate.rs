//! The rate limit of a transport: GCRA, the generic cell rate algorithm (ITU-T I.371).
//!
//! It stores one number, `nextSend`: the time of the next free send. A sender reserves n sends by advancing it by n
//! intervals in one conditional write; the time in between is the sender's.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::{Sources, TransportId};
use jiff::{SignedDuration, Timestamp};

use super::{LimitsItem, TransportLimits};
use crate::StoreError;
use crate::attributes::number;
use crate::table::Conditional;

/// How far ahead slots can be reserved: enough that a sender makes its next reservation before the last one is used up.
const RESERVE_AHEAD: SignedDuration = SignedDuration::from_secs(1);
/// How late a reserved send may go.
const MAX_LATENESS: SignedDuration = SignedDuration::from_millis(250);
/// How much latency of the store a reservation allows for, in microseconds: as long as a client waits for a response. A
/// function that was frozen during a call has measured minutes, and must not keep the other senders waiting for so
/// long.
const MAX_LATENCY: i64 = 3_000_000;
/// Attempts at a reservation, each lost to another sender.
const RESERVE_ATTEMPTS: u32 = 5;

/// The latency of the store's responses. A reservation starts when its sender is likely to receive it: otherwise a slow
/// store would let all of it lapse, again and again.
struct Latency<'s> {
    sources: &'s Sources,
    /// The longest call of the reservation before, in microseconds.
    previous: i64,
    /// The longest call of this reservation so far, in microseconds.
    longest: i64,
}

impl Latency<'_> {
    /// When the response to a call made now arrives, in microseconds since 1970.
    fn expected_response(&self) -> i64 {
        self.sources.precise_now().as_microsecond() + self.previous.max(self.longest).min(MAX_LATENCY)
    }

    async fn measure<T>(&mut self, call: impl Future<Output = T>) -> T {
        let start = self.sources.precise_now();
        let response = call.await;
        let took = self.sources.precise_now().duration_since(start).as_micros();
        self.longest = self.longest.max(i64::try_from(took).unwrap_or(i64::MAX));
        response
    }
}

/// The result of reserving sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// The caller has these slots.
    Reserved(ReservedSlots),
    /// All slots of the near future are reserved.
    Full {
        /// When to try again.
        until: Timestamp,
    },
}

/// Slots that are reserved, evenly spread: each is the time of one send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReservedSlots {
    next: Timestamp,
    interval: SignedDuration,
    left: u32,
}

impl ReservedSlots {
    /// The next slot at `now`. Those that passed more than `MAX_LATENESS` ago are dropped: used late, they would all go at once,
    /// in addition to those that other senders have reserved since.
    pub fn take_next(&mut self, now: Timestamp) -> Option<Timestamp> {
        let lapsed = now - MAX_LATENESS;
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
    /// Reserves up to `wanted` sends, at most those of one second. Makes up to two calls, unless other senders reserve
    /// at the same moment.
    pub async fn reserve(
        &self,
        transport: TransportId,
        per_second: NonZeroU32,
        wanted: u32,
    ) -> Result<Reservation, StoreError> {
        let previous = self.last_latency.load(Ordering::Relaxed);
        let mut latency = Latency { sources: self.table.sources(), previous, longest: 0 };
        let reservation = self.try_reserve(transport, per_second, wanted, &mut latency).await;
        self.last_latency.store(latency.longest, Ordering::Relaxed);
        reservation
    }

    async fn try_reserve(
        &self,
        transport: TransportId,
        per_second: NonZeroU32,
        wanted: u32,
        latency: &mut Latency<'_>,
    ) -> Result<Reservation, StoreError> {
        let interval = 1_000_000 / i64::from(per_second.get());
        let count = wanted.clamp(1, per_second.get());
        let length = interval * i64::from(count);
        let reserved = |first: i64| {
            let next = Timestamp::from_microsecond(first).map_err(|error| self.table.unreadable(error))?;
            Ok(Reservation::Reserved(ReservedSlots {
                next,
                interval: SignedDuration::from_micros(interval),
                left: count,
            }))
        };
        let full = |next_send: i64| {
            let until = Timestamp::from_microsecond(next_send).map_err(|error| self.table.unreadable(error))?;
            Ok(Reservation::Full { until: until - RESERVE_AHEAD })
        };
        let mut latest = 0;
        for _ in 0..RESERVE_ATTEMPTS {
            let response_at = latency.expected_response();
            latest = response_at + i64::try_from(RESERVE_AHEAD.as_micros()).expect("a second has few microseconds");
            // First attempt: append to the slots that are reserved already.
            let append = self
                .update(transport)
                .update_expression("SET nextSend = nextSend + :length")
                .condition_expression("nextSend BETWEEN :now AND :latest")
                .expression_attribute_values(":length", number(length))
                .expression_attribute_values(":now", number(response_at))
                .expression_attribute_values(":latest", number(latest))
                .return_values(ReturnValue::UpdatedNew)
                .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let seen = match latency.measure(self.table.update_if(append)).await? {
                Conditional::Done(item) => {
                    let item: LimitsItem = self.table.read(item.unwrap_or_default())?;
                    return reserved(item.next_send.unwrap_or(response_at + length) - length);
                }
                Conditional::NotMet(item) => self.table.read::<LimitsItem>(item.unwrap_or_default())?.next_send,
            };
            if let Some(next) = seen.filter(|next| *next > latest) {
                return full(next);
            }
            // If the last of them has passed, start again from now: the time in between is lost.
            let response_at = latency.expected_response();
            let restart = self
                .update(transport)
                .update_expression("SET nextSend = :next")
                .condition_expression("attribute_not_exists(nextSend) OR nextSend < :now")
                .expression_attribute_values(":next", number(response_at + length))
                .expression_attribute_values(":now", number(response_at));
            if latency.measure(self.write(restart)).await? {
                return reserved(response_at);
            }
        }
        full(latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_sends_are_an_interval_apart_and_lapsed_ones_are_skipped() {
        let interval = SignedDuration::from_secs(10);
        let now = Timestamp::UNIX_EPOCH;
        let mut slots = ReservedSlots { next: now - interval - interval, interval, left: 4 };
        let taken: Vec<_> = std::iter::from_fn(|| slots.take_next(now)).collect();
        assert_eq!(taken, [now, now + interval]);
    }
}
