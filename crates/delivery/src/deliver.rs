//! The steps of delivering a batch.
//!
//! 1. What must not be sent is concluded with its reason: offer over, customer or consent gone, text that cannot be
//!    written to her.
//! 2. A delivery is claimed before anything is sent, so that nobody else sends it.
//! 3. It is sent, several at a time, each with one attempt.
//! 4. Its outcome is recorded at once, under the claim.
//! 5. When every notification of the batch is final the batch is reported, once, with counts taken from the records.

use std::time::Duration;

use domain::notification::Outcome;
use domain::push::OutcomeCounts;
use domain::queue::Batch;
use domain::{Customer, CustomerId};
use futures::StreamExt;
use futures::stream;
use jiff::{SignedDuration, Timestamp};
use store::deliveries::{Claim, Claiming, DeliveryId, Ending, Recording, Release, address_hash};
use store::pushes::Report;
use store::{Customers, Deliveries, Pushes, StoreError};

use crate::transport::{Compose, SendError, Transport};

/// Sends of one batch at a time.
const CONCURRENCY: usize = 10;
/// A lease outlives the invocation that holds it by this much, so that clocks may differ a little.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(5);
/// Nothing is begun this close to the deadline: what is begun must be recorded.
const LAST_START: Duration = Duration::from_secs(15);
/// Handed over this often without an answer, a notification is not tried again.
const UNANSWERED_LIMIT: u32 = 2;

/// Delivers batches of one channel.
#[derive(Debug)]
pub struct Deliverer<C, T> {
    /// Where customers are read.
    pub customers: Customers,
    /// Where claims and outcomes stand.
    pub deliveries: Deliveries,
    /// Where batches report.
    pub pushes: Pushes,
    /// Writes the messages.
    pub composer: C,
    /// Carries them.
    pub transport: T,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// Every notification is final, and that is reported.
    Whole(OutcomeCounts),
    /// Some are not: the batch must come again.
    Partly {
        /// How many are not final.
        left: usize,
    },
}

/// Why a batch could not be delivered. It must come again.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The store is out of reach, or holds something unreadable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where one notification stands after an attempt.
enum Standing {
    Final(Tally),
    Open,
}

