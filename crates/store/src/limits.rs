//! The Pacing table: how fast a transport may be called, and whether at all, for every function at once.
//!
//! The rate is kept by GCRA, the generic cell rate algorithm (ITU-T I.371): one number, the time at which the next send may
//! go. Who wants to send moves it on by as many sends, with one conditional write, and has the time in between for its own.
//!
//! When a transport cannot be reached, one write blocks it for all. When the time is over, one conditional write gives one
//! caller the right to probe; it clears the block, or lengthens it. If that caller dies, its right runs out.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::TransportId;
use domain::clock::now;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::StoreError;
use crate::item::{Item, millis, millis_serde, number, text};

/// The first block, doubled with every probe that fails.
const FIRST_BLOCK: SignedDuration = SignedDuration::from_secs(1);
/// The longest block: how long a provider that is back may stay unused.
const LONGEST_BLOCK: SignedDuration = SignedDuration::from_secs(60);
/// How long a probe may take before somebody else may probe.
const PROBE: SignedDuration = SignedDuration::from_secs(30);

/// Characters of a reason that are kept.
const LONGEST_REASON: usize = 500;
/// How far ahead sends are reserved: enough that the next reservation comes before the last one is used up.
const HORIZON: SignedDuration = SignedDuration::from_secs(1);
/// How late a reserved send may go.
const LATE: SignedDuration = SignedDuration::from_millis(250);
/// How far ahead a slow store is allowed for, in microseconds: as long as a client waits for an answer. A function that was frozen
/// amid a call has seen it take minutes, and must not keep the others waiting for so long.
const LONGEST_AHEAD: i64 = 3_000_000;
/// Tries at a reservation that others get ahead of.
const RESERVE_TRIES: u32 = 5;

/// The Pacing table.
#[derive(Debug, Clone)]
pub struct TransportLimits {
    client: Client,
    table: String,
    /// How long the last reservation's longest call took, in microseconds.
    took: Arc<AtomicI64>,
}

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

/// Whether a transport may be called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// It may.
    Closed,
    /// It was out of reach: this caller alone may try, once.
    HalfOpen(Probe),
    /// It is out of reach.
    Open {
        /// Until then nobody calls.
        until: Timestamp,
    },
}

/// The right to try a transport that was out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    until: Timestamp,
    level: u32,
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LimitsItem {
    /// In microseconds since 1970: at a thousand sends a second, milliseconds would be too coarse.
    #[serde(default)]
    next_send: Option<i64>,
    #[serde(default, with = "millis_serde::option")]
    blocked_until: Option<Timestamp>,
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    last_error: Option<String>,
    #[serde(default, with = "millis_serde::option")]
    refused_at: Option<Timestamp>,
}

/// What a transport makes its senders wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delay {
    /// It is out of reach.
    Outage {
        /// Why the last attempt failed.
        last_error: Option<String>,
    },
    /// Its rate is used in full.
    Rate,
    /// It is there, but did not take some messages when they were last tried.
    Refusals {
        /// When that was.
        at: Timestamp,
        /// Why.
        last_error: Option<String>,
    },
}

