//! Claiming a delivery: the right to send one notification.

use domain::{AddressHash, CustomerId};
use jiff::SignedDuration;
use store::StoreError;
use store::deliveries::{ClaimResult, FirstClaim, Lease, ResendPolicy, Route};

use super::deliverer::Deliverer;
use super::delivery_id;
use super::heartbeat::Heartbeat;
use super::round::Round;
use crate::compose::Compose;
use crate::transport::Transport;

/// A lease ends this long after the deadline of its holder, so that clocks may differ a little.
const LEASE_MARGIN: SignedDuration = SignedDuration::from_secs(5);

impl<C, T> Deliverer<C, T>
where
    C: Compose,
    T: Transport<Message = C::Message>,
{
    /// Claims the delivery to a customer at this address: together with others if it is new, as far as is known.
    pub(super) async fn claim(
        &self,
        round: &Round<'_, C, T>,
        id: &CustomerId,
        address_hash: AddressHash,
    ) -> Result<ClaimResult, StoreError> {
        let Round { batch, deadline, selected, .. } = *round;
        let policy =
            if batch.retry_rejected { ResendPolicy::UnsentAndRejected } else { ResendPolicy::Unsent(address_hash) };
        let route = Route { transport: selected.id, other: selected.other };
        let (push, offer, until) = (batch.push, &batch.offer, deadline + LEASE_MARGIN);
        let Heartbeat { holder, .. } = &round.heartbeat;
        if round.known.has_none_of(id) {
            let (id, holder) = (delivery_id(batch, id), holder.clone());
            let claim = FirstClaim { id, push, offer, policy, route, holder, until };
            round.claims.ask(claim, async |claims| self.deliveries.claim_first(claims).await).await
        } else {
            let lease = Lease { holder, until, after: round.ended_holder(id) };
            self.deliveries.claim(delivery_id(batch, id), push, offer, policy, route, lease).await
        }
    }
}
