//! The steps of delivering a batch.
//!
//! 1. While a transport is out of reach, nobody calls it: the second one serves, and where there is none the batch is put
//!    off.
//! 2. What is served already has no more turn. What must not be sent is concluded with its reason: push cancelled, offer
//!    over, customer or consent gone, unsubscribed, address suppressed, text that cannot be written to her.
//! 3. A send is reserved from the transport's rate, which all functions share. What was read more than five seconds ago is
//!    read and looked at again.
//! 4. A delivery is claimed before anything is sent, so that nobody else sends it.
//! 5. It is sent, several at a time, each with one attempt.
//! 6. Its outcome is recorded at once, under the claim.
//! 7. When every notification of the batch is final the batch is reported, once, with counts taken from the records.
//!    Otherwise it is put off: the caller sends it anew, to come again at a time of our choosing.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::clock::now;
use domain::notification::Outcome;
use domain::push::{OutcomeCounts, PushState};
use domain::queue::Batch;
use domain::{AddressHash, CustomerId, PushId, TransportId};
use futures::{FutureExt, StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use runtime::metrics::{self, Unit};
use runtime::telemetry;
use store::customers::CustomerLookup;
use store::deliveries::{Claim, ClaimResult, DeliveryId, FinalOutcome, RecordResult, Release, ResendPolicy, Route};
use store::limits::{BreakerState, Probe, Reservation, Slot};
use store::pushes::{Report, ReportResult};
use store::suppressions::Reason;
use store::{Customers, Deliveries, Pushes, StoreError, Suppressions, TransportLimits};
use tokio::sync::Mutex;

use crate::backoff::{after_attempt, until};
use crate::transport::{Accepted, Compose, SendError, Transport};

/// Sends of one batch at a time.
const CONCURRENCY: usize = 10;
/// A lease outlives the invocation that holds it by this much, so that clocks may differ a little.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(5);
/// Nothing is begun this close to the deadline: what is begun must be recorded. The longest that one notification may
/// take: claiming 8 s, asking for the connection 5 s, a fresh one 5 s, four commands 20 s, the message 60 s, recording 8 s.
const LAST_START: SignedDuration = SignedDuration::from_secs(106);
/// With less time than this, recording is not tried again: the longest that a try takes (the store client's operation
/// time-out of 8 s, and a wait before it), and then the batch must be put off.
const RECORDING: SignedDuration = SignedDuration::from_secs(20);
/// What was read longer ago than this is read again before sending. Waits for a turn are no longer either.
const FRESH: SignedDuration = SignedDuration::from_secs(5);
/// Handed over this often without an answer, a notification is not tried again.
const UNANSWERED_LIMIT: u32 = 2;
/// This many messages in a row without an answer are no accident: the provider is out of reach, and nobody else is tried.
const SILENT: u32 = 3;
/// How often a batch of a cancelled push waits for its page to be turned: for well over half an hour, in which its slice
/// came again as often as it may.
const WALKER_GONE: u32 = 16;

/// Delivers batches of one channel.
#[derive(Debug)]
pub struct Deliverer<C, T> {
    /// Where customers are read.
    pub customers: Customers,
    /// Where it stands who must not be written to.
    pub suppressions: Suppressions,
    /// Where claims and outcomes stand.
    pub deliveries: Deliveries,
    /// Where batches report.
    pub pushes: Pushes,
    /// Where a transport that is out of reach is blocked.
    pub limits: TransportLimits,
    /// Writes the messages.
    pub composer: C,
    /// Carries them.
    pub first: Paced<T>,
    /// Carries them while the first is out of reach.
    pub fallback: Option<Paced<T>>,
}

/// A transport, and how fast it may be called.
#[derive(Debug)]
pub struct Paced<T> {
    /// What carries messages.
    pub transport: T,
    /// Sends a second, of all functions together.
    pub rate: NonZeroU32,
}

/// Why one message on its own was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendOneError {
    /// Every transport was out of reach a moment ago.
    #[error("every provider is out of reach until {until}; nothing was sent")]
    Blocked {
        /// Until then nobody calls.
        until: Timestamp,
    },
    /// Others use the transport's rate.
    #[error("the rate is used in full; nothing was sent, try again in a few seconds")]
    Busy,
    /// The transport's answer.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The store is out of reach, or holds something unreadable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivered {
    /// Every notification is final, and that is reported.
    Whole(OutcomeCounts),
    /// The same, but it was reported before, or is of a walk that no longer counts.
    Before,
    /// Some are not: the batch must come again.
    PutOff(Box<PutOff>),
}

