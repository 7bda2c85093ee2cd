//! What the tests share: a bank with customers and an offer, its tables, two providers, and functions that deliver.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

use delivery::{DeferReason, Deferral, DeliverError, Delivered, Deliverer, RateLimited};
use domain::push::{OutcomeCounts, ScanCounts};
use domain::queue::{Batch, Notifications};
use domain::unsubscribe::Subscription;
use domain::{Channel, Customer, CustomerId, Offer, PushId, Sources, TraceId, TransportId};
use jiff::{SignedDuration, Timestamp};
use runtime::HashKeys;
use serde_json::{Value, json};
use store::offers::PushRequest;
use store::pushes::{Plan, ScanStep, SliceScan};
use store::{Customers, Deliveries, Offers, PushedOffers, Pushes, Suppressions, TransportLimits};
use testing::clock::START;
use testing::{Clock, Dynamo};

use crate::composer::Composer;
use crate::provider::Provider;
use crate::stored::hash_of;

/// The timeout of the e-mail function in `template.yaml`.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(150);
/// `RetryHours` in `template.yaml`.
pub(crate) const RETRY_FOR: SignedDuration = SignedDuration::from_hours(72);
/// The longest attempt of the deployed SMTP transport.
pub(crate) const SMTP_DURATION: Duration = Duration::from_secs(90);
/// The longest attempt of the deployed SES transport.
pub(crate) const SES_DURATION: Duration = Duration::from_secs(30);

/// A bank. All that its functions share is in its tables.
#[derive(Debug)]
pub(crate) struct Bank {
    pub(crate) dynamo: Dynamo,
    pub(crate) clock: Clock,
    pub(crate) sources: Sources,
    /// The primary provider.
    pub(crate) smtp: Provider,
    /// The fallback, of a bank that has one.
    pub(crate) ses: Provider,
    pub(crate) composer: Composer,
    pub(crate) offer: Offer,
    customers: Vec<CustomerId>,
    has_fallback: bool,
    retry_for: SignedDuration,
    /// Sends a second of each provider.
    rate: u32,
}

impl Bank {
    /// A bank with customers `c-1`, `c-2`, … and a rate limit that no test notices.
    pub(crate) async fn with_customers(count: usize) -> Self {
        crate::logs::install();
        let (dynamo, clock) = (Dynamo::new(), Clock::new());
        let offer = json!({
            "id": "01980000-0000-7000-8000-000000000001", "code": "CASHBK", "description": "5 %", "subject": "Save",
            "channels": ["email"], "createdAt": START, "createdBy": "bank",
        });
        let mut bank = Self {
            sources: clock.sources(),
            smtp: Provider::new(TransportId::Smtp, SMTP_DURATION, &clock),
            ses: Provider::new(TransportId::Ses, SES_DURATION, &clock),
            composer: Composer::default(),
            offer: serde_json::from_value(offer).unwrap(),
            customers: Vec::new(),
            has_fallback: false,
            retry_for: RETRY_FOR,
            rate: 1_000,
            dynamo,
            clock,
        };
        for number in 1..=count {
            let id = format!("c-{number}");
            bank.put_customer(&id, json!({})).await;
            bank.customers.push(id.parse().unwrap());
        }
        bank
    }

    /// Another offer of the bank, to customers of its own: `d-1`, `d-2`, …
    pub(crate) async fn another_offer(&self, count: usize) -> Self {
        let id = "01980000-0000-7000-8000-000000000002".parse().unwrap();
        let mut bank = Self {
            dynamo: self.dynamo.clone(),
            clock: self.clock.clone(),
            sources: self.sources.clone(),
            smtp: self.smtp.clone(),
            ses: self.ses.clone(),
            composer: self.composer.clone(),
            offer: Offer { id, ..self.offer.clone() },
            customers: Vec::new(),
            has_fallback: self.has_fallback,
            retry_for: self.retry_for,
            rate: self.rate,
        };
        for number in 1..=count {
            let id = format!("d-{number}");
            bank.put_customer(&id, json!({})).await;
            bank.customers.push(id.parse().unwrap());
        }
        bank
    }