/// What a final record counts as.
enum Tally {
    ByThisPush(Outcome),
    ByEarlierPush,
}

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Brings every notification of a batch as far as it will go before `deadline`.
    ///
    /// # Errors
    /// If the store fails. What was sent until then is recorded; delivering the batch again is safe.
    pub async fn deliver(&self, batch: &Batch, deadline: Timestamp) -> Result<Delivered, DeliverError> {
        let found = self.customers.get_many(&batch.customers).await?;
        let standings: Vec<Result<Standing, StoreError>> = stream::iter(&batch.customers)
            .map(|id| self.notify(batch, id, found.get(id), deadline))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        let mut counts = OutcomeCounts::default();
        let mut left = 0;
        // Every notification had its turn before an error among them is told.
        for standing in standings {
            match standing? {
                Standing::Final(Tally::ByThisPush(outcome)) => counts.count(outcome),
                Standing::Final(Tally::ByEarlierPush) => counts.already_served += 1,
                Standing::Open => left += 1,
            }
        }
        if left > 0 {
            return Ok(Delivered::Partly { left });
        }
        self.pushes
            .report(&Report {
                push: batch.push,
                slice: batch.slice,
                generation: batch.generation,
                batch: batch.batch,
                counts,
            })
            .await?;
        Ok(Delivered::Whole(counts))
    }

    async fn notify(
        &self,
        batch: &Batch,
        id: &CustomerId,
        customer: Option<&Customer>,
        deadline: Timestamp,
    ) -> Result<Standing, StoreError> {
        if Timestamp::now() + LAST_START > deadline {
            return Ok(Standing::Open);
        }
        let id = DeliveryId { offer: batch.offer.id, customer: id.clone(), channel: batch.channel };
        let (message, address) = match self.message(batch, customer) {
            Ok(message) => message,
            Err(ending) => {
                let claiming = self.deliveries.conclude(&id, batch.push, &batch.offer, &ending).await?;
                return Ok(standing(batch, &claiming));
            }
        };
        match self.deliveries.claim(id, batch.push, &batch.offer, deadline + LEASE_MARGIN).await? {
            Claiming::Granted(claim) => self.send(&claim, &message, address).await,
            taken => Ok(standing(batch, &taken)),
        }
    }

    /// The message and its address, or why there is none.
    fn message<'c>(&self, batch: &Batch, customer: Option<&'c Customer>) -> Result<(C::Message, &'c str), Ending> {
        if batch.offer.is_over(Timestamp::now()) {
            return Err(Ending::unsent(Outcome::Expired, "the offer's validUntil has passed"));
        }
        let Some(customer) = customer else {
            return Err(Ending::unsent(Outcome::OptedOut, "the customer is gone"));
        };
        let address = self
            .composer
            .address(customer)
            .filter(|_| customer.reachable_by(batch.channel))
            .ok_or_else(|| Ending::unsent(Outcome::OptedOut, "the customer's consent or address is gone"))?;
        let message =
            self.composer.compose(&batch.offer, customer).map_err(|reason| Ending::unsent(Outcome::Failed, reason))?;
        Ok((message, address))
    }

    async fn send(&self, claim: &Claim, message: &C::Message, address: &str) -> Result<Standing, StoreError> {
        let began = Timestamp::now();
        let sent = self.transport.send(message).await;
        let duration_ms = Timestamp::now().duration_since(began).as_millis();
        let (state, recording) = match &sent {
            Ok(accepted) => {
                let ending = Ending {
                    outcome: Outcome::Sent,
                    reason: None,
                    provider_message_id: Some(accepted.message_id.clone()),
                    address_hash: Some(address_hash(claim.id.channel, address)),
                };
                (Some(ending.outcome), self.deliveries.record(claim, &ending).await?)
            }
            Err(SendError::Rejected(reason)) => {
                let ending = Ending {
                    address_hash: Some(address_hash(claim.id.channel, address)),
                    ..Ending::unsent(Outcome::Failed, reason)
                };
                (Some(ending.outcome), self.deliveries.record(claim, &ending).await?)
            }
            Err(SendError::Unanswered(reason)) if claim.unanswered + 1 >= UNANSWERED_LIMIT => {
                let ending = Ending::unsent(Outcome::Failed, format!("the answer was lost again: {reason}"));
                (Some(ending.outcome), self.deliveries.record(claim, &ending).await?)
            }
            Err(SendError::Unanswered(reason)) => {
                (None, self.deliveries.release(claim, reason, Release::Unanswered).await?)
            }
            Err(SendError::Unavailable(reason)) => {
                (None, self.deliveries.release(claim, reason, Release::Unsent).await?)
            }
        };
        let DeliveryId { offer, customer, channel } = &claim.id;
        match (&sent, recording) {
            (_, Recording::LeaseLost) => tracing::warn!(
                offer.id = %offer, customer.id = %customer, %channel, duration_ms,
                "the lease ended while sending; whoever holds it now may send once more"
            ),
            (Ok(_), _) => tracing::debug!(
                offer.id = %offer, customer.id = %customer, %channel, delivery.state = "sent", duration_ms, "sent"
            ),
            (Err(error), _) => tracing::warn!(
                offer.id = %offer, customer.id = %customer, %channel,
                delivery.state = state.map_or("retry", Outcome::as_str), duration_ms, error = %error, "not sent"
            ),
        }
        Ok(match (state, recording) {
            (Some(outcome), Recording::Recorded) => Standing::Final(Tally::ByThisPush(outcome)),
            _ => Standing::Open,
        })
    }
}

fn standing(batch: &Batch, claiming: &Claiming) -> Standing {
    match claiming {
        Claiming::Final { push, outcome } if *push == batch.push.number => Standing::Final(Tally::ByThisPush(*outcome)),
        Claiming::Final { .. } => Standing::Final(Tally::ByEarlierPush),
        Claiming::Leased { .. } | Claiming::Granted(_) => Standing::Open,
    }
}
