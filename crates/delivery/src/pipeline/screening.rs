//! Screening: which customers must not be sent the message, and why.

use std::collections::HashMap;

use domain::notification::{Outcome, ReasonCode};
use domain::push::PushState;
use domain::queue::Batch;
use domain::{AddressHash, Customer, CustomerId, PushId};
use jiff::Timestamp;
use store::StoreError;
use store::customers::CustomerLookup;
use store::deliveries::FinalOutcome;
use store::suppressions::Reason;

use super::deliverer::Deliverer;
use crate::compose::Compose;
use crate::transport::Transport;

/// The customers of a batch and the suppressions of their addresses, as read.
#[derive(Default)]
pub(super) struct Recipients {
    found: CustomerLookup,
    suppressed: HashMap<CustomerId, Reason>,
}

/// Returns a customer who may be sent the message at `now`, or the outcome without sending. `address` returns the
/// customer's address on the batch's channel.
pub(super) fn screen<'r>(
    batch: &Batch,
    push_is_cancelled: bool,
    now: Timestamp,
    id: &CustomerId,
    Recipients { found, suppressed }: &'r Recipients,
    address: impl Fn(&'r Customer) -> Option<&'r str>,
) -> Result<(&'r Customer, &'r str), FinalOutcome> {
    if push_is_cancelled {
        return Err(FinalOutcome::unsent(Outcome::Cancelled, ReasonCode::PushCancelled, "the push was cancelled"));
    }
    if batch.offer.has_expired(now) {
        return Err(FinalOutcome::unsent(Outcome::Expired, ReasonCode::OfferExpired, "the offer has expired"));
    }
    if found.unreadable.contains(id) {
        return Err(FinalOutcome::unsent(
            Outcome::Failed,
            ReasonCode::CustomerUnreadable,
            "the customer's record cannot be read",
        ));
    }
    let Some(customer) = found.customers.get(id) else {
        return Err(FinalOutcome::unsent(
            Outcome::OptedOut,
            ReasonCode::CustomerDeleted,
            "the customer no longer exists",
        ));
    };
    let Some(address) = address(customer).filter(|_| customer.reachable_by(batch.channel)) else {
        return Err(FinalOutcome::unsent(
            Outcome::OptedOut,
            ReasonCode::NotReachable,
            "the customer's consent or address was removed",
        ));
    };
    match suppressed.get(id) {
        None => Ok((customer, address)),
        Some(Reason::OptedOut) => {
            Err(FinalOutcome::unsent(Outcome::OptedOut, ReasonCode::OptedOut, "the customer unsubscribed"))
        }
        Some(Reason::Bounced) => {
            Err(FinalOutcome::unsent(Outcome::Suppressed, ReasonCode::AddressBounced, "the address bounced"))
        }
        Some(Reason::Complained) => Err(FinalOutcome::unsent(
            Outcome::Suppressed,
            ReasonCode::AddressComplained,
            "a complaint came from the address",
        )),
    }
}

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    pub(super) async fn read_recipients(&self, batch: &Batch, ids: &[CustomerId]) -> Result<Recipients, StoreError> {
        let found = self.customers.get_many(ids).await?;
        let address = |customer| Some(AddressHash::of(batch.channel, self.composer.address(customer)?));
        let reachable: Vec<_> =
            found.customers.iter().filter_map(|(id, customer)| Some((id.clone(), address(customer)?))).collect();
        let suppressed = self.suppressions.lookup(batch.channel, &reachable).await?;
        Ok(Recipients { found, suppressed })
    }

    pub(super) async fn is_cancelled(&self, push: PushId) -> Result<bool, StoreError> {
        Ok(self.pushes.get(push).await?.is_some_and(|push| push.state == PushState::Cancelled))
    }

    /// Screens a customer and composes the message. Returns it with the address, or the outcome without sending.
    pub(super) fn compose<'r>(
        &self,
        batch: &Batch,
        keys: &C::Keys,
        push_is_cancelled: bool,
        id: &CustomerId,
        recipients: &'r Recipients,
    ) -> Result<(C::Message, &'r str), FinalOutcome> {
        let address = |customer: &'r Customer| self.composer.address(customer);
        let (customer, address) = screen(batch, push_is_cancelled, self.sources.now(), id, recipients, address)?;
        match self.composer.compose(keys, &batch.offer, customer) {
            Ok(message) => Ok((message, address)),
            Err(reason) => Err(FinalOutcome::unsent(Outcome::Failed, ReasonCode::NotComposable, reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::{Value, json};

    use super::*;

    const ADDRESS: &str = "asha@example.com";

    fn batch() -> Batch {
        let batch = json!({
            "push": {"offer": "01980000-0000-7000-8000-000000000001", "number": 1},
            "offer": {
                "id": "01980000-0000-7000-8000-000000000001", "code": "A", "description": "B", "subject": "C",
                "channels": ["email"], "createdAt": "2026-06-01T12:00:00Z", "createdBy": "bank",
                "validUntil": "2026-06-02T12:00:00Z"
            },
            "slice": 0, "generation": 1, "batch": 0, "channel": "email", "customers": ["c-1"],
        });
        serde_json::from_value(batch).unwrap()
    }

    /// A customer with consent to these channels.
    fn customer(channels: Value) -> Recipients {
        let body = json!({"name": "Asha", "email": ADDRESS, "channels": channels});
        let customer = Customer::parse("c-1", body).unwrap();
        let customers = HashMap::from([(customer.id.clone(), customer)]);
        let found = CustomerLookup { customers, unreadable: HashSet::new() };
        Recipients { found, suppressed: HashMap::new() }
    }

    fn suppressed(reason: Reason) -> Recipients {
        let mut recipients = customer(json!(["email"]));
        recipients.suppressed.insert("c-1".parse().unwrap(), reason);
        recipients
    }

    fn unreadable() -> Recipients {
        let mut recipients = Recipients::default();
        recipients.found.unreadable.insert("c-1".parse().unwrap());
        recipients
    }

    /// The first reason that applies is recorded, in the order of the table.
    #[test]
    fn each_reason_not_to_send_has_its_outcome() {
        let (before, after) = ("2026-06-02T11:59:59.999Z", "2026-06-02T12:00:00Z");
        let all = json!(["email", "sms"]);
        for (cancelled, now, recipients, has_address, expected) in [
            (false, before, customer(all.clone()), true, None),
            (
                true,
                after,
                unreadable(),
                true,
                Some((Outcome::Cancelled, ReasonCode::PushCancelled, "the push was cancelled")),
            ),
            (
                false,
                after,
                unreadable(),
                true,
                Some((Outcome::Expired, ReasonCode::OfferExpired, "the offer has expired")),
            ),
            (
                false,
                before,
                unreadable(),
                true,
                Some((Outcome::Failed, ReasonCode::CustomerUnreadable, "the customer's record cannot be read")),
            ),
            (
                false,
                before,
                Recipients::default(),
                true,
                Some((Outcome::OptedOut, ReasonCode::CustomerDeleted, "the customer no longer exists")),
            ),
            (
                false,
                before,
                customer(all),
                false,
                Some((Outcome::OptedOut, ReasonCode::NotReachable, "the customer's consent or address was removed")),
            ),
            (
                false,
                before,
                customer(json!(["sms"])),
                true,
                Some((Outcome::OptedOut, ReasonCode::NotReachable, "the customer's consent or address was removed")),
            ),
            (
                false,
                before,
                suppressed(Reason::OptedOut),
                true,
                Some((Outcome::OptedOut, ReasonCode::OptedOut, "the customer unsubscribed")),
            ),
            (
                false,
                before,
                suppressed(Reason::Bounced),
                true,
                Some((Outcome::Suppressed, ReasonCode::AddressBounced, "the address bounced")),
            ),
            (
                false,
                before,
                suppressed(Reason::Complained),
                true,
                Some((Outcome::Suppressed, ReasonCode::AddressComplained, "a complaint came from the address")),
            ),
        ] {
            let id = "c-1".parse().unwrap();
            let address = |_| has_address.then_some(ADDRESS);
            let screened = screen(&batch(), cancelled, now.parse().unwrap(), &id, &recipients, address);
            match expected {
                None => assert_eq!(screened.unwrap().1, ADDRESS),
                Some((outcome, code, reason)) => {
                    assert_eq!(screened.unwrap_err(), FinalOutcome::unsent(outcome, code, reason));
                }
            }
        }
    }
}
