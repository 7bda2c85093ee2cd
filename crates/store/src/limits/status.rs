//! What delays the sends of a transport, for those who watch a push.

use domain::push::waiting::Delay;
use domain::{PushId, TransportId};

use super::{LimitsItem, Scope, TransportLimits};
use crate::StoreError;

impl TransportLimits {
    /// What delays the sends of a push through a transport, if anything: an outage of the transport, or a hold of the
    /// push, which is an outage for it alone. Changes nothing. Makes up to two calls.
    pub async fn delay(&self, push: PushId, transport: TransportId) -> Result<Option<Delay>, StoreError> {
        let of_transport = self.get(transport).await?.unwrap_or_default();
        if let Some(outage) = of_transport.outage() {
            return Ok(Some(outage));
        }
        let of_push = self.get(Scope::Push(push, transport)).await?.unwrap_or_default();
        if let Some(hold) = of_push.outage() {
            return Ok(Some(hold));
        }
        let now = self.table.sources().precise_now().as_microsecond();
        Ok(of_transport.line.is_rate_used_up(now).then_some(Delay::Rate))
    }
}

impl LimitsItem {
    fn outage(&self) -> Option<Delay> {
        let blocked_until = self.blocked_until?;
        Some(Delay::Outage { last_error: self.last_error.clone(), blocked_until })
    }
}
