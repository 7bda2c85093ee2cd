//! Screening: which customers must not be sent the message, and why.

use std::collections::HashMap;

use domain::notification::ReasonCode;
use domain::queue::Batch;
use domain::{AddressHash, Customer, CustomerId};
use jiff::Timestamp;
use store::StoreError;
use store::customers::CustomerLookup;
use store::deliveries::FinalOutcome;
use store::suppressions::{Reason, Recipient};

use super::checked::CheckedBatch;
use super::deliverer::Deliverer;
use crate::compose::Compose;
use crate::transport::Transport;

/// The customers of a batch, the hashes of their addresses, and why they must not be sent anything, as read.
#[derive(Default)]
pub(super) struct Recipients {
    found: CustomerLookup,
    hashes: HashMap<CustomerId, AddressHash>,
    suppressed: HashMap<CustomerId, Reason>,
}

/// Returns a customer who may be sent the message at `now`, with the hash of the address; or the outcome without sending.
pub(super) fn screen<'r>(
    batch: &CheckedBatch,
    push_is_cancelled: bool,
    now: Timestamp,
    id: &CustomerId,
    Recipients { found, hashes, suppressed }: &'r Recipients,
) -> Result<(&'r Customer, AddressHash), FinalOutcome> {
    let unsent = |code: ReasonCode| Err(FinalOutcome::unsent(code, code.in_words()));
    if push_is_cancelled {
        return unsent(ReasonCode::PushCancelled);
    }
    if batch.offer.has_expired(now) {
        return unsent(ReasonCode::OfferExpired);
    }
    if found.unreadable.contains(id) {
        return unsent(ReasonCode::CustomerUnreadable);
    }
    let Some(customer) = found.customers.get(id) else {
        return unsent(ReasonCode::CustomerDeleted);
    };
    // A customer without an address has no hash.
    let Some(hash) = hashes.get(id).filter(|_| customer.reachable_by(batch.channel)) else {
        return unsent(ReasonCode::NotReachable);
    };
    match suppressed.get(id) {
        None => Ok((customer, *hash)),
        Some(Reason::OptedOut) => unsent(ReasonCode::OptedOut),
        Some(Reason::Bounced) => unsent(ReasonCode::AddressBounced),
        Some(Reason::Complained) => unsent(ReasonCode::AddressComplained),
    }
}

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    pub(super) async fn read_recipients(&self, batch: &Batch, ids: &[CustomerId]) -> Result<Recipients, StoreError> {
        let hash_key = self.hash_keys.get().await?;
        let found = self.customers.get_many(ids).await?;
        let (reachable, recipients): (Vec<_>, Vec<_>) = found
            .customers
            .values()
            .filter_map(|customer| {
                let address = hash_key.address(batch.channel, self.composer.address(customer)?);
                let recipient = Recipient { customer: hash_key.customer(batch.channel, &customer.id), address };
                Some((customer.id.clone(), recipient))
            })
            .unzip();
        let reasons = self.suppressions.lookup(&recipients).await?;
        let suppressed = reachable.iter().zip(reasons).filter_map(|(id, reason)| Some((id.clone(), reason?))).collect();
        let hashes = reachable.into_iter().zip(recipients).map(|(id, recipient)| (id, recipient.address)).collect();
        Ok(Recipients { found, hashes, suppressed })
    }

    /// Screens a customer and composes the message. Returns it with the hash of the address, or the outcome without
    /// sending.
    pub(super) fn compose(
        &self,
        batch: &CheckedBatch,
        keys: &C::Keys,
        push_is_cancelled: bool,
        id: &CustomerId,
        recipients: &Recipients,
    ) -> Result<(C::Message, AddressHash), FinalOutcome> {
        let (customer, hash) = screen(batch, push_is_cancelled, self.sources.now(), id, recipients)?;
        match self.composer.compose(keys, &batch.offer, customer, &hash) {
            Ok(message) => Ok((message, hash)),
            Err(reason) => Err(FinalOutcome::unsent(ReasonCode::NotComposable, reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use domain::Channel;
    use domain::notification::Outcome;
    use serde_json::{Value, json};

    use super::super::checked::tests::{pushed, queued};
    use super::*;

    const ADDRESS: &str = "asha@example.com";

    fn batch() -> CheckedBatch {
        let offer = json!({"code": "A", "description": "B", "validUntil": "2026-06-02T12:00:00Z"});
        let pushed = pushed(testing::offer(offer));
        CheckedBatch::new(&queued(json!({})), Channel::Email, Some(pushed)).unwrap()
    }

    /// A customer with consent to these channels.
    fn customer(channels: Value) -> Recipients {
        let body = json!({"name": "Asha", "email": ADDRESS, "channels": channels});
        let customer = Customer::parse("c-1", body).unwrap();
        let customers = HashMap::from([(customer.id.clone(), customer)]);
        let found = CustomerLookup { customers, unreadable: HashSet::new() };
        let hashes = HashMap::from([("c-1".parse().unwrap(), testing::address_hash(Channel::Email, ADDRESS))]);
        Recipients { found, hashes, suppressed: HashMap::new() }
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
            let hashes = if has_address { recipients.hashes } else { HashMap::new() };
            let recipients = Recipients { hashes, ..recipients };
            let screened = screen(&batch(), cancelled, now.parse().unwrap(), &id, &recipients);
            match expected {
                None => assert_eq!(screened.unwrap().1, testing::address_hash(Channel::Email, ADDRESS)),
                Some((outcome, code, reason)) => {
                    assert_eq!(screened.unwrap_err(), FinalOutcome { outcome, ..FinalOutcome::unsent(code, reason) });
                }
            }
        }
    }
}
