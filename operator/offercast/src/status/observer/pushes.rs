//! Open pushes and the newest others, with their progress.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use anyhow::Result;
use client::Deployment;
use domain::notification::Outcome;
use domain::push::PushState;
use domain::push::waiting::Delays;
use domain::{PushId, TransportId};
use futures::future::try_join_all;
use jiff::Timestamp;
use runtime::sources::system;
use store::pushes::Progress;
use store::{Offers, Pushes, StoreError, TransportLimits};

use super::pace::{Paces, seconds_left};
use crate::redrive::DEAD_LETTERS;
use crate::status::view::{Outage, Push, Queue, Transport};

/// Newest offers whose last push is shown.
const MAX_OFFERS: u16 = 8;
/// Open pushes that are shown.
const MAX_OPEN_PUSHES: u16 = 20;
/// Queues whose dead letters block pushes: a push waits for the batches and slices in them.
const BLOCKING: [&str; 3] = ["audience", "email", "sms"];
/// How many reasons are shown of notifications that were not sent.
const REASONS_SHOWN: usize = 3;

pub(super) struct PushObserver {
    offers: Offers,
    pushes: Pushes,
    limits: TransportLimits,
    /// Pushes that no longer change: every notification has an outcome.
    finished: HashMap<PushId, Push>,
    paces: Paces,
}

impl PushObserver {
    pub(super) fn new(deployment: &Deployment) -> Self {
        let dynamodb = aws_sdk_dynamodb::Client::new(&deployment.sdk);
        // A table that is missing from the outputs is reported when it is read.
        let table = |name: &str| deployment.tables.get(name).cloned().unwrap_or_else(|| name.to_owned());
        Self {
            offers: Offers::new(dynamodb.clone(), table("offers"), system()),
            pushes: Pushes::new(dynamodb.clone(), table("pushes"), system()),
            limits: TransportLimits::new(dynamodb, table("pacing"), system()),
            finished: HashMap::new(),
            paces: Paces::default(),
        }
    }

    /// Open pushes and the last of each of the newest offers, newest first.
    pub(super) async fn observe(
        &mut self,
        customers: u64,
        transports: &BTreeSet<TransportId>,
        queues: &[Queue],
    ) -> Result<Vec<Push>> {
        let shown = self.shown().await?;
        self.finished.retain(|id, _| shown.contains_key(id));
        self.paces.keep(|id| shown.contains_key(id));
        let unfinished = shown.keys().filter(|id| !self.finished.contains_key(id));
        // A push that is requested but has no progress yet is left out.
        let found = try_join_all(unfinished.map(|id| self.pushes.progress(*id))).await?.into_iter().flatten();
        let dead_letters: Vec<_> = queues
            .iter()
            .filter_map(|queue| Some((queue.name.strip_suffix(DEAD_LETTERS)?, queue.depth())))
            .filter(|(queue, _)| BLOCKING.contains(queue))
            .collect();
        let mut pushes: Vec<_> = self.finished.values().cloned().collect();
        for progress in found {
            let id = progress.push.id;
            let delays = self.delays(&progress, transports).await?;
            let mut push = push_view(&progress, shown[&id].clone(), customers, &delays, &dead_letters);
            if push.state == PushState::Running {
                push.per_second = self.paces.look(id, Instant::now(), push.outcomes.total());
                let is_scanned = progress.slices_scanned >= progress.push.slices;
                push.seconds_left =
                    push.per_second.filter(|_| is_scanned).and_then(|pace| seconds_left(push.pending, pace));
            }
            // A cancelled push still receives reports from batches that were queued.
            if !progress.push.state.is_open() && progress.pending() == 0 {
                self.finished.insert(id, push.clone());
            }
            pushes.push(push);
        }
        pushes.sort_by_key(|push| (std::cmp::Reverse(push.requested_at), push.offer.clone(), push.number));
        Ok(pushes)
    }

    /// The transports, and their outages.
    pub(super) async fn transports(&self, transports: &BTreeSet<TransportId>) -> Result<Vec<Transport>> {
        let observed = transports.iter().map(|transport| async move {
            let outage = self.limits.outage(*transport).await?;
            let outage = outage.map(|store::limits::Outage { since, next_probe, last_error }| Outage {
                since,
                next_probe,
                last_error,
            });
            Ok::<_, StoreError>(Transport { channel: transport.channel(), transport: *transport, outage })
        });
        let mut transports = try_join_all(observed).await?;
        transports.sort_by_key(|transport| transport.channel);
        Ok(transports)
    }

    /// The pushes to show, with their offers' codes.
    async fn shown(&self) -> Result<HashMap<PushId, String>> {
        let (open, newest) =
            tokio::try_join!(self.pushes.list_open(MAX_OPEN_PUSHES, None), self.offers.list(MAX_OFFERS, None))?;
        let newest: HashMap<_, _> = newest.items.into_iter().map(|offer| (offer.id, offer.code)).collect();
        let last = newest.iter().map(|(offer, code)| async move {
            let number = self.offers.last_push_number(*offer).await?;
            Ok::<_, StoreError>(number.map(|number| (PushId { offer: *offer, number }, code.clone())))
        });
        let open = open.items.iter().map(|push| {
            let known = newest.get(&push.id.offer).cloned();
            async move {
                let code = match known {
                    Some(code) => Some(code),
                    None => self.offers.get(push.id.offer).await?.map(|offer| offer.code),
                };
                Ok(code.map(|code| (push.id, code)))
            }
        });
        let (last, open) = tokio::try_join!(try_join_all(last), try_join_all(open))?;
        Ok(last.into_iter().chain(open).flatten().collect())
    }

    /// What delays an open push.
    async fn delays(&self, progress: &Progress, transports: &BTreeSet<TransportId>) -> Result<Delays> {
        let mut delays = Delays::new();
        for transport in transports.iter().filter(|_| progress.push.state.is_open()) {
            let delay = self.limits.delay(progress.push.id, *transport).await?;
            delays.entry(transport.channel()).or_default().insert(*transport, delay);
        }
        Ok(delays)
    }
}

fn push_view(progress: &Progress, code: String, customers: u64, delays: &Delays, dead_letters: &[(&str, u64)]) -> Push {
    let wait = progress.wait(delays, dead_letters, Timestamp::now());
    Push {
        offer: progress.push.id.offer.to_string(),
        number: progress.push.id.number,
        code,
        state: progress.push.state,
        percent: percent(progress, customers),
        eligible: progress.scan.notifications,
        pending: progress.pending(),
        customers_read: progress.scan.customers_read,
        customers_unevaluable: progress.scan.customers_unevaluable,
        outcomes: progress.tally.outcomes,
        reasons: progress.tally.reasons.top(REASONS_SHOWN),
        failed_mostly: progress.tally.reasons.most_frequent(Outcome::Failed),
        requested_at: progress.push.requested_at,
        completed_at: progress.push.completed_at,
        waiting_for: wait.reason,
        last_error: wait.last_error,
        per_second: None,
        seconds_left: None,
    }
}

/// The percentage of the push that is done. Among the `customers` not yet read, the same share is assumed to be
/// eligible as among those read.
fn percent(progress: &Progress, customers: u64) -> u8 {
    if !progress.push.state.is_open() {
        return 100;
    }
    let (read, found) = (u128::from(progress.scan.customers_read), u128::from(progress.scan.notifications));
    let expected = found * u128::from(customers).max(read);
    let percent = (100 * u128::from(progress.tally.outcomes.total()) * read).checked_div(expected).unwrap_or_default();
    u8::try_from(percent).unwrap_or(99).min(99)
}