impl Delivered {
    fn put_off(again: Batch, delay: Duration, why: Why) -> Self {
        Self::PutOff(Box::new(PutOff { again, delay, why }))
    }

    /// Of which nothing could be done.
    fn put_off_whole(batch: &Batch, why: Why) -> Self {
        let again = Batch { attempt: batch.attempt.saturating_add(1), ..batch.clone() };
        Self::put_off(again, after_attempt(batch.attempt), why)
    }
}

/// When and why a batch must come again.
#[derive(Debug, Clone, PartialEq)]
pub struct PutOff {
    /// As it must come again: with what is left of it, and the counts of what is final.
    pub again: Batch,
    /// Not before this has passed.
    pub delay: Duration,
    /// What it waits for.
    pub why: Why,
}

/// What a batch that is put off waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The transport is out of reach.
    Blocked,
    /// The provider did not take some for now, or did not answer.
    Refused,
    /// Somebody else holds some.
    Leased,
    /// This invocation's time is over.
    Deadline,
    /// The transport's rate is used in full by others.
    Rate,
    /// The store is out of reach, or too busy.
    Store,
    /// Messages cannot be written: a secret is out of reach, or wrong.
    Composer,
    /// The walker has queued the batch, but not turned the page yet: it cannot be counted.
    PageNotTurned,
}

impl Why {
    /// The name used in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Refused => "refused",
            Self::Leased => "leased",
            Self::Deadline => "deadline",
            Self::Rate => "rate",
            Self::Store => "store",
            Self::Composer => "composer",
            Self::PageNotTurned => "pageNotTurned",
        }
    }
}

/// Where one notification stands after its turn.
#[derive(Debug, Clone, Copy)]
enum Standing {
    Final(Tally),
    Open(Open),
}

/// Why a notification is not final yet.
#[derive(Debug, Clone, Copy)]
enum Open {
    /// The provider did not take it for now, or did not answer.
    Refused,
    /// Somebody else holds it until then.
    Leased(Timestamp),
    /// It had no turn: the transport is out of reach.
    Blocked,
    /// It had no turn: others use the transport's rate, until then at least.
    Rate(Timestamp),
    /// It had no turn: the deadline is near.
    NoTime,
    /// The store did not do as asked; the claim, if there is one, ends with its lease.
    StoreBusy,
}

/// What a final record counts as.
#[derive(Debug, Clone, Copy)]
enum Tally {
    Outcome(Outcome),
    AlreadyServed,
}

/// What a round has of the transport's rate.
#[derive(Default)]
struct Share {
    /// Sends that are reserved.
    slot: Option<Slot>,
    /// Set when others use all of it: then the rest of the batch is put off.
    full_until: Option<Timestamp>,
}

/// The transport that may be called now.
struct Passed<'d, T> {
    paced: &'d Paced<T>,
    /// Its name, in the Pacing table and at deliveries.
    name: TransportId,
    /// The name of the other one, if there is one.
    other: Option<TransportId>,
    /// Set if it was out of reach, and this is the one attempt to find out whether it still is.
    probe: Option<Probe>,
    /// Set when somebody has told the gate how it is.
    told: AtomicBool,
}

/// Who a batch is for, as a read found them.
struct Recipients {
    found: CustomerLookup,
    suppressed: HashMap<CustomerId, Reason>,
}