    /// Delivers batches as functions do that share a queue: each on its own, and again when it comes again, until they
    /// end or `limit` has passed. Returns what was counted, and what is left.
    pub(crate) async fn run(&self, batches: &[Batch], limit: Duration) -> (OutcomeCounts, Vec<Batch>) {
        let end = self.sources.now() + limit;
        let ended = futures::future::join_all(batches.iter().map(|batch| self.run_one(batch.clone(), end))).await;
        let (mut counts, mut left) = (OutcomeCounts::default(), Vec::new());
        for ended in ended {
            match ended {
                Ok(of_batch) => counts += of_batch,
                Err(batch) => left.push(batch),
            }
        }
        (counts, left)
    }

    async fn run_one(&self, mut batch: Batch, end: Timestamp) -> Result<OutcomeCounts, Batch> {
        loop {
            match self.deliver(&batch).await {
                Delivered::Completed(counts) => return Ok(counts),
                Delivered::NothingToReport => return Ok(OutcomeCounts::default()),
                Delivered::Deferred(deferral) if self.sources.now() + deferral.delay > end => {
                    return Err(deferral.again);
                }
                Delivered::Deferred(deferral) => {
                    tokio::time::sleep(deferral.delay).await;
                    batch = deferral.again;
                }
            }
        }
    }

    pub(crate) fn with_fallback(self) -> Self {
        Self { has_fallback: true, ..self }
    }

    /// With the smallest `RetryHours`.
    pub(crate) fn with_one_retry_hour(self) -> Self {
        Self { retry_for: SignedDuration::from_hours(1), ..self }
    }

    pub(crate) fn with_rate(self, rate: u32) -> Self {
        Self { rate, ..self }
    }

    /// Nothing of the offer may be sent from this time on.
    pub(crate) fn valid_until(self, valid_until: Timestamp) -> Self {
        Self { offer: Offer { valid_until: Some(valid_until), ..self.offer }, ..self }
    }

    /// Stores a customer who consents to e-mail, with these fields instead of the usual ones.
    pub(crate) async fn put_customer(&self, id: &str, fields: Value) {
        let mut body = json!({"name": "Asha", "email": format!("{id}@example.com"), "channels": ["email"]});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let customers = Customers::new(self.dynamo.client(), "Customers", self.sources.clone());
        customers.put(&Customer::parse(id, body).unwrap()).await.unwrap();
    }

    /// The customer unsubscribes from e-mail, by the link of a message to the usual address.
    pub(crate) async fn unsubscribe(&self, id: &str) {
        self.suppressions().opt_out(&subscription(id), &testing::hash_key(), self.clock.now()).await.unwrap();
    }

    /// The customer subscribes again.
    pub(crate) async fn subscribe(&self, id: &str) {
        self.suppressions().opt_in(&subscription(id), &testing::hash_key(), self.clock.now()).await.unwrap();
    }

    pub(crate) fn suppressions(&self) -> Suppressions {
        Suppressions::new(self.dynamo.client(), "Suppressions", self.sources.clone())
    }

    pub(crate) fn pushes(&self) -> Pushes {
        Pushes::new(self.dynamo.client(), "Pushes", self.sources.clone())
    }

    pub(crate) fn offers(&self) -> Offers {
        Offers::new(self.dynamo.client(), "Offers", self.sources.clone())
    }

    pub(crate) fn limits(&self) -> TransportLimits {
        TransportLimits::new(self.dynamo.client(), "Pacing", self.sources.clone())
    }

