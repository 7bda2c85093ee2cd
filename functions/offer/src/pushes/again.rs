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

/// A push that may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NextPush {
    pub(super) id: PushId,
    /// The number of lost deliveries that callers have accepted to be sent again.
    pub(super) lost_deliveries: u64,
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
    pub(super) async fn next_push(&self, offer: OfferId, accept_repeats: bool) -> Result<NextPush, Hindrance> {
        let last = self.offers.last_push_number(offer).await?.ok_or(Hindrance::NoOffer)?;
        let earlier = self.progress_of_all(offer, last).await?;
        if !may_start(&earlier) {
            return Err(Hindrance::StillOpen);
        }
        let request = self.offers.push_request(PushId { offer, number: last }).await?;
        let accepted = request.map_or(0, |request| request.lost_deliveries);
        let lost = match self.check_deliveries(offer, &earlier, accepted).await {
            Ok(()) => accepted,
            Err(Hindrance::DeliveriesMissing { counted, stored }) if accept_repeats => counted - stored,
            Err(Hindrance::NotCounted) if accept_repeats => accepted,
            Err(hindrance) => return Err(hindrance),
        };
        Ok(NextPush { id: PushId { offer, number: last + 1 }, lost_deliveries: lost })
    }

    /// The progress of each push up to `last`; `None` for one that was requested but has not started.
    async fn progress_of_all(&self, offer: OfferId, last: u32) -> Result<Vec<Option<Progress>>, StoreError> {
        stream::iter(1..=last)
            .map(|number| self.pushes.progress(PushId { offer, number }))
            .buffered(CONCURRENCY)
            .try_collect()
            .await
    }

    /// Checks that what was counted as sent is stored as sent, since that keeps it from being sent again: all but those
    /// whose loss a caller has accepted before. The table is never behind the counts: a delivery is recorded before its
    /// batch reports.
    async fn check_deliveries(
        &self,
        offer: OfferId,
        pushes: &[Option<Progress>],
        accepted: u64,
    ) -> Result<(), Hindrance> {
        let counted: u64 = pushes.iter().flatten().map(|push| push.tally.outcomes.sent).sum();
        if counted <= accepted {
            return Ok(());
        }
        let count = self.deliveries.count(offer, DeliveryState::Final(Outcome::Sent));
        let stored = timeout(COUNT_TIMEOUT, count).await.map_err(|_| Hindrance::NotCounted)??;
        if stored + accepted < counted { Err(Hindrance::DeliveriesMissing { counted, stored }) } else { Ok(()) }
    }
}

/// Whether another push may start after these. The last one must have started. One that waits only for recipients who
/// are refused for now may do so for days, and keeps no other from starting.
fn may_start(earlier: &[Option<Progress>]) -> bool {
    let has_started = earlier.last().is_some_and(Option::is_some);
    let is_out_of_the_way = |push: &Progress| !push.push.state.is_open() || push.waits_for_recipients_only();
    has_started && earlier.iter().flatten().all(is_out_of_the_way)
}

#[cfg(test)]
mod tests {
    use domain::Channel;
    use domain::push::{OutcomeCounts, ScanCounts, Tally};
    use serde_json::json;
    use store::offers::PushRequest;
    use store::pushes::{PartialReport, Plan, Report, ScanStep};
    use testing::{Clock, Dynamo, Fault, OFFER};

    use super::*;

    struct World {
        dynamo: Dynamo,
        offers: Offers,
        pushes: Pushes,
        deliveries: Deliveries,
    }

    impl World {
        fn new() -> Self {
            let (dynamo, sources) = (Dynamo::new(), Clock::new().sources());
            Self {
                offers: Offers::new(dynamo.client(), "Offers", sources.clone()),
                pushes: Pushes::new(dynamo.client(), "Pushes", sources.clone()),
                deliveries: Deliveries::new(dynamo.client(), "Deliveries", sources),
                dynamo,
            }
        }

