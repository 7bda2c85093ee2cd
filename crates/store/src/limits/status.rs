//! What delays the sends of a transport, for those who watch a push.

use domain::push::waiting::Delay;
use domain::{PushId, TransportId};
use jiff::Timestamp;

use super::{LimitsItem, Scope, TransportLimits};
use crate::StoreError;

/// A transport whose circuit breaker is open or half open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// When the first block began.
    pub since: Timestamp,
    /// The end of the last block. From then on, the first batch that comes probes the transport.
    pub next_probe: Timestamp,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

impl TransportLimits {
    /// The outage of a transport, if it has one. Changes nothing. Makes one call.
    pub async fn outage(&self, transport: TransportId) -> Result<Option<Outage>, StoreError> {
        let item = self.get(transport).await?.unwrap_or_default();
        let since = item.since();
        Ok(item.blocked_until.map(|next_probe| Outage {
            since: since.unwrap_or(next_probe),
            next_probe,
            last_error: item.last_error,
        }))
    }

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
