//! The rate limit of a transport: GCRA, the generic cell rate algorithm (ITU-T I.371).
//!
//! It stores one number, `nextSend`: the time of the next free send. A sender reserves n sends by advancing it by n
//! intervals in one conditional write; the time in between is the sender's. The pushes take turns (`line`).

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Sources, TransportId};
use jiff::{SignedDuration, Timestamp};

use super::line::{RESERVE_AHEAD, RESERVE_AHEAD_AFTER_OTHERS, RESERVE_AHEAD_IN_TURN, Step};
use super::{LimitsItem, Line, Sender, TransportLimits};
use crate::StoreError;
use crate::attributes::{number, text};
use crate::table::{Attempts, Conditional};

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
    per_second: NonZeroU32,
    sender: Sender,
    interval: i64,
    count: u32,
    /// How many the sender wants in all.
    wanted: u32,
}

impl Request {
    /// Up to `wanted` sends, at least one and at most those of one second.
    fn new(per_second: NonZeroU32, sender: Sender, wanted: u32) -> Self {
        let interval = 1_000_000 / i64::from(per_second.get());
        Self { per_second, sender, interval, count: wanted.clamp(1, per_second.get()), wanted }
    }

    /// Whether it will want more slots than these.
    fn wants_more(self) -> bool {
        self.wanted > self.count
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

/// A write that the client repeats reserves once.
const ONCE: &str = "(attribute_not_exists(reservedBy) OR reservedBy <> :token)";

impl TransportLimits {
    /// Reserves up to `wanted` sends, at most those of one second. Makes up to two calls, unless other senders reserve
    /// at the same moment.
    pub async fn reserve(
        &self,
        transport: TransportId,
        per_second: NonZeroU32,
        sender: Sender,
        wanted: u32,
    ) -> Result<Reservation, StoreError> {
        let mut latency = self.latency();
        let request = Request::new(per_second, sender, wanted);
        let reservation = self.try_reserve(transport, request, &mut latency).await;
        self.last_latency.store(latency.longest, Ordering::Relaxed);
        reservation
    }

    /// If a sender can reserve no slots, as far as the line shows that was read before: when it can. Makes no call.
    pub fn full_until(&self, line: &Line, sender: Sender, per_second: NonZeroU32) -> Option<Timestamp> {
        let response = Timestamp::from_microsecond(self.latency().expected_response()).unwrap_or(Timestamp::MAX);
        line.full_until(sender, per_second, response)
    }

    fn latency(&self) -> Latency<'_> {
        let previous = self.last_latency.load(Ordering::Relaxed);
        Latency { sources: self.table.sources(), previous, longest: 0 }
    }

    async fn try_reserve(
        &self,
        transport: TransportId,
        wanted: Request,
        latency: &mut Latency<'_>,
    ) -> Result<Reservation, StoreError> {
        let mut now = latency.expected_response();
        let mut step = Step::Append;
        for _ in 0..RESERVE_ATTEMPTS {
            let token = self.table.sources().uuid().to_string();
            let present = self.table.sources().precise_now().as_microsecond();
            let update = self
                .update(transport)
                .expression_attribute_values(":now", number(now))
                .expression_attribute_values(":token", text(&token))
                .expression_attribute_values(":sender", text(wanted.sender));
            let (update, request) = match step {
                Step::Append => (append(update, wanted, now, present), wanted),
                Step::Continue(left) => {
                    let request = Request { count: wanted.count.min(left), ..wanted };
                    (continue_turn(update, request, now, present), request)
                }
                Step::Restart => (restart(update, wanted, now, present), wanted),
                Step::Wait(until) => return self.full(until),
            };
            let update = update
                .expression_attribute_values(":count", number(request.count))
                .expression_attribute_values(":more", AttributeValue::Bool(request.wants_more()));
            let is_own = |item: &LimitsItem, _: &Attempts| item.reserved_by.as_ref() == Some(&token);
            let line = match latency.measure(self.table.update_if(update, is_own)).await? {
                Conditional::Done(item) => {
                    let end = item.line.next_send.ok_or_else(|| self.table.unreadable("nextSend is missing"))?;
                    let slots = request.slots(end - request.length());
                    return Ok(Reservation::Reserved(slots.map_err(|error| self.table.unreadable(error))?));
                }
                Conditional::NotMet(item) => item.unwrap_or_default().line,
            };
            now = latency.expected_response();
            step = line.step(wanted.sender, wanted.per_second, now);
        }
        self.full(match step {
            Step::Wait(until) => until,
            Step::Append | Step::Continue(_) | Step::Restart => now,
        })
    }

    /// Slots can be reserved from `until` on, in microseconds since 1970.
    fn full(&self, until: i64) -> Result<Reservation, StoreError> {
        let until = Timestamp::from_microsecond(until).map_err(|error| self.table.unreadable(error))?;
        Ok(Reservation::Full { until })
    }
}

fn append(update: UpdateItemFluentBuilder, request: Request, now: i64, present: i64) -> UpdateItemFluentBuilder {
    update
        .update_expression(
            "SET nextSend = nextSend + :length, usedUntil = if_not_exists(usedUntil, :present) + :length, \
             reservedBy = :token, turnOf = :sender, turnSlots = :count, sendsMore = :more",
        )
        .condition_expression(format!(
            "nextSend BETWEEN :now AND :latestAfterOthers \
             AND (nextSend <= :latest OR attribute_not_exists(turnOf) OR turnOf <> :sender) AND {ONCE}"
        ))
        .expression_attribute_values(":length", number(request.length()))
        .expression_attribute_values(":present", number(present))
        .expression_attribute_values(":latest", number(now + RESERVE_AHEAD))
        .expression_attribute_values(":latestAfterOthers", number(now + RESERVE_AHEAD_AFTER_OTHERS))
}

fn continue_turn(update: UpdateItemFluentBuilder, request: Request, now: i64, present: i64) -> UpdateItemFluentBuilder {
    update
        .update_expression(
            "SET nextSend = nextSend + :length, usedUntil = if_not_exists(usedUntil, :present) + :length, \
             reservedBy = :token, turnSlots = turnSlots + :count, sendsMore = :more",
        )
        .condition_expression(format!(
            "nextSend BETWEEN :now AND :latestInTurn AND turnOf = :sender AND turnSlots <= :most AND {ONCE}"
        ))
        .expression_attribute_values(":length", number(request.length()))
        .expression_attribute_values(":present", number(present))
        .expression_attribute_values(":most", number(request.per_second.get() - request.count))
        .expression_attribute_values(":latestInTurn", number(now + RESERVE_AHEAD_IN_TURN))
}

fn restart(update: UpdateItemFluentBuilder, request: Request, now: i64, present: i64) -> UpdateItemFluentBuilder {
    update
        .update_expression(
            "SET nextSend = :next, usedUntil = :used, reservedBy = :token, turnOf = :sender, turnSlots = :count, \
             sendsMore = :more",
        )
        // A write that the client repeats finds the slots that it has reserved.
        .condition_expression("attribute_not_exists(nextSend) OR nextSend < :now")
        .expression_attribute_values(":next", number(now + request.length()))
        .expression_attribute_values(":used", number(present + request.length()))
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
            let request = Request::new(per_second(rate), Sender::Direct, wanted);
            assert_eq!((request.interval, request.count), (interval, count), "{wanted} at {rate}/s");
            assert_eq!(request.length(), interval * i64::from(count));
        }
    }

    #[test]
    fn reserved_sends_are_an_interval_apart_and_lapsed_ones_are_skipped() {
        let now = Timestamp::UNIX_EPOCH;
        let slots = |first: i64| {
            let mut slots = Request::new(per_second(10), Sender::Direct, 4).slots(first).unwrap();
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