        async fn next(&self, accept_repeats: bool) -> Result<u32, Hindrance> {
            let history = PushHistory { offers: &self.offers, pushes: &self.pushes, deliveries: &self.deliveries };
            history.next_push(OFFER.parse().unwrap(), accept_repeats).await.map(|push| push.id.number)
        }

        async fn request(&self, number: u32) -> PushRequest {
            self.request_after(number, 0).await
        }

        async fn request_after(&self, number: u32, lost_deliveries: u64) -> PushRequest {
            let push = PushId { offer: OFFER.parse().unwrap(), number };
            let request = PushRequest {
                push,
                requested_by: "bank".to_owned(),
                requested_at: testing::clock::START,
                retry_rejected: false,
                lost_deliveries,
                trace: None,
            };
            assert!(self.offers.request_push(&request).await.unwrap());
            request
        }

        /// A push with one batch of three notifications that has not reported.
        async fn start(&self, number: u32) -> Report {
            self.start_after(number, 0).await
        }

        async fn start_after(&self, number: u32, lost_deliveries: u64) -> Report {
            let request = self.request_after(number, lost_deliveries).await;
            self.pushes.create(&request, Plan::Now { slices: 1 }).await.unwrap();
            let ScanStep::Continue(scan) = self.pushes.start_scan(request.push, 0, 1).await.unwrap() else {
                panic!("not started");
            };
            let batch = scan.batch_numbers(Channel::Email).next().unwrap();
            let found = ScanCounts { notifications: 3, ..ScanCounts::default() };
            self.pushes.commit_page(&scan, found, &[batch], None).await.unwrap();
            Report { push: request.push, slice: 0, generation: 1, batch, tally: Tally::default() }
        }

        /// A push that has completed with so many sent, of which as many are stored.
        async fn complete(&self, number: u32, counted: u64, stored: u64) {
            let batch = self.start(number).await;
            let counts = OutcomeCounts { sent: counted, failed: 1, ..OutcomeCounts::default() };
            self.pushes.report(&Report { tally: counts.into(), ..batch }).await.unwrap();
            for customer in 0..stored {
                self.store(number, customer, "sent");
            }
            self.store(number, 99, "failed");
        }

        fn store(&self, push: u32, customer: u64, state: &str) {
            let pk = format!("{OFFER}#{:x}", customer % 16);
            let sk = format!("c-{push}-{customer}#email");
            self.dynamo.put("Deliveries", json!({"pk": pk, "sk": sk, "state": state, "push": push, "updatedAt": 0}));
        }
    }

    /// The batch is deferred: one is sent, and these are refused for now.
    fn deferred(batch: Report, refused: u64) -> PartialReport {
        let so_far = Report { tally: OutcomeCounts { sent: 1, ..OutcomeCounts::default() }.into(), ..batch };
        PartialReport { so_far, refused, has_progressed: true, refusal: None }
    }

    #[tokio::test(start_paused = true)]
    async fn next_push_waits_until_the_earlier_ones_have_ended() {
        let world = World::new();
        assert!(matches!(world.next(false).await, Err(Hindrance::NoOffer)));
        let batch = world.start(1).await;
        assert!(matches!(world.next(true).await, Err(Hindrance::StillOpen)));
        world.pushes.report(&batch).await.unwrap();
        assert_eq!(world.next(false).await.unwrap(), 2);
        world.request(2).await;
        assert!(matches!(world.next(true).await, Err(Hindrance::StillOpen)), "requested, but not started");
    }

