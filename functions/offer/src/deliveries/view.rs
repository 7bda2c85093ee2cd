//! Deliveries as callers read them.

use domain::notification::ReasonCode;
use domain::{Channel, CustomerId, OfferId};
use jiff::Timestamp;
use serde::Serialize;
use store::deliveries::{Delivery, Feedback};
use store::history::OfferDelivery;

/// A delivery as callers read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryView {
    customer: CustomerId,
    channel: Channel,
    state: &'static str,
    push: u32,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason_code: Option<ReasonCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_message_id: Option<String>,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    feedback: Option<FeedbackView>,
}

/// What the provider reported after it had accepted the message.
#[derive(Serialize)]
struct FeedbackView {
    kind: &'static str,
    detail: String,
    at: Timestamp,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        Self {
            customer: delivery.customer,
            channel: delivery.channel,
            state: delivery.state.as_str(),
            push: delivery.push,
            attempts: delivery.attempts,
            reason_code: delivery.code,
            reason: delivery.reason,
            provider_message_id: delivery.provider_message_id,
            updated_at: delivery.updated_at,
            feedback: delivery.feedback.map(|Feedback { kind, detail, at }| FeedbackView {
                kind: kind.as_str(),
                detail,
                at,
            }),
        }
    }
}

/// A delivery in a list of several offers' deliveries.
#[derive(Serialize)]
pub(super) struct OfferDeliveryView {
    offer: OfferRef,
    #[serde(flatten)]
    delivery: DeliveryView,
}

/// The offer that a delivery announces.
#[derive(Serialize)]
struct OfferRef {
    id: OfferId,
    code: String,
}

impl From<OfferDelivery> for OfferDeliveryView {
    fn from(OfferDelivery { offer, delivery }: OfferDelivery) -> Self {
        Self { offer: OfferRef { id: offer.id, code: offer.code }, delivery: delivery.into() }
    }
}

#[derive(Serialize)]
pub(super) struct DeliveriesView<T> {
    pub(super) deliveries: Vec<T>,
    pub(super) cursor: Option<String>,
}
