//! Whether an offer may be pushed again, and as which push.

use std::time::Duration;

use api::Problem;
use axum::http::StatusCode;
use domain::notification::{DeliveryState, Outcome};
use domain::{OfferId, PushId};
use futures::stream::{self, StreamExt, TryStreamExt};
use store::pushes::Progress;
use store::{Deliveries, Offers, Pushes, StoreError};
use tokio::time::timeout;

/// How long counting the deliveries may take. API Gateway gives a call 29 s. Within this time, 16 partitions at their
/// limit of 3,000 read units a second return some 10 million deliveries (Amazon DynamoDB Developer Guide, partitions).
const COUNT_TIMEOUT: Duration = Duration::from_secs(20);
/// Pushes of the offer that are read at a time.
const CONCURRENCY: usize = 8;

/// The tables that decide it.
pub(super) struct PushHistory<'a> {
    pub(super) offers: &'a Offers,
    pub(super) pushes: &'a Pushes,
    pub(super) deliveries: &'a Deliveries,
}

/// Why an offer is not pushed again now.
#[derive(Debug)]
pub(super) enum Hindrance {
    NoOffer,
    /// Another push is open, and waits for more than recipients who are refused for now.
    StillOpen,
    /// Fewer deliveries are stored as sent than were counted: some were lost, or an older state of the table restored.
    DeliveriesMissing {
        counted: u64,
        stored: u64,
    },
    /// There are too many deliveries to know.
    NotCounted,
    Store(StoreError),
}

impl From<StoreError> for Hindrance {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Hindrance> for Problem {
    fn from(hindrance: Hindrance) -> Self {
        let anyway = r#"Send {"acceptRepeats": true} to push anyway."#;
        let detail = match hindrance {
            Hindrance::NoOffer => return Self::not_found("offer"),
            Hindrance::Store(error) => return error.into(),
            Hindrance::StillOpen => {
                "Another push of this offer is still open. Wait until it has completed, or cancel it.".to_owned()
            }
            Hindrance::DeliveriesMissing { counted, stored } => format!(
                "{counted} notifications of this offer were counted as sent, but the table of deliveries holds only \
                 {stored} of them. Up to {} messages would be sent a second time. {anyway}",
                counted - stored
            ),
            Hindrance::NotCounted => format!(
                "The deliveries of this offer could not be counted within {} s, so it is not known whether some were \
                 lost and would be sent a second time. {anyway}",
                COUNT_TIMEOUT.as_secs()
            ),
        };
        Self::new(StatusCode::CONFLICT, detail)
    }
}

impl PushHistory<'_> {
    /// The next push of an offer, if it may start while the earlier ones are as they are.
    pub(super) async fn next_push(&self, offer: OfferId, accept_repeats: bool) -> Result<PushId, Hindrance> {
        let last = self.offers.last_push_number(offer).await?.ok_or(Hindrance::NoOffer)?;
        let earlier = self.progress_of_all(offer, last).await?;
        if !may_start(&earlier) {
            return Err(Hindrance::StillOpen);
        }
        if !accept_repeats {
            self.check_deliveries(offer, &earlier).await?;
        }
        Ok(PushId { offer, number: last + 1 })
    }

    /// The progress of each push up to `last`; `None` for one that was requested but has not started.
    async fn progress_of_all(&self, offer: OfferId, last: u32) -> Result<Vec<Option<Progress>>, StoreError> {
        stream::iter(1..=last)
            .map(|number| self.pushes.progress(PushId { offer, number }))
            .buffered(CONCURRENCY)
            .try_collect()
            .await
    }

    /// Checks that what was counted as sent is stored as sent, since that keeps it from being sent again. The table is
    /// never behind the counts: a delivery is recorded before its batch reports.
    async fn check_deliveries(&self, offer: OfferId, pushes: &[Option<Progress>]) -> Result<(), Hindrance> {
        let counted = pushes.iter().flatten().map(|push| push.outcomes.sent).sum();
        if counted == 0 {
            return Ok(());
        }
        let count = self.deliveries.count(offer, DeliveryState::Final(Outcome::Sent));
        let stored = timeout(COUNT_TIMEOUT, count).await.map_err(|_| Hindrance::NotCounted)??;
        if stored < counted { Err(Hindrance::DeliveriesMissing { counted, stored }) } else { Ok(()) }
    }
}

/// Whether another push may start after these. The last one must have started. One that waits only for recipients who
/// are refused for now may do so for days, and keeps no other from starting.
fn may_start(earlier: &[Option<Progress>]) -> bool {
    let has_started = earlier.last().is_some_and(Option::is_some);
    let is_out_of_the_way = |push: &Progress| !push.push.state.is_open() || push.waits_for_recipients_only();
    has_started && earlier.iter().flatten().all(is_out_of_the_way)
}
