//! The heartbeat of an invocation, which its claims name: others take over what it has claimed once it stops.

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::pending;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::{CustomerId, Sources};
use jiff::{SignedDuration, Timestamp};
use store::StoreError;
use store::deliveries::{HolderId, KnownDeliveries};

use super::deliverer::Deliverer;

/// How often an invocation shows that it lives. Its claims last for half a minute, so one heartbeat may be late.
const BEAT_EVERY: Duration = Duration::from_secs(8);
/// An invocation that has not shown for so long that it lives begins nothing: others may be about to take it for dead.
const MAX_SILENCE: SignedDuration = SignedDuration::from_secs(20);

/// What an invocation knows of itself and of those before it.
pub(super) struct Heartbeat {
    pub(super) holder: HolderId,
    /// When it last showed that it lives, in milliseconds since 1970; 0 once another invocation has taken it for dead.
    shown_at: AtomicI64,
    /// Those before that are ended, so that their claims can be taken over.
    ended_before: HashSet<HolderId>,
}

impl Heartbeat {
    pub(super) fn new(sources: &Sources, ended_before: HashSet<HolderId>) -> Self {
        let shown_at = AtomicI64::new(sources.now().as_millisecond());
        Self { holder: HolderId::generate(sources), shown_at, ended_before }
    }

    /// Whether another invocation may take over at `now` what this one claims, or soon: it must not begin anything.
    pub(super) fn is_silent(&self, now: Timestamp) -> bool {
        let shown_at = Timestamp::from_millisecond(self.shown_at.load(Ordering::Relaxed));
        shown_at.is_ok_and(|shown_at| shown_at + MAX_SILENCE < now)
    }

    /// The ended invocation that has claimed a customer's delivery, if one has.
    pub(super) fn ended_holder<'a>(&self, known: &'a KnownDeliveries, customer: &CustomerId) -> Option<&'a HolderId> {
        known.held.get(customer).map(|held| &held.by).filter(|holder| self.ended_before.contains(holder))
    }
}

impl<C, T> Deliverer<C, T> {
    /// Ends the invocations that have claimed some of these deliveries and show no sign of life any more. Returns them.
    pub(super) async fn end_silent(&self, known: &KnownDeliveries) -> Result<HashSet<HolderId>, StoreError> {
        let now = self.sources.now();
        let silent: HashSet<_> = known.held.values().filter(|held| held.is_over(now)).map(|held| &held.by).collect();
        let mut ended = HashSet::new();
        for holder in silent {
            if self.deliveries.end_holder(holder).await? {
                ended.insert(holder.clone());
            }
        }
        Ok(ended)
    }

    /// Shows again and again that this invocation lives, until it is dropped. The first time only after a while, since most
    /// batches are delivered by then.
    pub(super) async fn keep_beating(&self, heartbeat: &Heartbeat) -> Infallible {
        loop {
            tokio::time::sleep(BEAT_EVERY).await;
            let now = self.sources.now();
            match self.deliveries.beat(&heartbeat.holder).await {
                Ok(true) => heartbeat.shown_at.store(now.as_millisecond(), Ordering::Relaxed),
                Ok(false) => {
                    tracing::warn!("taken for dead; the rest of the batch is left to the invocation that took over");
                    heartbeat.shown_at.store(0, Ordering::Relaxed);
                    return pending().await;
                }
                Err(error) => tracing::warn!(error = %error, "heartbeat failed; the next one tries again"),
            }
        }
    }
}
