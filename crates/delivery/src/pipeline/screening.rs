//! Screening: which customers must not be sent the message, and why.

use std::collections::HashMap;

use domain::notification::Outcome;
use domain::push::PushState;
use domain::queue::Batch;
use domain::{AddressHash, CustomerId, PushId};
use store::StoreError;
use store::customers::CustomerLookup;
use store::deliveries::FinalOutcome;
use store::suppressions::Reason;

use super::deliverer::Deliverer;
use crate::compose::Compose;
use crate::transport::Transport;

/// The customers of a batch and the suppressions of their addresses, as read.
pub(super) struct Recipients {
    found: CustomerLookup,
    suppressed: HashMap<CustomerId, Reason>,
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

    /// Composes the customer's message and returns it with the address, or returns the outcome without sending.
    pub(super) fn screen<'c>(
        &self,
        batch: &Batch,
        push_is_cancelled: bool,
        id: &CustomerId,
        Recipients { found, suppressed }: &'c Recipients,
    ) -> Result<(C::Message, &'c str), FinalOutcome> {
        if push_is_cancelled {
            return Err(FinalOutcome::unsent(Outcome::Cancelled, "the push was cancelled"));
        }
        if batch.offer.has_expired(self.sources.now()) {
            return Err(FinalOutcome::unsent(Outcome::Expired, "the offer has expired"));
        }
        if found.unreadable.contains(id) {
            return Err(FinalOutcome::unsent(Outcome::Failed, "the customer's record cannot be read"));
        }
        let Some(customer) = found.customers.get(id) else {
            return Err(FinalOutcome::unsent(Outcome::OptedOut, "the customer no longer exists"));
        };
        let address =
            self.composer.address(customer).filter(|_| customer.reachable_by(batch.channel)).ok_or_else(|| {
                FinalOutcome::unsent(Outcome::OptedOut, "the customer's consent or address was removed")
            })?;
        match suppressed.get(id) {
            None => {}
            Some(Reason::OptedOut) => return Err(FinalOutcome::unsent(Outcome::OptedOut, "the customer unsubscribed")),
            Some(Reason::Bounced) => return Err(FinalOutcome::unsent(Outcome::Suppressed, "the address bounced")),
            Some(Reason::Complained) => {
                return Err(FinalOutcome::unsent(Outcome::Suppressed, "a complaint came from the address"));
            }
        }
        let message = self
            .composer
            .compose(&batch.offer, customer)
            .map_err(|reason| FinalOutcome::unsent(Outcome::Failed, reason))?;
        Ok((message, address))
    }
}
