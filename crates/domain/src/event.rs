//! The events that other services may subscribe to on the bus, each with a version and a JSON schema (`docs/events`).
//!
//! Events about offers and pushes hold counts and name no customer. Events about a customer have the bank's own id, and
//! no address. Fields are only ever added within a version.

use jiff::Timestamp;
use serde::Serialize;

use crate::channel::{Channel, Channels};
use crate::ids::{CustomerId, OfferId, PushId};
use crate::offer::{Announcement, Offer};
use crate::push::{OutcomeCounts, PushState};
use crate::wire_enum;

/// The source of every event.
pub const SOURCE: &str = "offercast";
/// The version of every event so far.
const VERSION: u32 = 1;

wire_enum! {
    /// What happened. The name is the event's `detail-type`.
    pub enum EventKind {
        /// An offer was stored.
        OfferCreated = "offer.created",
        /// Every notification of a push has its outcome.
        PushCompleted = "push.completed",
        /// A caller cancelled a push.
        PushCancelled = "push.cancelled",
    }
}

wire_enum! {
    /// What happened to a customer's subscription to a channel. The name is the event's `detail-type`.
    pub enum CustomerEventKind {
        /// The customer opted out.
        Unsubscribed = "customer.unsubscribed",
        /// The customer subscribed again.
        Resubscribed = "customer.resubscribed",
        /// The customer's address bounced, so that it gets no more messages.
        Bounced = "customer.bounced",
        /// The customer marked a message as spam.
        Complained = "customer.complained",
    }
}

impl EventKind {
    /// The events to publish for a push in this state, in order. The first push of an offer announces the offer as
    /// well.
    pub fn of(push: PushId, state: PushState) -> impl Iterator<Item = Self> {
        let created = (push.number == 1).then_some(Self::OfferCreated);
        let ended = match state {
            PushState::Scheduled | PushState::Running => None,
            PushState::Completed => Some(Self::PushCompleted),
            PushState::Cancelled => Some(Self::PushCancelled),
        };
        created.into_iter().chain(ended)
    }
}

/// The detail of an event, as subscribers read it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    version: u32,
    /// The same each time the event is published, so that a subscriber can ignore repetitions.
    id: String,
    offer: OfferDetail,
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<PushDetail>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct OfferDetail {
    id: OfferId,
    code: String,
    /// As the API returns it.
    #[serde(flatten)]
    announcement: Announcement,
    #[serde(skip_serializing_if = "Option::is_none")]
    eligibility: Option<String>,
    channels: Channels,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_from: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_until: Option<Timestamp>,
    created_at: Timestamp,
    created_by: String,
}

/// How a push ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PushDetail {
    /// From 1.
    pub number: u32,
    /// The caller's principal.
    pub requested_by: String,
    /// When the push was requested.
    pub requested_at: Timestamp,
    /// When the push started, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the last notification had its outcome, or the push was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The principal who cancelled the push.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled_by: Option<String>,
    /// The outcomes of its notifications at the time the event was published.
    pub counts: Counts,
}

/// Counts of notifications. `eligible` is the sum of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All notifications.
    pub eligible: u64,
    /// Notifications by outcome.
    #[serde(flatten)]
    pub outcomes: OutcomeCounts,
    /// Notifications without an outcome. Of a cancelled push, those that were in transit.
    pub pending: u64,
}

impl Event {
    /// An offer was stored.
    pub fn offer_created(offer: &Offer) -> Self {
        Self {
            version: VERSION,
            id: format!("{}/{}", offer.id, EventKind::OfferCreated),
            offer: offer.into(),
            push: None,
        }
    }

    /// A push has ended.
    pub fn push_ended(kind: EventKind, offer: &Offer, push: PushDetail) -> Self {
        Self {
            version: VERSION,
            id: format!("{}/{}/{kind}", offer.id, push.number),
            offer: offer.into(),
            push: Some(push),
        }
    }
}

/// What happened to a customer's subscription to a channel, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomerChange {
    pub kind: CustomerEventKind,
    pub customer: CustomerId,
    pub channel: Channel,
    /// The offer whose message it is about, if that is known.
    pub offer: Option<OfferId>,
    /// When it happened.
    pub at: Timestamp,
}

/// The detail of an event about a customer, as subscribers read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CustomerEvent {
    version: u32,
    id: String,
    customer: Reference<CustomerId>,
    channel: Channel,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer: Option<Reference<OfferId>>,
    at: Timestamp,
}

/// What an event refers to. An object, so that fields can be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Reference<I> {
    id: I,
}

impl CustomerEvent {
    /// The detail of a change, of which the kind is not a part. `id` is the same each time the event is published.
    pub fn new(id: &str, change: &CustomerChange) -> Self {
        let CustomerChange { kind: _, customer, channel, offer, at } = change.clone();
        let (customer, offer) = (Reference { id: customer }, offer.map(|id| Reference { id }));
        Self { version: VERSION, id: id.to_owned(), customer, channel, offer, at }
    }
}

impl From<&Offer> for OfferDetail {
    fn from(offer: &Offer) -> Self {
        Self {
            id: offer.id,
            code: offer.code.clone(),
            announcement: offer.announcement.clone(),
            eligibility: offer.eligibility.as_ref().map(|rule| rule.source().to_owned()),
            channels: offer.channels.clone(),
            valid_from: offer.valid_from,
            valid_until: offer.valid_until,
            created_at: offer.created_at,
            created_by: offer.created_by.clone(),
        }
    }
}
