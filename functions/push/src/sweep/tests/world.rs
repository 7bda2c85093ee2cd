//! A stack of its own for each test: the tables, the queues, the bus, and the functions around the sweep.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::push::{OutcomeCounts, ScanCounts};
use domain::queue::{AudienceMessage, Batch, ChannelMessage, Notifications};
use domain::{Channel, Offer, OfferId, PushId, Sources, TraceId};
use jiff::Timestamp;
use runtime::EventBus;
use serde_json::{Value, json};
use store::offers::PushRequest;
use store::pushes::{Plan, Push, Report, ReportResult, ScanStep, SliceScan};
use store::{Customers, Offers, Pushes};
pub(super) use testing::OFFER;
use testing::{Bus, Clock, Dynamo, Fault};

use super::super::Sweeper;
use super::super::report::{SweepError, Swept};
use super::super::time::MIN_TIME_PER_ITEM;
use super::super::time::tests::deadline;
use super::services::Queues;
use crate::publish::Publisher;
use crate::start::PushStarter;

pub(super) struct World {
    pub(super) dynamo: Dynamo,
    pub(super) queues: Queues,
    pub(super) bus: Bus,
    pub(super) clock: Clock,
    sources: Sources,
    sweeper: Sweeper,
}

impl World {
    /// Nothing is stored, and nothing is queued.
    pub(super) fn empty() -> Self {
        let (dynamo, queues, bus, clock) = (Dynamo::new(), Queues::default(), Bus::default(), Clock::new());
        let sources = clock.sources();
        let sweeper = sweeper(&dynamo, &queues, &bus, &sources);
        Self { dynamo, queues, bus, clock, sources, sweeper }
    }

    /// An offer whose first push is completed, with all events published. Its next push is the second.
    pub(super) async fn new() -> Self {
        let world = Self::empty();
        world.post(json!({})).await;
        let first = world.create(1, 1).await;
        world.scan_slice(first.id, 0, 1, &[]).await;
        world.sweeper.publisher.publish(first.id).await.unwrap();
        world.bus.take_accepted();
        world.bus.take_tried();
        world.dynamo.forget_calls();
        world
    }

    /// Another execution environment of the function.
    pub(super) fn another_sweeper(&self) -> Sweeper {
        sweeper(&self.dynamo, &self.queues, &self.bus, &self.sources)
    }

    pub(super) fn pushes(&self) -> &Pushes {
        &self.sweeper.starter.pushes
    }

    /// One sweep, with a minute until its deadline.
    pub(super) async fn sweep(&self) -> Result<Swept, SweepError> {
        self.sweep_with(&self.sweeper, Duration::from_secs(60)).await
    }

    /// One sweep that may begin with a push during this time.
    pub(super) async fn sweep_during(&self, time: Duration) -> Result<Swept, SweepError> {
        self.sweep_with(&self.sweeper, MIN_TIME_PER_ITEM + time).await
    }

    /// One sweep that may begin with an open push during this time.
    pub(super) async fn sweep_open_during(&self, time: Duration) -> Result<Swept, SweepError> {
        // Two thirds of it are for the open pushes.
        self.sweep_with(&self.sweeper, (MIN_TIME_PER_ITEM + time) * 3 / 2).await
    }

    pub(super) async fn sweep_with(&self, sweeper: &Sweeper, left: Duration) -> Result<Swept, SweepError> {
        sweeper.sweep_all(deadline(&self.clock, left)).await
    }

    /// What an operator asks for: a sweep of the offer's last push.
    pub(super) async fn sweep_offer(&self) -> Result<Swept, SweepError> {
        self.sweeper.sweep_offer(OFFER.parse().unwrap(), deadline(&self.clock, minutes(1))).await
    }

    /// Stores an offer with these fields besides the required ones, and the request for its first push.
    pub(super) async fn post(&self, fields: Value) {
        let offer = offer(self.clock.now(), fields);
        self.sweeper.starter.offers.create(&offer, None, TraceId::generate(&self.sources)).await.unwrap();
    }

    /// Stores the request for a push.
    pub(super) async fn request(&self, number: u32) -> PushRequest {
        let request = PushRequest {
            push: push(number),
            requested_by: "bank".to_owned(),
            requested_at: self.clock.now(),
            retry_rejected: false,
            lost_deliveries: 0,
            trace: None,
        };
        self.sweeper.starter.offers.request_push(&request).await.unwrap();
        request
    }

    /// A running push with these many slices. None of them is queued.
    pub(super) async fn create(&self, number: u32, slices: u32) -> Push {
        let request = self.request(number).await;
        self.pushes().create(&request, Plan::Now { slices }).await.unwrap()
    }

    /// A push that starts at this time.
    pub(super) async fn schedule(&self, number: u32, starts_at: Timestamp) {
        let request = self.request(number).await;
        self.pushes().create(&request, Plan::At(starts_at)).await.unwrap();
    }

    /// A completed push, whose event is not published.
    pub(super) async fn complete(&self, number: u32) {
        self.create(number, 1).await;
        self.scan_slice(push(number), 0, 1, &[]).await;
        assert_eq!(self.push_item(number)["unpublished"], "yes");
    }

    /// Starts the push and queues its slices, as the function does that gets its request from the stream.
    pub(super) async fn start(&self, number: u32) {
        self.sweeper.starter.start_push(push(number)).await.unwrap();
    }

