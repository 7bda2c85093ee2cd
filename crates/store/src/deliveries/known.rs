//! What is known of deliveries before they are claimed.

use std::collections::{HashMap, HashSet};

use domain::notification::{DeliveryState, Outcome, ReasonCode};
use domain::{AddressHash, CustomerId, PushId, TransportId};
use jiff::Timestamp;

use super::{Deliveries, DeliveryId, DeliveryItem, FinalDelivery, Held};
use crate::StoreError;
use crate::table::Consistency;

/// The last refusal of a delivery that did not make it final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRefusal {
    /// When it was.
    pub at: Timestamp,
    /// When the first one was at this address.
    pub since: Timestamp,
    /// How many there were in a row, of this kind, at this address, through this transport.
    pub count: u32,
    /// When the first of those was.
    pub alike_since: Timestamp,
    /// Why, for programs. `None` if a later release stored a code that is unknown here.
    pub code: Option<ReasonCode>,
    /// The same in words.
    pub reason: String,
    /// The transport that was tried.
    pub transport: Option<TransportId>,
    /// The hash of the address that was tried, as text.
    pub address_hash: String,
}

impl PastRefusal {
    /// Whether this address was tried.
    pub fn is_at(&self, address: &AddressHash) -> bool {
        address.is_stored_as(&self.address_hash)
    }
}

/// A delivery that was tried, and may be tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingDelivery {
    /// How often it was handed over without a response.
    pub unanswered: u32,
    /// The last refusal.
    pub refusal: Option<PastRefusal>,
}

/// What is known of some deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownDeliveries {
    /// Those that need no claim: they were sent, or this push made them final.
    pub finals: HashMap<CustomerId, FinalDelivery>,
    /// Those that were tried before.
    pub pending: HashMap<CustomerId, PendingDelivery>,
    /// Those that an invocation has claimed.
    pub held: HashMap<CustomerId, Held>,
    /// All others of which something is stored.
    pub others: HashSet<CustomerId>,
}

impl KnownDeliveries {
    /// Whether nothing is known of a customer's delivery: probably nothing is stored.
    pub fn has_none_of(&self, customer: &CustomerId) -> bool {
        let Self { finals, pending, held, others } = self;
        !(finals.contains_key(customer)
            || pending.contains_key(customer)
            || held.contains_key(customer)
            || others.contains(customer))
    }
}

impl DeliveryItem {
    /// Why it was not sent, or not yet. `None` if a later release stored a code that is unknown here.
    pub(super) fn reason_code(&self) -> Option<ReasonCode> {
        self.code.as_ref()?.parse().ok()
    }

    /// What there is to know of a delivery that has this outcome.
    pub(super) fn final_delivery(&self, outcome: Outcome) -> FinalDelivery {
        FinalDelivery { push: self.push, outcome, code: self.reason_code() }
    }

    /// The last refusal. The delivery may have been tried again since, without one.
    pub(super) fn past_refusal(&self) -> Option<PastRefusal> {
        Some(PastRefusal {
            at: self.refused_at?,
            since: self.refused_since?,
            count: self.refusals,
            // A release before this one did not store it.
            alike_since: self.refused_alike_since.or(self.refused_at)?,
            code: self.refused_code.as_ref().and_then(|code| code.parse().ok()),
            reason: self.refused_reason.clone().unwrap_or_default(),
            transport: self.refused_via.as_ref().and_then(|transport| transport.parse().ok()),
            address_hash: self.refused_address.clone()?,
        })
    }
}

impl Deliveries {
    /// What is known of these deliveries before they are claimed. The most recent changes may be missing; claiming
    /// returns them.
    pub async fn look_up(&self, push: PushId, ids: &[DeliveryId]) -> Result<KnownDeliveries, StoreError> {
        let keys = ids.iter().map(DeliveryId::key).collect();
        let items = self.table.get_many(keys, Consistency::Eventual).await?;
        let mut known = KnownDeliveries::default();
        for item in items {
            let id = item.get("sk").and_then(|sk| sk.as_s().ok()?.split_once('#')?.0.parse().ok());
            // An unreadable item must not stop the others. Claiming it reports the error.
            let Some((id, item)) = id.zip(self.table.read::<DeliveryItem>(item).ok()) else {
                continue;
            };
            match item.state.parse() {
                Ok(DeliveryState::Final(outcome)) if outcome == Outcome::Sent || item.push == push.number => {
                    known.finals.insert(id, item.final_delivery(outcome));
                }
                Ok(DeliveryState::Claimed) if let Some((by, until)) = item.held_by.clone().zip(item.held_until) => {
                    known.held.insert(id, Held { by, until });
                }
                Ok(DeliveryState::Retry) => {
                    let (refusal, unanswered) = (item.past_refusal(), item.unanswered);
                    known.pending.insert(id, PendingDelivery { unanswered, refusal });
                }
                _ => {
                    known.others.insert(id);
                }
            }
        }
        Ok(known)
    }
}
