//! The tables, and what the tests put into them.

use std::time::Duration;

use domain::notification::Outcome;
use domain::{AddressHash, Channel, CustomerId, Offer, OfferId, PushId, Sources, TransportId};
use jiff::Timestamp;
use serde_json::{Value, json};
use store::deliveries::{Claim, ClaimResult, DeliveryId, FinalOutcome, HolderId, Lease, ResendPolicy, Route};
use store::offers::PushRequest;
use store::pushes::{Plan, Push, ScanStep, SliceScan, SliceStatus};
use store::suppressions::{Recipient, Report};
use store::{Customers, Deliveries, Offers, Pushes, Suppressions, TransportLimits};
pub(crate) use testing::OFFER;
use testing::{Clock, Dynamo};

pub(crate) const EMAIL_ONLY: Route = Route { transport: TransportId::Ses, other: None };

/// All tables, empty at first.
pub(crate) struct World {
    pub(crate) dynamo: Dynamo,
    pub(crate) clock: Clock,
    pub(crate) sources: Sources,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = Clock::new();
        Self { dynamo: Dynamo::new(), sources: clock.sources(), clock }
    }

    pub(crate) fn customers(&self) -> Customers {
        Customers::new(self.dynamo.client(), "Customers", self.sources.clone())
    }

    pub(crate) fn deliveries(&self) -> Deliveries {
        Deliveries::new(self.dynamo.client(), "Deliveries", self.sources.clone())
    }

    pub(crate) fn limits(&self) -> TransportLimits {
        TransportLimits::new(self.dynamo.client(), "Pacing", self.sources.clone())
    }

    pub(crate) fn offers(&self) -> Offers {
        Offers::new(self.dynamo.client(), "Offers", self.sources.clone())
    }

    pub(crate) fn pushes(&self) -> Pushes {
        Pushes::new(self.dynamo.client(), "Pushes", self.sources.clone())
    }

    pub(crate) fn suppressions(&self) -> Suppressions {
        Suppressions::new(self.dynamo.client(), "Suppressions", self.sources.clone())
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A running push with this many slices.
    pub(crate) async fn push(&self, slices: u32) -> Push {
        self.pushes().create(&request(1), Plan::Now { slices }).await.unwrap()
    }

    /// A slice of the first push whose scan was restarted, up to this generation.
    pub(crate) fn restarted(&self, slice: u32, generation: u32) {
        let sk = format!("slice#{slice:04}");
        let item = json!({"pk": push_key(1), "sk": sk, "generation": generation, "version": 0, "walked": false});
        self.dynamo.put("Pushes", item);
    }

    /// The slices of a push.
    pub(crate) async fn slices(&self, push: &Push) -> Vec<SliceStatus> {
        let mut slices = Vec::new();
        self.pushes().each_slice(push, |slice| slices.push(slice)).await.unwrap();
        slices
    }

    /// Takes back the last step of the first push: its only slice is done and not counted, and it runs.
    pub(crate) fn uncount(&self, slice: u32) {
        let push = json!({"pk": push_key(1), "sk": "push"});
        self.dynamo.remove("Pushes", json!({"pk": push_key(1), "sk": format!("slice#{slice:04}")}), "counted");
        self.dynamo.remove("Pushes", &push, "slicesCounted");
        self.dynamo.set("Pushes", push, "state", "running");
    }

    /// The item of a slice of the first push.
    pub(crate) fn slice(&self, slice: u32) -> Option<Value> {
        self.dynamo.item("Pushes", json!({"pk": push_key(1), "sk": format!("slice#{slice:04}")}))
    }

    /// The item of the first push.
    pub(crate) fn push_item(&self) -> Value {
        self.dynamo.item("Pushes", json!({"pk": push_key(1), "sk": "push"})).unwrap()
    }

    /// The only item of the table.
    pub(crate) fn only(&self, table: &str) -> Value {
        let [item] = self.dynamo.items(table).try_into().unwrap();
        item
    }
}

pub(crate) fn offer_id() -> OfferId {
    OFFER.parse().unwrap()
}

/// An offer, posted at the start of the test, that may be pushed until 2026-08-30T12:00:00Z.
pub(crate) fn offer() -> Offer {
    testing::offer(json!({"code": "CASHBK", "description": "Get 5%"}))
}

/// A report about an address, of a notification that is not known.
pub(crate) fn report<'a>(address: &'a AddressHash, at: Timestamp, by: &'a str) -> Report<'a> {
    Report { address, at, by, notified: None }
}

/// A customer at an address, by e-mail.
pub(crate) fn recipient(customer: &str, address: &str) -> Recipient {
    Recipient {
        customer: testing::customer_hash(Channel::Email, customer),
        address: testing::address_hash(Channel::Email, address),
    }
}

pub(crate) fn push(number: u32) -> PushId {
    PushId { offer: offer_id(), number }
}

pub(crate) fn push_key(number: u32) -> String {
    format!("{OFFER}#{number:04}")
}

pub(crate) fn request(number: u32) -> PushRequest {
    PushRequest {
        push: push(number),
        requested_by: "bank".to_owned(),
        requested_at: testing::clock::START,
        retry_rejected: false,
        lost_deliveries: 0,
        trace: None,
    }
}

pub(crate) fn customer(id: &str) -> CustomerId {
    id.parse().unwrap()
}

pub(crate) fn email_to(id: &str) -> DeliveryId {
    DeliveryId { offer: offer_id(), customer: customer(id), channel: Channel::Email }
}

pub(crate) fn address(address: &str) -> AddressHash {
    testing::address_hash(Channel::Email, address)
}

/// Claims the e-mail to customer `c-1` for a minute at most, for this push, by an invocation of its own.
pub(crate) async fn try_claim(world: &World, number: u32, policy: ResendPolicy, route: Route) -> ClaimResult {
    let holder = HolderId::generate(&world.clock.sources());
    let lease = Lease { holder: &holder, until: world.now() + Duration::from_secs(60), after: None };
    let (deliveries, offer) = (world.deliveries(), offer());
    deliveries.claim(email_to("c-1"), push(number), &offer, policy, route, lease).await.unwrap()
}

/// As [`try_claim`], if it is granted.
pub(crate) async fn claim(world: &World, number: u32) -> Claim {
    let hash = address("asha@example.com");
    match try_claim(world, number, ResendPolicy::Unsent(hash), EMAIL_ONLY).await {
        ClaimResult::Granted(claim) => claim,
        refused => panic!("{refused:?}"),
    }
}

/// Starts or continues the scan of slice 0 of the first push.
pub(crate) async fn start_scan(world: &World, generation: u32) -> SliceScan {
    match world.pushes().start_scan(push(1), 0, generation).await.unwrap() {
        ScanStep::Continue(scan) => scan,
        other => panic!("{other:?}"),
    }
}

/// The outcome of an e-mail that was sent.
pub(crate) fn sent() -> FinalOutcome {
    FinalOutcome {
        outcome: Outcome::Sent,
        code: None,
        reason: None,
        provider_message_id: Some("m-1".to_owned()),
        address_hash: Some(address("asha@example.com")),
    }
}
