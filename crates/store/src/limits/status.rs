//! What a transport makes its senders wait for.

use domain::TransportId;
use domain::clock::now;
use domain::push::waiting::Delay;
use jiff::Timestamp;

use super::{LimitsItem, TransportLimits, kept};
use crate::StoreError;
use crate::attributes::{millis, text};

impl TransportLimits {
    /// What a transport makes its senders wait for, if anything. Changes nothing.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn delay(&self, transport: TransportId) -> Result<Option<Delay>, StoreError> {
        let Some(LimitsItem { blocked_until, next_send, last_error, refused_at, .. }) = self.get(transport).await?
        else {
            return Ok(None);
        };
        if blocked_until.is_some() {
            return Ok(Some(Delay::Outage { last_error }));
        }
        if next_send.is_some_and(|next| next > Timestamp::now().as_microsecond()) {
            return Ok(Some(Delay::Rate));
        }
        Ok(refused_at.map(|at| Delay::Refusals { at, last_error }))
    }

    /// Notes that a transport, though within reach, did not take some messages for now.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn record_refusal(&self, transport: TransportId, reason: &str) -> Result<(), StoreError> {
        let call = self
            .update(transport)
            .update_expression("SET refusedAt = :now, lastError = :reason")
            .expression_attribute_values(":now", millis(now()))
            .expression_attribute_values(":reason", text(kept(reason)));
        self.write(call).await.map(|_| ())
    }
}