/// What all notifications of a batch have in common.
struct Round<'b, T> {
    batch: &'b Batch,
    gate: &'b Passed<'b, T>,
    /// What needs no turn any more.
    served: HashMap<CustomerId, ClaimResult>,
    deadline: Timestamp,
    push_is_cancelled: bool,
    /// When the push and the customers were read.
    read_at: Timestamp,
    /// What this round has of the transport's rate.
    share: Mutex<Share>,
    /// How many notifications may still want one.
    waiting: AtomicU32,
    /// Set when the transport turns out to be out of reach: then no more are begun.
    blocked: AtomicBool,
    /// How many messages in a row were not answered.
    silent: AtomicU32,
    /// The provider's words when it last did not take one for now.
    refusal: Mutex<Option<String>>,
    /// How long the provider took for each answer, in milliseconds.
    latencies: Mutex<Vec<u64>>,
    /// How long notifications waited for their turn, in milliseconds, all together.
    waited_ms: AtomicU64,
}

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Brings every notification of a batch as far as it will go before `deadline`.
    ///
    /// # Errors
    /// If the store holds something unreadable. What was sent until then is recorded; delivering the batch again is safe.
    pub async fn deliver(&self, batch: &Batch, deadline: Timestamp) -> Result<Delivered, StoreError> {
        match self.try_deliver(batch, deadline).await {
            // No fault of the batch: the queue must not count it as one.
            Err(error @ StoreError::Unavailable { .. }) => {
                tracing::warn!(error = %error, "the store is out of reach");
                Ok(Delivered::put_off_whole(batch, Why::Store))
            }
            other => other,
        }
    }

    async fn try_deliver(&self, batch: &Batch, deadline: Timestamp) -> Result<Delivered, StoreError> {
        if let Err(error) = self.composer.prepare().await {
            tracing::error!(error, "messages cannot be written");
            return Ok(Delivered::put_off_whole(batch, Why::Composer));
        }
        let read_at = now();
        let push_is_cancelled = self.is_cancelled(batch.push).await?;
        let gate = if push_is_cancelled || batch.offer.is_over(now()) {
            // Nothing will be sent, so it does not matter whether anything could be.
            self.passed(&self.first, None)
        } else {
            match self.gate().await? {
                Ok(passed) => passed,
                Err(blocked) => {
                    measure_breaker(self.first.transport.id(), true);
                    return Ok(Delivered::put_off(batch.clone(), until(blocked), Why::Blocked));
                }
            }
        };
        let delivered = self.deliver_through(&gate, batch, push_is_cancelled, read_at, deadline).await;
        // Whatever happened: the right to probe is nobody's until it is given back.
        self.pass_on(&gate).await;
        delivered
    }

    async fn deliver_through(
        &self,
        gate: &Passed<'_, T>,
        batch: &Batch,
        push_is_cancelled: bool,
        read_at: Timestamp,
        deadline: Timestamp,
    ) -> Result<Delivered, StoreError> {
        let ids: Vec<_> = batch.customers.iter().map(|customer| delivery_id(batch, customer)).collect();
        let served = self.deliveries.find_final(batch.push, &ids).await?;
        let recipients = self.recipients(batch, &batch.customers).await?;
        let round = Round {
            batch,
            gate,
            served,
            deadline,
            push_is_cancelled,
            read_at,
            share: Mutex::default(),
            waiting: AtomicU32::new(u32::try_from(batch.customers.len()).unwrap_or(u32::MAX)),
            blocked: AtomicBool::new(false),
            silent: AtomicU32::new(0),
            refusal: Mutex::default(),
            latencies: Mutex::default(),
            waited_ms: AtomicU64::new(0),
        };
        // A probe is one attempt at a time, until one of them tells.
        let concurrency = if round.gate.probe.is_some() { 1 } else { CONCURRENCY };
        let standings: Vec<_> = stream::iter(&batch.customers)
            .map(|id| {
                // Nothing of a turn that panics is used again.
                let turn = AssertUnwindSafe(self.notify(&round, id, &recipients)).catch_unwind();
                async move { (id, turn.await) }
            })
            .buffer_unordered(concurrency)
            .collect()
            .await;
        round.measure().await;
        let mut counts = batch.tally;
        let mut left = Vec::new();
        let mut out_of_reach = None;
        for (id, standing) in standings {
            // Every notification had its turn before an error or a panic among them is told.
            match standing.unwrap_or_else(|panic| resume_unwind(panic)) {
                Ok(Standing::Final(Tally::Outcome(outcome))) => counts.count(outcome),
                Ok(Standing::Final(Tally::AlreadyServed)) => counts.already_served += 1,
                Ok(Standing::Open(open)) => left.push((id.clone(), open)),
                // Too busy for one notification is no reason to forget what became of the others.
                Err(error @ StoreError::Unavailable { .. }) => {
                    left.push((id.clone(), Open::StoreBusy));
                    out_of_reach = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = out_of_reach {
            tracing::warn!(error = %error, "the store is out of reach");
        }
        if !left.is_empty() {
            let attempt = if left.len() < batch.customers.len() { 0 } else { batch.attempt };
            let (delay, why) = put_off(attempt, &left);
            if let Some(refusal) = round.refusal.into_inner() {
                self.limits.record_refusal(gate.name, &refusal).await?;
            }
            let customers = left.into_iter().map(|(id, _)| id).collect();
            // Waiting for the provider's rate, or for time, is no sign that the next attempt should wait longer.
            let attempt = attempt.saturating_add(u32::from(matches!(why, Why::Refused | Why::Leased | Why::Store)));
            let again = Batch { customers, tally: counts, attempt, ..batch.clone() };
            return Ok(Delivered::put_off(again, delay, why));
        }
        let report =
            Report { push: batch.push, slice: batch.slice, generation: batch.generation, batch: batch.batch, counts };
        Ok(match self.pushes.report(&report).await? {
            ReportResult::Counted => Delivered::Whole(counts),
            ReportResult::Settled => Delivered::Before,
            // Faster than the walker that queued it; or that has died, and its slice comes again.
            ReportResult::TooEarly => {
                // Until now it may have waited for something else.
                let waited = if batch.customers.is_empty() { batch.attempt } else { 0 };
                if push_is_cancelled && waited >= WALKER_GONE {
                    return Ok(Delivered::Before);
                }
                let again = Batch { customers: Vec::new(), tally: counts, attempt: waited + 1, ..batch.clone() };
                Delivered::put_off(again, after_attempt(waited), Why::PageNotTurned)
            }
        })
    }

    async fn notify(
        &self,
        round: &Round<'_, T>,
        id: &CustomerId,
        recipients: &Recipients,
    ) -> Result<Standing, StoreError> {
        let batch = round.batch;
        if let Some(served) = round.served.get(id) {
            round.waiting.fetch_sub(1, Ordering::Relaxed);
            return Ok(standing(batch, served));
        }
        if now() + LAST_START > round.deadline {
            return Ok(Standing::Open(Open::NoTime));
        }
        let written = self.message(batch, round.push_is_cancelled, id, recipients);
        if let Err(ending) = &written {
            round.waiting.fetch_sub(1, Ordering::Relaxed);
            return self.record_unsent(batch, id, ending).await;
        }
        if round.blocked.load(Ordering::Relaxed) {
            return Ok(Standing::Open(Open::Blocked));
        }
        let asked = Instant::now();
        let turn = self.turn(round).await?;
        round.waited_ms.fetch_add(telemetry::millis_since(asked), Ordering::Relaxed);
        if let Err(open) = turn {
            return Ok(Standing::Open(open));
        }
        if now() < round.read_at + FRESH {
            return self.claim(round, id, written).await;
        }
        // Meanwhile she may have thought better of it, or the push been cancelled.
        let push_is_cancelled = self.is_cancelled(batch.push).await?;
        let recipients = self.recipients(batch, std::slice::from_ref(id)).await?;
        self.claim(round, id, self.message(batch, push_is_cancelled, id, &recipients)).await
    }

    async fn recipients(&self, batch: &Batch, ids: &[CustomerId]) -> Result<Recipients, StoreError> {
        let found = self.customers.get_many(ids).await?;
        let address = |customer| Some(AddressHash::of(batch.channel, self.composer.address(customer)?));
        let reachable: Vec<_> =
            found.customers.iter().filter_map(|(id, customer)| Some((id.clone(), address(customer)?))).collect();
        let suppressed = self.suppressions.lookup(batch.channel, &reachable).await?;
        Ok(Recipients { found, suppressed })
    }

    async fn claim(
        &self,
        round: &Round<'_, T>,
        id: &CustomerId,
        written: Result<(C::Message, &str), FinalOutcome>,
    ) -> Result<Standing, StoreError> {
        let Round { batch, deadline, gate, .. } = *round;
        let (message, address) = match written {
            Ok(written) => written,
            Err(ending) => return self.record_unsent(batch, id, &ending).await,
        };
        if now() + LAST_START > deadline {
            return Ok(Standing::Open(Open::NoTime));
        }
        let id = delivery_id(batch, id);
        let hash = AddressHash::of(batch.channel, address);
        let take_up = if batch.retry_rejected { ResendPolicy::UnsentAndRejected } else { ResendPolicy::Unsent(&hash) };
        let via = Route { transport: gate.name, other: gate.other };
        let lease_until = deadline + LEASE_MARGIN;
        match self.deliveries.claim(id, batch.push, &batch.offer, take_up, via, lease_until).await? {
            ClaimResult::Granted(claim) => self.send(round, &claim, &message, hash).await,
            taken => Ok(standing(batch, &taken)),
        }
    }

    /// Records that nothing is sent, and why.
    async fn record_unsent(
        &self,
        batch: &Batch,
        id: &CustomerId,
        ending: &FinalOutcome,
    ) -> Result<Standing, StoreError> {
        let claiming = self.deliveries.record_unsent(&delivery_id(batch, id), batch.push, &batch.offer, ending).await?;
        Ok(standing(batch, &claiming))
    }

    async fn is_cancelled(&self, push: PushId) -> Result<bool, StoreError> {
        Ok(self.pushes.get(push).await?.is_some_and(|push| push.state == PushState::Cancelled))
    }

    /// Waits for a send at the transport's rate; or tells why there is none to be had soon.
    async fn turn(&self, round: &Round<'_, T>) -> Result<Result<(), Open>, StoreError> {
        let mut share = round.share.lock().await;
        // Waiting for one's turn to ask took its time.
        if now() + LAST_START > round.deadline {
            return Ok(Err(Open::NoTime));
        }
        if round.blocked.load(Ordering::Relaxed) {
            return Ok(Err(Open::Blocked));
        }
        if let Some(full_until) = share.full_until {
            return Ok(Err(Open::Rate(full_until)));
        }
        let waiting = round.waiting.load(Ordering::Relaxed);
        let at = match self.reserve(round.gate.paced, &mut share.slot, waiting, now() + FRESH).await? {
            Ok(at) => at,
            Err(full_until) => {
                share.full_until = Some(full_until);
                return Ok(Err(Open::Rate(full_until)));
            }
        };
        round.waiting.fetch_sub(1, Ordering::Relaxed);
        drop(share);
        sleep_until(at).await;
        Ok(if round.blocked.load(Ordering::Relaxed) { Err(Open::Blocked) } else { Ok(()) })
    }

    /// Sends one message on its own: no claim, no record. It waits for its turn as long as there is time.
    ///
    /// # Errors
    /// If it was not sent, or not certainly.
    pub async fn send_one(&self, message: &C::Message, deadline: Timestamp) -> Result<Accepted, SendOneError> {
        let gate = self.gate().await?.map_err(|until| SendOneError::Blocked { until })?;
        let sent = match self.reserve(gate.paced, &mut None, 1, deadline - LAST_START).await {
            Ok(Ok(at)) => {
                sleep_until(at).await;
                let sent = gate.paced.transport.send(message, deadline).await;
                // It may be this sender whom the provider refuses: that blocks nobody else.
                let told = if let Err(SendError::Unreachable(_)) = sent {
                    Ok(false)
                } else {
                    self.tell(&gate, &sent, false).await
                };
                if let Err(error) = told {
                    tracing::warn!(transport = %gate.name, error = %error, "the block could not be cleared, and runs out");
                }
                sent.map_err(SendOneError::Send)
            }
            Ok(Err(_)) => Err(SendOneError::Busy),
            Err(error) => Err(error.into()),
        };
        self.pass_on(&gate).await;
        sent
    }

    /// The transport that may be called now; or until when none may.
    async fn gate(&self) -> Result<Result<Passed<'_, T>, Timestamp>, StoreError> {
        let mut blocked = Timestamp::MAX;
        for paced in std::iter::once(&self.first).chain(&self.fallback) {
            match self.limits.check_breaker(paced.transport.id()).await? {
                BreakerState::Closed => return Ok(Ok(self.passed(paced, None))),
                BreakerState::HalfOpen(probe) => return Ok(Ok(self.passed(paced, Some(probe)))),
                BreakerState::Open { until } => blocked = blocked.min(until),
            }
        }
        Ok(Err(blocked))
    }

    fn passed<'d>(&'d self, paced: &'d Paced<T>, probe: Option<Probe>) -> Passed<'d, T> {
        let name = paced.transport.id();
        let mut names = std::iter::once(&self.first).chain(&self.fallback).map(|paced| paced.transport.id());
        let other = names.find(|other| *other != name);
        Passed { paced, name, other, probe, told: AtomicBool::new(false) }
    }

    /// Gives back the right to probe, if nothing was there to probe with: the next caller finds out. What was sent is sent,
    /// whatever becomes of this.
    async fn pass_on(&self, gate: &Passed<'_, T>) {
        let Some(probe) = gate.probe.filter(|_| !gate.told.load(Ordering::Relaxed)) else {
            return;
        };
        if let Err(error) = self.limits.release_probe(gate.name, probe).await {
            tracing::warn!(transport = %gate.name, error = %error, "the right to probe could not be given back, and runs out");
        }
    }

    /// When the next send may go; or until when others use the rate, if that is not soon.
    async fn reserve(
        &self,
        paced: &Paced<T>,
        slot: &mut Option<Slot>,
        wanted: u32,
        patience: Timestamp,
    ) -> Result<Result<Timestamp, Timestamp>, StoreError> {
        if let Some(at) = slot.as_mut().and_then(Iterator::next) {
            return Ok(Ok(at));
        }
        loop {
            let until = match self.limits.reserve(paced.transport.id(), paced.rate, wanted).await? {
                Reservation::Reserved(reserved) => match slot.insert(reserved).next() {
                    Some(at) => return Ok(Ok(at)),
                    // The store took far longer than the last time: all of them had lapsed when it answered.
                    None => now(),
                },
                Reservation::Full { until } => until,
            };
            if until.max(now()) > patience {
                return Ok(Err(until));
            }
            sleep_until(until).await;
        }
    }

    /// The message and its address, or why there is none.
    fn message<'c>(
        &self,
        batch: &Batch,
        push_is_cancelled: bool,
        id: &CustomerId,
        Recipients { found, suppressed }: &'c Recipients,
    ) -> Result<(C::Message, &'c str), FinalOutcome> {
        if push_is_cancelled {
            return Err(FinalOutcome::unsent(Outcome::Cancelled, "the push was cancelled"));
        }
        if batch.offer.is_over(now()) {
            return Err(FinalOutcome::unsent(Outcome::Expired, "the offer is over"));
        }
        if found.unreadable.contains(id) {
            return Err(FinalOutcome::unsent(Outcome::Failed, "the customer's record cannot be read"));
        }
        let Some(customer) = found.customers.get(id) else {
            return Err(FinalOutcome::unsent(Outcome::OptedOut, "the customer is gone"));
        };
        let address = self
            .composer
            .address(customer)
            .filter(|_| customer.reachable_by(batch.channel))
            .ok_or_else(|| FinalOutcome::unsent(Outcome::OptedOut, "the customer's consent or address is gone"))?;
        match suppressed.get(id) {
            None => {}
            Some(Reason::OptedOut) => return Err(FinalOutcome::unsent(Outcome::OptedOut, "the customer unsubscribed")),
            Some(Reason::Bounced) => return Err(FinalOutcome::unsent(Outcome::Suppressed, "the address bounced")),
            Some(Reason::Complained) => {
                return Err(FinalOutcome::unsent(Outcome::Suppressed, "the address complained of our mail"));
            }
        }
        let message = self
            .composer
            .compose(&batch.offer, customer)
            .map_err(|reason| FinalOutcome::unsent(Outcome::Failed, reason))?;
        Ok((message, address))
    }

    async fn send(
        &self,
        round: &Round<'_, T>,
        claim: &Claim,
        message: &C::Message,
        address_hash: AddressHash,
    ) -> Result<Standing, StoreError> {
        let began = Instant::now();
        let sent = round.gate.paced.transport.send(message, claim.lease_until).await;
        let duration_ms = telemetry::millis_since(began);
        round.latencies.lock().await.push(duration_ms);
        if let Err(SendError::OptedOut(_)) = &sent {
            self.suppressions.suppress(&address_hash, Reason::OptedOut, now(), round.gate.name.as_str()).await?;
        }
        let ending = match &sent {
            Ok(accepted) => Some(FinalOutcome {
                outcome: Outcome::Sent,
                reason: None,
                provider_message_id: Some(accepted.message_id.clone()),
                address_hash: Some(address_hash),
            }),
            Err(SendError::Rejected(reason)) => {
                Some(FinalOutcome { address_hash: Some(address_hash), ..FinalOutcome::unsent(Outcome::Failed, reason) })
            }
            Err(SendError::OptedOut(reason)) => Some(FinalOutcome::unsent(Outcome::OptedOut, reason)),
            // She may have it: as with a refusal, pushing again does not try again by itself.
            Err(SendError::Unanswered(reason)) if claim.unanswered + 1 >= UNANSWERED_LIMIT => Some(FinalOutcome {
                address_hash: Some(address_hash),
                ..FinalOutcome::unsent(Outcome::Failed, format!("the answer was lost twice: {reason}"))
            }),
            // Others may have taken over: there is nothing of ours to give back.
            Err(SendError::TooLate) => return Ok(Standing::Open(Open::NoTime)),
            Err(SendError::Unanswered(_) | SendError::Throttled(_) | SendError::Unreachable(_)) => None,
        };
        let recording = match (&ending, &sent) {
            (Some(ending), _) => surely(round.deadline, || self.deliveries.record(claim, ending)).await?,
            (None, Err(error @ SendError::Unanswered(_))) => {
                let reason = error.to_string();
                surely(round.deadline, || self.deliveries.release(claim, &reason, Release::Unanswered)).await?
            }
            (None, Err(error)) => self.deliveries.release(claim, &error.to_string(), Release::Unsent).await?,
            (None, Ok(_)) => unreachable!("what was accepted has its ending"),
        };
        let is_silent = match &sent {
            Err(SendError::Unanswered(_)) => round.silent.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT,
            _ => {
                round.silent.store(0, Ordering::Relaxed);
                false
            }
        };
        if let Err(SendError::Throttled(reason) | SendError::Unanswered(reason)) = &sent {
            *round.refusal.lock().await = Some(reason.clone());
        }
        if self.tell(round.gate, &sent, is_silent).await? {
            round.blocked.store(true, Ordering::Relaxed);
        }
        log(claim, &sent, ending.as_ref(), recording, duration_ms);
        Ok(match (ending, recording, &sent) {
            (Some(ending), RecordResult::Recorded, _) => Standing::Final(Tally::Outcome(ending.outcome)),
            (None, _, Err(SendError::Unreachable(_))) => Standing::Open(Open::Blocked),
            _ => Standing::Open(Open::Refused),
        })
    }

    /// Blocks the transport for everybody if it is out of reach, and clears the block if a probe reached it. Once. Answers
    /// whether it is out of reach.
    async fn tell(
        &self,
        gate: &Passed<'_, T>,
        sent: &Result<Accepted, SendError>,
        is_silent: bool,
    ) -> Result<bool, StoreError> {
        let reason = match (sent, gate.probe) {
            (Err(SendError::Unreachable(reason)), _) => Some(reason),
            // A probe that is not answered reached nobody.
            (Err(SendError::Unanswered(reason)), probe) if is_silent || probe.is_some() => Some(reason),
            _ => None,
        };
        match (reason, gate.probe) {
            (Some(reason), _) => {
                if !gate.told.swap(true, Ordering::Relaxed) {
                    let until = self.limits.open_breaker(gate.name, gate.probe, reason).await?;
                    tracing::warn!(transport = %gate.name, %until, error = reason, "the transport is out of reach");
                    measure_breaker(gate.name, true);
                }
            }
            (None, Some(probe)) => {
                if !gate.told.swap(true, Ordering::Relaxed) {
                    self.limits.close_breaker(gate.name, probe).await?;
                    tracing::info!(transport = %gate.name, "the transport is within reach again");
                    measure_breaker(gate.name, false);
                }
            }
            (None, None) => {}
        }
        Ok(reason.is_some())
    }
}