impl TransportLimits {
    /// A handle on the table named `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into(), took: Arc::default() }
    }

    /// Asks whether a transport may be called. Up to two calls.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn check_breaker(&self, transport: TransportId) -> Result<BreakerState, StoreError> {
        let Some(item) = self.get(transport).await? else {
            return Ok(BreakerState::Closed);
        };
        let Some(seen) = item.blocked_until else {
            return Ok(BreakerState::Closed);
        };
        let now = now();
        if seen > now {
            return Ok(BreakerState::Open { until: seen });
        }
        let until = now + PROBE;
        let won = self
            .update(transport)
            .update_expression("SET blockedUntil = :until")
            .condition_expression("blockedUntil = :seen")
            .expression_attribute_values(":until", millis(until))
            .expression_attribute_values(":seen", millis(seen));
        if self.write(won).await? {
            Ok(BreakerState::HalfOpen(Probe { until, level: item.failures }))
        } else {
            Ok(BreakerState::Open { until })
        }
    }

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

    /// What a transport makes its senders wait for, if anything. Changes nothing.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn delay(&self, transport: TransportId) -> Result<Option<Delay>, StoreError> {
        let Some(LimitsItem { blocked_until, next_send, last_error, refused_at, .. }) = self.get(transport).await?
        else {
            return Ok(None);
        };
        if blocked_until.is_some() {
            return Ok(Some(Delay::Outage { last_error }));
        }
        if next_send.is_some_and(|next| next > Timestamp::now().as_microsecond()) {
            return Ok(Some(Delay::Rate));
        }
        Ok(refused_at.map(|at| Delay::Refusals { at, last_error }))
    }

    /// Notes that a transport, though within reach, did not take some messages for now.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn record_refusal(&self, transport: TransportId, reason: &str) -> Result<(), StoreError> {
        let call = self
            .update(transport)
            .update_expression("SET refusedAt = :now, lastError = :reason")
            .expression_attribute_values(":now", millis(now()))
            .expression_attribute_values(":reason", text(kept(reason)));
        self.write(call).await.map(|_| ())
    }

    /// Blocks a transport that could not be reached; longer after a probe. Answers until when.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn open_breaker(
        &self,
        transport: TransportId,
        probe: Option<Probe>,
        reason: &str,
    ) -> Result<Timestamp, StoreError> {
        let level = probe.map_or(0, |probe| probe.level + 1);
        let now = now();
        let until = now + (FIRST_BLOCK * 2_i32.saturating_pow(level.min(16))).min(LONGEST_BLOCK);
        let call = self
            .update(transport)
            .update_expression("SET blockedUntil = :until, failures = :failures, lastError = :reason")
            .expression_attribute_values(":until", millis(until))
            .expression_attribute_values(":failures", number(level))
            .expression_attribute_values(":reason", text(kept(reason)));
        let call = match probe {
            Some(probe) => call
                .condition_expression("blockedUntil = :probe")
                .expression_attribute_values(":probe", millis(probe.until)),
            // Of many who fail at the same time, the first one blocks.
            None => call.condition_expression("attribute_not_exists(blockedUntil)"),
        };
        self.write(call).await?;
        Ok(until)
    }

    /// Lets everybody call again, after a probe that reached the transport.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn close_breaker(&self, transport: TransportId, probe: Probe) -> Result<(), StoreError> {
        let call = self
            .update(transport)
            .update_expression("REMOVE blockedUntil, failures")
            .condition_expression("blockedUntil = :probe")
            .expression_attribute_values(":probe", millis(probe.until));
        self.write(call).await.map(|_| ())
    }

    /// Gives back the right to probe, unused: whoever asks next may have it.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn release_probe(&self, transport: TransportId, probe: Probe) -> Result<(), StoreError> {
        let call = self
            .update(transport)
            .update_expression("SET blockedUntil = :now")
            .condition_expression("blockedUntil = :probe")
            .expression_attribute_values(":now", millis(now()))
            .expression_attribute_values(":probe", millis(probe.until));
        self.write(call).await.map(|_| ())
    }

    fn update(&self, transport: TransportId) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.table).key("pk", text(transport))
    }

    /// Whether the condition held.
    async fn write(&self, call: UpdateItemFluentBuilder) -> Result<bool, StoreError> {
        match call.send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => Ok(false),
            Err(error) => Err(StoreError::unavailable("UpdateItem", &self.table, &error)),
        }
    }

    async fn get(&self, transport: TransportId) -> Result<Option<LimitsItem>, StoreError> {
        let call = self.client.get_item().table_name(&self.table).key("pk", text(transport)).consistent_read(true);
        let answer = call.send().await.map_err(|error| StoreError::unavailable("GetItem", &self.table, &error))?;
        answer.item.map(|item| self.read(item)).transpose()
    }

    fn read(&self, item: Item) -> Result<LimitsItem, StoreError> {
        serde_dynamo::from_item(item).map_err(|error| StoreError::unreadable(&self.table, error))
    }
}

/// As much of a reason as is kept.
fn kept(reason: &str) -> String {
    reason.chars().take(LONGEST_REASON).collect()
}