    /// Does what `audience` does: scans each queued slice, finds batches for these channels, and queues them.
    pub(super) async fn scan_queued(&self, found: &[Channel]) {
        for message in self.queues.take("audience") {
            let AudienceMessage::Slice(slice) = serde_json::from_value(message).unwrap();
            self.scan_slice(slice.push, slice.index, slice.generation, found).await;
        }
    }

    pub(super) async fn scan_slice(&self, push: PushId, slice: u32, generation: u32, found: &[Channel]) {
        let ScanStep::Continue(scan) = self.pushes().start_scan(push, slice, generation).await.unwrap() else {
            return;
        };
        let batches = self.queue_batches(&scan, found);
        self.pushes().commit_page(&scan, counts(&batches), &batches, None).await.unwrap();
    }

    /// Scans a slice that has no batches, and dies before it counts it.
    pub(super) async fn scan_without_counting(&self, push: PushId, slice: u32) {
        self.dynamo.inject("TransactWriteItems", "Pushes", [Fault::Refuse]);
        let ScanStep::Continue(scan) = self.pushes().start_scan(push, slice, 1).await.unwrap() else {
            panic!("the slice is scanned already");
        };
        self.pushes().commit_page(&scan, counts(&[]), &[], None).await.unwrap_err();
        assert_eq!(self.dynamo.faults_left(), 0);
    }

    fn queue_batches(&self, scan: &SliceScan, found: &[Channel]) -> Vec<u32> {
        let mut numbers = Vec::new();
        for channel in Channel::ALL {
            let count = found.iter().filter(|found| **found == channel).count();
            for number in scan.batch_numbers(channel).take(count) {
                let batch = ChannelMessage::Batch(Batch {
                    push: scan.push,
                    slice: scan.slice,
                    generation: scan.generation,
                    number,
                    channel,
                    notifications: Notifications::new(vec!["c-1".parse().unwrap()], OutcomeCounts::default()).unwrap(),
                    deferrals: 0,
                });
                self.queues.put(channel.as_str(), json!(batch));
                numbers.push(number);
            }
        }
        numbers
    }

    /// Does what a channel's function does: delivers the queued batches and reports each.
    pub(super) async fn deliver_queued(&self, channel: Channel) -> Vec<ReportResult> {
        let mut results = Vec::new();
        for message in self.queues.take(channel.as_str()) {
            results.push(self.deliver(message).await);
        }
        results
    }

    pub(super) async fn deliver(&self, message: Value) -> ReportResult {
        let ChannelMessage::Batch(batch) = serde_json::from_value(message).unwrap();
        let counts = OutcomeCounts { sent: 1, ..OutcomeCounts::default() };
        let Batch { push, slice, generation, number, .. } = batch;
        self.pushes().report(&Report { push, slice, generation, batch: number, tally: counts.into() }).await.unwrap()
    }

    /// The slices in the audience queue: each as push, slice and generation.
    pub(super) fn queued_slices(&self) -> Vec<(u32, u32, u32)> {
        let messages = self.queues.take("audience");
        let slices = messages.iter().map(|message| {
            let AudienceMessage::Slice(slice) = serde_json::from_value(message.clone()).unwrap();
            (slice.push.number, slice.index, slice.generation)
        });
        let slices = slices.collect();
        messages.into_iter().for_each(|message| self.queues.put("audience", message));
        slices
    }

    /// The item of a push.
    pub(super) fn push_item(&self, number: u32) -> Value {
        self.dynamo.item("Pushes", json!({"pk": push(number).to_string(), "sk": "push"})).unwrap_or_default()
    }

    /// The state of a push; null if it does not exist.
    pub(super) fn state(&self, number: u32) -> Value {
        self.push_item(number)["state"].clone()
    }
}

/// Lets time pass.
pub(super) async fn pass(time: Duration) {
    tokio::time::advance(time).await;
}

pub(super) const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

pub(super) fn push(number: u32) -> PushId {
    PushId { offer: OFFER.parse::<OfferId>().unwrap(), number }
}

fn counts(batches: &[u32]) -> ScanCounts {
    ScanCounts { customers_read: 1, notifications: batches.len() as u64, ..ScanCounts::default() }
}

fn offer(at: Timestamp, fields: Value) -> Offer {
    let mut body = json!({"code": "SUMMER", "description": "An offer."});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    testing::offer_posted(at, body)
}

fn sweeper(dynamo: &Dynamo, queues: &Queues, bus: &Bus, sources: &Sources) -> Sweeper {
    let client = dynamo.client();
    let starter = PushStarter {
        sources: sources.clone(),
        offers: Offers::new(client.clone(), "Offers", sources.clone()),
        pushes: Pushes::new(client.clone(), "Pushes", sources.clone()),
        customers: Customers::new(client, "Customers", sources.clone()),
        audience_queue: queues.queue("audience"),
    };
    let publisher = Publisher {
        offers: starter.offers.clone(),
        pushes: starter.pushes.clone(),
        bus: EventBus::new(bus.client(), "events"),
    };
    let channels = Channel::ALL.into_iter().map(|channel| (channel, queues.queue(channel.as_str())));
    Sweeper::new(starter, channels.collect::<BTreeMap<_, _>>(), publisher)
}