/// Told whenever somebody finds out, so that an outage shows for as long as it lasts.
fn measure_breaker(transport: TransportId, is_open: bool) {
    metrics::emit(&[("transport", transport.as_str())], &[("BreakerOpen", Unit::Count, u64::from(is_open))]);
}

impl<T> Round<'_, T> {
    /// Tells how the provider took it, and how long its rate made us wait.
    async fn measure(&self) {
        let latencies = self.latencies.lock().await;
        metrics::emit_each(
            &[("transport", self.gate.name.as_str())],
            "ProviderLatency",
            Unit::Milliseconds,
            &latencies,
        );
        if !latencies.is_empty() {
            let waited = self.waited_ms.load(Ordering::Relaxed);
            metrics::emit(&[("channel", self.batch.channel.as_str())], &[("RateWait", Unit::Milliseconds, waited)]);
        }
    }
}

fn log(
    claim: &Claim,
    sent: &Result<Accepted, SendError>,
    ending: Option<&FinalOutcome>,
    recording: RecordResult,
    duration_ms: u64,
) {
    let customer = &claim.id.customer;
    let state = ending.map_or("retry", |ending| ending.outcome.as_str());
    match (sent, recording) {
        (_, RecordResult::LeaseLost) => tracing::warn!(
            customer.id = %customer, delivery.state = "unknown", duration_ms,
            "the lease ended while sending; whoever holds it now may send once more"
        ),
        (Ok(_), _) => tracing::debug!(
            customer.id = %customer, delivery.state = state, duration_ms, "sent"
        ),
        // One line tells of a transport that is out of reach, not one for each customer.
        (Err(SendError::Unreachable(_)), _) => {}
        (Err(error), _) => tracing::warn!(
            customer.id = %customer, delivery.state = state, duration_ms,
            error = %error, "not sent"
        ),
    }
}