    /// A function that delivers, in an execution environment of its own.
    pub(crate) fn function(&self) -> Deliverer<Composer, Provider> {
        let (client, sources) = (self.dynamo.client(), &self.sources);
        let limited = |transport: &Provider| RateLimited {
            transport: transport.clone(),
            rate: NonZeroU32::new(self.rate).unwrap(),
        };
        Deliverer {
            hash_keys: HashKeys::known(testing::hash_key()),
            pushed_offers: PushedOffers::new(self.offers(), self.pushes(), sources.clone()),
            customers: Customers::new(client.clone(), "Customers", sources.clone()),
            suppressions: Suppressions::new(client.clone(), "Suppressions", sources.clone()),
            deliveries: Deliveries::new(client.clone(), "Deliveries", sources.clone()),
            pushes: self.pushes(),
            limits: TransportLimits::new(client, "Pacing", sources.clone()),
            full_line: delivery::FullLine::default(),
            sources: sources.clone(),
            composer: self.composer.clone(),
            primary: limited(&self.smtp),
            retry_for: self.retry_for,
            fallback: self.has_fallback.then(|| limited(&self.ses)),
        }
    }

    /// Delivers a batch in a new function, within its timeout.
    pub(crate) async fn try_deliver(&self, batch: &Batch) -> Result<Delivered, DeliverError> {
        self.function().deliver(batch, self.sources.now() + TIMEOUT).await
    }

    /// As [`Bank::try_deliver`], of a batch that must not fail.
    pub(crate) async fn deliver(&self, batch: &Batch) -> Delivered {
        self.try_deliver(batch).await.unwrap()
    }

    /// Delivers a batch whose notifications all get their outcome, and returns the counts.
    pub(crate) async fn complete(&self, batch: &Batch) -> OutcomeCounts {
        match self.deliver(batch).await {
            Delivered::Completed(counts) => counts,
            other => panic!("not completed: {other:?}"),
        }
    }

    /// Delivers a batch that comes again.
    pub(crate) async fn defer(&self, batch: &Batch) -> Deferral {
        deferral(self.deliver(batch).await)
    }

    /// Delivers a batch, and what comes again of it, until nothing does. Returns the last result.
    pub(crate) async fn deliver_to_the_end(&self, batch: &Batch) -> Delivered {
        let mut delivered = self.deliver(batch).await;
        for _ in 0..50 {
            let Delivered::Deferred(deferral) = delivered else {
                return delivered;
            };
            tokio::time::sleep(deferral.delay).await;
            delivered = self.deliver(&deferral.again).await;
        }
        panic!("it still comes again: {delivered:?}")
    }

    pub(crate) fn push_id(&self, number: u32) -> PushId {
        PushId { offer: self.offer.id, number }
    }

    fn request(&self, number: u32) -> PushRequest {
        PushRequest {
            push: self.push_id(number),
            requested_by: "bank".to_owned(),
            requested_at: self.sources.now(),
            retry_rejected: false,
            lost_deliveries: 0,
            trace: None,
        }
    }

    /// Stores the offer as it is now, if it is not stored yet, and the request for a push of it.
    async fn store_request(&self, request: &PushRequest) {
        if self.offers().get(self.offer.id).await.unwrap().is_none() {
            self.offers().create(&self.offer, None, TraceId::generate(&self.sources)).await.unwrap();
        }
        self.offers().request_push(request).await.unwrap();
    }

    /// The push was requested with `retryRejected`.
    pub(crate) fn set_retry_rejected(&self, number: u32) {
        let key = json!({"pk": self.offer.id, "sk": format!("push#{number:04}")});
        self.dynamo.set("Offers", key, "retryRejected", true);
    }

    /// Starts a push with one slice, and its scan.
    pub(crate) async fn start_push(&self, number: u32) -> SliceScan {
        let request = self.request(number);
        self.store_request(&request).await;
        self.pushes().create(&request, Plan::Now { slices: 1 }).await.unwrap();
        match self.pushes().start_scan(request.push, 0, 1).await.unwrap() {
            ScanStep::Continue(scan) => scan,
            other => panic!("not started: {other:?}"),
        }
    }

