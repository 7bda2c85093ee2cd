//! The rate limit of a transport: GCRA, the generic cell rate algorithm (ITU-T I.371).
//!
//! It stores one number, `nextSend`: the time of the next free send. A sender reserves n sends by advancing it by n
//! intervals in one conditional write; the time in between is the sender's.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

use domain::{Sources, TransportId};
use jiff::{SignedDuration, Timestamp};

use super::{LimitsItem, TransportLimits};
use crate::StoreError;
use crate::attributes::{number, text};
use crate::table::{Attempts, Conditional};

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

/// What a caller wants to reserve, in microseconds: milliseconds are too coarse for a thousand sends a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request {
    interval: i64,
    count: u32,
}

/// How to reserve, given the next free slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Behind the slots that are reserved already.
    Append,
    /// From now on: the last reserved slot has passed, and the time in between is lost.
    Restart,
    /// Not now: all slots of the near future are reserved.
    Wait,
}

impl Request {
    /// Up to `wanted` sends, at least one and at most those of one second.
    fn new(per_second: NonZeroU32, wanted: u32) -> Self {
        Self { interval: 1_000_000 / i64::from(per_second.get()), count: wanted.clamp(1, per_second.get()) }
    }

    /// The time that they take.
    fn length(self) -> i64 {
        self.interval * i64::from(self.count)
    }

    /// The reserved slots, the first of them at `first`.
    fn slots(self, first: i64) -> Result<ReservedSlots, jiff::Error> {
        Ok(ReservedSlots {
            next: Timestamp::from_microsecond(first)?,
            interval: SignedDuration::from_micros(self.interval),
            left: self.count,
        })
    }
}

/// How to reserve at `now`. The conditions of the two writes say the same.
fn step(next_send: Option<i64>, now: i64) -> Step {
    match next_send {
        Some(next) if next > latest(now) => Step::Wait,
        Some(next) if next >= now => Step::Append,
        Some(_) | None => Step::Restart,
    }
}

/// The latest slot to reserve.
fn latest(now: i64) -> i64 {
    now + i64::try_from(RESERVE_AHEAD.as_micros()).expect("a second has few microseconds")
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
        let reservation = self.try_reserve(transport, Request::new(per_second, wanted), &mut latency).await;
        self.last_latency.store(latency.longest, Ordering::Relaxed);
        reservation
    }

    async fn try_reserve(
        &self,
        transport: TransportId,
        request: Request,
        latency: &mut Latency<'_>,
    ) -> Result<Reservation, StoreError> {
        let mut now = latency.expected_response();
        let mut next = Step::Append;
        for _ in 0..RESERVE_ATTEMPTS {
            let token = self.table.sources().uuid().to_string();
            let update = self
                .update(transport)
                .expression_attribute_values(":now", number(now))
                .expression_attribute_values(":token", text(&token));
            // The token is part of the condition, so that a call that the client repeats reserves once.
            let update = if next == Step::Append {
                update
                    .update_expression("SET nextSend = nextSend + :length, reservedBy = :token")
                    .condition_expression(
                        "nextSend BETWEEN :now AND :latest AND (attribute_not_exists(reservedBy) OR reservedBy <> :token)",
                    )
                    .expression_attribute_values(":length", number(request.length()))
                    .expression_attribute_values(":latest", number(latest(now)))
            } else {
                update
                    .update_expression("SET nextSend = :next, reservedBy = :token")
                    .condition_expression("attribute_not_exists(nextSend) OR nextSend < :now")
                    .expression_attribute_values(":next", number(now + request.length()))
            };
            let is_own = |item: &LimitsItem, _: &Attempts| item.reserved_by.as_ref() == Some(&token);
            let next_send = match latency.measure(self.table.update_if(update, is_own)).await? {
                Conditional::Done(item) => {
                    let end = item.next_send.ok_or_else(|| self.table.unreadable("nextSend is missing"))?;
                    let slots = request.slots(end - request.length());
                    return Ok(Reservation::Reserved(slots.map_err(|error| self.table.unreadable(error))?));
                }
                Conditional::NotMet(item) => item.and_then(|item| item.next_send),
            };
            now = latency.expected_response();
            next = step(next_send, now);
            if next == Step::Wait {
                return self.full(next_send.unwrap_or(now));
            }
        }
        self.full(latest(now))
    }

    /// Slots are free from `next_send` on. A little earlier they can be reserved.
    fn full(&self, next_send: i64) -> Result<Reservation, StoreError> {
        let next_send = Timestamp::from_microsecond(next_send).map_err(|error| self.table.unreadable(error))?;
        Ok(Reservation::Full { until: next_send - RESERVE_AHEAD })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn per_second(rate: u32) -> NonZeroU32 {
        NonZeroU32::new(rate).unwrap()
    }

    #[test]
    fn request_is_at_most_the_sends_of_one_second() {
        for (rate, wanted, interval, count) in [
            (10, 4, 100_000, 4),
            (10, 10, 100_000, 10),
            (10, 11, 100_000, 10),
            (10, 0, 100_000, 1),
            (1, 50, 1_000_000, 1),
            (1_000, 50, 1_000, 50),
        ] {
            let request = Request::new(per_second(rate), wanted);
            assert_eq!(request, Request { interval, count }, "{wanted} at {rate}/s");
            assert_eq!(request.length(), interval * i64::from(count));
        }
    }

    #[test]
    fn next_free_slot_decides_how_to_reserve() {
        let now = 5_000_000;
        for (next_send, expected) in [
            (None, Step::Restart),
            (Some(now - 1), Step::Restart),
            (Some(now), Step::Append),
            (Some(now + 1_000_000), Step::Append),
            (Some(now + 1_000_001), Step::Wait),
        ] {
            assert_eq!(step(next_send, now), expected, "{next_send:?}");
        }
    }

    #[test]
    fn reserved_sends_are_an_interval_apart_and_lapsed_ones_are_skipped() {
        let now = Timestamp::UNIX_EPOCH;
        let slots = |first: i64| {
            let mut slots = Request::new(per_second(10), 4).slots(first).unwrap();
            let taken = std::iter::from_fn(|| slots.take_next(now));
            taken.map(Timestamp::as_microsecond).collect::<Vec<_>>()
        };
        assert_eq!(slots(0), [0, 100_000, 200_000, 300_000]);
        // A quarter of a second late is not too late.
        assert_eq!(slots(-250_000), [-250_000, -150_000, -50_000, 50_000]);
        assert_eq!(slots(-250_001), [-150_001, -50_001, 49_999]);
        assert_eq!(slots(-1_000_000), Vec::<i64>::new());
    }
}
