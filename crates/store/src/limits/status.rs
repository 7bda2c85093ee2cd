//! What delays the sends of a transport, for those who watch a push.

use domain::TransportId;
use domain::push::waiting::Delay;

use super::{LimitsItem, TransportLimits, truncate_reason};
use crate::StoreError;
use crate::attributes::{millis, text};
use crate::table::never_own;

impl TransportLimits {
    /// What delays the sends of a transport, if anything. Changes nothing.
    pub async fn delay(&self, transport: TransportId) -> Result<Option<Delay>, StoreError> {
        let Some(LimitsItem { blocked_until, next_send, last_error, refused_at, .. }) = self.get(transport).await?
        else {
            return Ok(None);
        };
        if blocked_until.is_some() {
            return Ok(Some(Delay::Outage { last_error }));
        }
        if next_send.is_some_and(|next| next > self.table.sources().precise_now().as_microsecond()) {
            return Ok(Some(Delay::Rate));
        }
        Ok(refused_at.map(|at| Delay::Refusals { at, last_error }))
    }

    /// Records that a transport is available, but did not accept some messages for now.
    pub async fn record_refusal(&self, transport: TransportId, reason: &str) -> Result<(), StoreError> {
        let update = self
            .update(transport)
            .update_expression("SET refusedAt = :now, lastError = :reason")
            .expression_attribute_values(":now", millis(self.table.now()))
            .expression_attribute_values(":reason", text(truncate_reason(reason)));
        self.table.write_if(update, never_own::<LimitsItem>).await.map(|_| ())
    }
}