/// Writes what became of a message that was handed over. Tries for as long as there is time: what is not written down is
/// sent again.
async fn surely<F>(deadline: Timestamp, write: impl Fn() -> F) -> Result<RecordResult, StoreError>
where
    F: Future<Output = Result<RecordResult, StoreError>>,
{
    let mut wait = Duration::from_millis(100);
    loop {
        match write().await {
            Err(StoreError::Unavailable { .. }) if now() + RECORDING < deadline => {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(Duration::from_secs(2));
            }
            written => return written,
        }
    }
}

fn delivery_id(batch: &Batch, customer: &CustomerId) -> DeliveryId {
    DeliveryId { offer: batch.offer.id, customer: customer.clone(), channel: batch.channel }
}

async fn sleep_until(moment: Timestamp) {
    if let Ok(wait) = Duration::try_from(moment.duration_since(Timestamp::now())) {
        tokio::time::sleep(wait).await;
    }
}

fn standing(batch: &Batch, claiming: &ClaimResult) -> Standing {
    match claiming {
        // What an earlier push sent is served. What it ended otherwise, and this push may not take up, still counts.
        ClaimResult::Final { push, outcome: Outcome::Sent } if *push != batch.push.number => {
            Standing::Final(Tally::AlreadyServed)
        }
        ClaimResult::Final { outcome, .. } => Standing::Final(Tally::Outcome(*outcome)),
        ClaimResult::Leased { until } => Standing::Open(Open::Leased(*until)),
        ClaimResult::Granted(_) => unreachable!("a granted claim is sent"),
    }
}

/// When the batch must come again, and what it waits for.
fn put_off(attempt: u32, left: &[(CustomerId, Open)]) -> (Duration, Why) {
    let any = |wanted: fn(&Open) -> bool| left.iter().any(|(_, open)| wanted(open));
    if any(|open| matches!(open, Open::Blocked)) {
        (after_attempt(0), Why::Blocked)
    } else if any(|open| matches!(open, Open::NoTime)) {
        (Duration::ZERO, Why::Deadline)
    } else if any(|open| matches!(open, Open::Refused)) {
        (after_attempt(attempt), Why::Refused)
    } else if let Some(full) = left.iter().find_map(|(_, open)| match open {
        Open::Rate(until) => Some(*until),
        _ => None,
    }) {
        (until(full), Why::Rate)
    } else if any(|open| matches!(open, Open::StoreBusy)) {
        (after_attempt(attempt), Why::Store)
    } else {
        // Who holds them is done long before the lease ends, unless it died.
        let lease = left.iter().filter_map(|(_, open)| match open {
            Open::Leased(until) => Some(*until),
            _ => None,
        });
        (lease.max().map_or(Duration::ZERO, until).min(after_attempt(attempt)), Why::Leased)
    }
}