    pub(crate) async fn cancel(&self, number: u32) {
        self.pushes().cancel(&self.request(number), "bank").await.unwrap();
    }

    /// The batches of the scan's page, with these customers.
    pub(crate) fn batches(&self, scan: &SliceScan, customers: &[&[CustomerId]]) -> Vec<Batch> {
        let numbers = scan.batch_numbers(Channel::Email);
        let batch = |(customers, number): (&&[CustomerId], u32)| Batch {
            push: scan.push,
            slice: scan.slice,
            generation: scan.generation,
            number,
            channel: Channel::Email,
            notifications: left(customers),
            deferrals: 0,
        };
        customers.iter().zip(numbers).map(batch).collect()
    }

    /// A push whose scan has queued all customers, so many in each batch, and committed its page.
    pub(crate) async fn push_in_batches_of(&self, size: usize, number: u32) -> Vec<Batch> {
        let scan = self.start_push(number).await;
        let batches = self.batches(&scan, &self.customers.chunks(size).collect::<Vec<_>>());
        self.commit(&scan, &batches).await;
        batches
    }

    /// A push with one batch of all customers.
    pub(crate) async fn push(&self, number: u32) -> Batch {
        self.push_in_batches_of(self.customers.len(), number).await.remove(0)
    }

    /// The batch of all customers, of a page that is not committed.
    pub(crate) fn uncommitted(&self, scan: &SliceScan) -> Batch {
        self.batches(scan, &[&self.customers]).remove(0)
    }

    pub(crate) async fn commit(&self, scan: &SliceScan, batches: &[Batch]) {
        let notifications = u64::try_from(self.customers.len()).unwrap();
        let found = ScanCounts { notifications, ..ScanCounts::default() };
        let numbers: Vec<_> = batches.iter().map(|batch| batch.number).collect();
        self.pushes().commit_page(scan, found, &numbers, None).await.unwrap();
    }
}

/// The deferral of a batch that comes again.
#[track_caller]
pub(crate) fn deferral(delivered: Delivered) -> Deferral {
    match delivered {
        Delivered::Deferred(deferral) => *deferral,
        other => panic!("not deferred: {other:?}"),
    }
}

/// Checks what a batch waits for, and that it comes again after this many seconds, or up to so many.
#[track_caller]
pub(crate) fn assert_waits(deferral: &Deferral, reason: DeferReason, seconds: RangeInclusive<f64>) {
    let delay = deferral.delay.as_secs_f64();
    assert!(deferral.reason == reason && seconds.contains(&delay), "{:?}, {delay} s", deferral.reason);
}

/// The customers of a batch, sorted.
pub(crate) fn customers_of(batch: &Batch) -> Vec<&str> {
    let mut customers: Vec<_> = batch.customers().iter().map(CustomerId::as_str).collect();
    customers.sort_unstable();
    customers
}

/// The batch with so many of its customers only.
pub(crate) fn first_of(batch: &Batch, customers: usize) -> Batch {
    Batch { notifications: left(&batch.customers()[..customers]), ..batch.clone() }
}

/// Notifications that are all left.
fn left(customers: &[CustomerId]) -> Notifications {
    Notifications::new(customers.to_vec(), OutcomeCounts::default()).unwrap()
}

/// Notifications that all have their outcome.
pub(crate) fn counted(counts: OutcomeCounts) -> Notifications {
    Notifications::new(Vec::new(), counts).unwrap()
}

/// Counts of notifications that were sent, and of nothing else.
pub(crate) fn sent(sent: u64) -> OutcomeCounts {
    OutcomeCounts { sent, ..OutcomeCounts::default() }
}

fn subscription(id: &str) -> Subscription {
    Subscription { customer: id.parse().unwrap(), channel: Channel::Email, address: hash_of(id) }
}