    #[tokio::test(start_paused = true)]
    async fn push_that_waits_only_for_refused_recipients_keeps_no_other_from_starting() {
        let world = World::new();
        let first = world.start(1).await;
        world.store(1, 1, "sent");
        world.pushes.report_partial(&deferred(first, 1)).await.unwrap();
        assert!(matches!(world.next(true).await, Err(Hindrance::StillOpen)), "one of three is not tried yet");
        world.pushes.report_partial(&deferred(first, 2)).await.unwrap();
        assert_eq!(world.next(false).await.unwrap(), 2);

        let second = world.start(2).await;
        assert!(matches!(world.next(true).await, Err(Hindrance::StillOpen)));
        let counts = OutcomeCounts { already_served: 3, ..OutcomeCounts::default() };
        world.pushes.report(&Report { tally: counts.into(), ..second }).await.unwrap();
        assert_eq!(world.next(false).await.unwrap(), 3, "the first one is still open");
    }

    #[tokio::test(start_paused = true)]
    async fn lost_deliveries_keep_an_offer_from_being_pushed_unless_the_caller_accepts_repeats() {
        let world = World::new();
        world.complete(1, 20, 20).await;
        assert_eq!(world.next(false).await.unwrap(), 2);
        world.complete(2, 15, 14).await;
        let hindrance = world.next(false).await.unwrap_err();
        assert!(matches!(hindrance, Hindrance::DeliveriesMissing { counted: 35, stored: 34 }), "{hindrance:?}");
        assert_eq!(world.next(true).await.unwrap(), 3);
        // What an open push has sent so far counts as well.
        world.store(2, 14, "sent");
        let third = world.start(3).await;
        world.pushes.report_partial(&deferred(third, 2)).await.unwrap();
        let hindrance = world.next(false).await.unwrap_err();
        assert!(matches!(hindrance, Hindrance::DeliveriesMissing { counted: 36, stored: 35 }), "{hindrance:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_loss_is_accepted_once() {
        let world = World::new();
        world.complete(1, 5, 0).await;
        let history = PushHistory { offers: &world.offers, pushes: &world.pushes, deliveries: &world.deliveries };
        let offer = OFFER.parse().unwrap();
        assert_eq!(history.next_push(offer, true).await.unwrap().lost_deliveries, 5);
        let batch = world.start_after(2, 5).await;
        world.store(2, 1, "sent");
        world.store(2, 2, "sent");
        let counts = OutcomeCounts { sent: 2, ..OutcomeCounts::default() };
        world.pushes.report(&Report { tally: counts.into(), ..batch }).await.unwrap();
        let next = history.next_push(offer, false).await.unwrap();
        assert_eq!((next.id.number, next.lost_deliveries), (3, 5));
        // What is lost after that is found.
        world.dynamo.delete("Deliveries", json!({"pk": format!("{OFFER}#1"), "sk": "c-2-1#email"}));
        let hindrance = history.next_push(offer, false).await.unwrap_err();
        assert!(matches!(hindrance, Hindrance::DeliveriesMissing { counted: 7, stored: 1 }), "{hindrance:?}");
        assert_eq!(history.next_push(offer, true).await.unwrap().lost_deliveries, 6);
    }

    #[tokio::test(start_paused = true)]
    async fn deliveries_that_cannot_be_counted_in_time_are_not_taken_for_complete() {
        let world = World::new();
        world.complete(1, 2, 2).await;
        world.dynamo.set_latency(Duration::from_secs(2));
        world.dynamo.inject("Query", "Deliveries", vec![Fault::LoseResponse; 40]);
        let began = tokio::time::Instant::now();
        let hindrance = world.next(false).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(29), "{:?}", began.elapsed());
        assert!(matches!(hindrance, Hindrance::NotCounted | Hindrance::Store(_)), "{hindrance:?}");
        assert_eq!(world.next(true).await.unwrap(), 2);
    }

    #[test]
    fn refusal_names_the_numbers_and_the_way_out() {
        let problem = Problem::from(Hindrance::DeliveriesMissing { counted: 5, stored: 0 });
        let shown = format!("{problem:?}");
        let expected =
            "5 notifications of this offer were counted as sent, but the table of deliveries holds only 0 of them";
        assert!(shown.contains(expected) && shown.contains("acceptRepeats") && shown.contains("409"), "{shown}");
    }
}
