//! What delays the sends of a transport, for those who watch a push.

use domain::TransportId;
use domain::push::waiting::Delay;

use super::{LimitsItem, TransportLimits};
use crate::StoreError;

impl TransportLimits {
    /// What delays the sends of a transport, if anything. Changes nothing.
    pub async fn delay(&self, transport: TransportId) -> Result<Option<Delay>, StoreError> {
        let Some(LimitsItem { blocked_until, next_send, last_error, .. }) = self.get(transport).await? else {
            return Ok(None);
        };
        if let Some(blocked_until) = blocked_until {
            return Ok(Some(Delay::Outage { last_error, blocked_until }));
        }
        let is_used_up = next_send.is_some_and(|next| next > self.table.sources().precise_now().as_microsecond());
        Ok(is_used_up.then_some(Delay::Rate))
    }
}
