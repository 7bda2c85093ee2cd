//! Requests for pushes. Each is stored before its push starts.

use domain::{OfferId, PushId, TraceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{BY_TIME, Offers, sortable, sortable_time, to_item};
use crate::StoreError;
use crate::attributes::{Item, key, millis_serde, text};
use crate::table::Attempts;

/// The value of `kind` for requests, the partition key of the index.
const PUSH_KIND: &str = "push";
const PUSH_PREFIX: &str = "push#";

/// A request for a push: who made it, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRequest {
    /// The push: the offer and the push's number.
    pub push: PushId,
    /// The caller's principal.
    pub requested_by: String,
    /// When it was made.
    pub requested_at: Timestamp,
    /// Whether to try customers again whose address an earlier push found rejected.
    pub retry_rejected: bool,
    /// The number of the offer's deliveries that were counted as sent but are no longer stored, when a caller last
    /// accepted that they may be sent again. They are not found to be missing another time.
    pub lost_deliveries: u64,
    /// Connects the log lines of this push.
    pub trace: Option<TraceId>,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PushRequestItem {
    pk: OfferId,
    sk: String,
    kind: String,
    at: String,
    requested_by: String,
    #[serde(with = "millis_serde")]
    requested_at: Timestamp,
    #[serde(default)]
    retry_rejected: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    lost_deliveries: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<TraceId>,
}

impl From<&PushRequest> for PushRequestItem {
    fn from(request: &PushRequest) -> Self {
        Self {
            pk: request.push.offer,
            sk: push_sk(request.push.number),
            kind: PUSH_KIND.to_owned(),
            at: sortable(request.requested_at, request.push.offer),
            requested_by: request.requested_by.clone(),
            requested_at: request.requested_at,
            retry_rejected: request.retry_rejected,
            lost_deliveries: request.lost_deliveries,
            trace: request.trace,
        }
    }
}

impl Offers {
    /// The request for a push.
    pub async fn push_request(&self, push: PushId) -> Result<Option<PushRequest>, StoreError> {
        let Some(item) = self.table.get(key(push.offer, push_sk(push.number))).await? else {
            return Ok(None);
        };
        let item: PushRequestItem = self.table.read(item)?;
        Ok(Some(PushRequest {
            push,
            requested_by: item.requested_by,
            requested_at: item.requested_at,
            retry_rejected: item.retry_rejected,
            lost_deliveries: item.lost_deliveries,
            trace: item.trace,
        }))
    }

    /// The number of the last push that was requested for an offer; `None` if there is no such offer.
    pub async fn last_push_number(&self, offer: OfferId) -> Result<Option<u32>, StoreError> {
        let query = self
            .table
            .query()
            .consistent_read(true)
            .key_condition_expression("pk = :pk AND begins_with(sk, :push)")
            .expression_attribute_values(":pk", text(offer))
            .expression_attribute_values(":push", text(PUSH_PREFIX))
            .scan_index_forward(false)
            .limit(1);
        let page = self.table.query_page(query).await?;
        let last = page.items.unwrap_or_default().into_iter().next();
        let push = last.and_then(|item| push_of_key(&offer.to_string(), item.get("sk")?.as_s().ok()?));
        Ok(push.map(|push| push.number))
    }

    /// Stores a request for another push. Returns whether it was stored: not if the number is taken.
    pub async fn request_push(&self, request: &PushRequest) -> Result<bool, StoreError> {
        let put =
            self.table.put(to_item(PushRequestItem::from(request))).condition_expression("attribute_not_exists(pk)");
        let is_own = |item: &PushRequestItem, _: &Attempts| *item == PushRequestItem::from(request);
        Ok(self.table.put_if(put, is_own).await?.is_done())
    }

    /// The pushes that were requested between two times, oldest first. The most recent ones may be missing.
    pub async fn requested_between(&self, from: Timestamp, to: Timestamp) -> Result<Vec<PushId>, StoreError> {
        let query = self
            .table
            .query()
            .index_name(BY_TIME)
            .key_condition_expression("kind = :kind AND #at BETWEEN :from AND :to")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":kind", text(PUSH_KIND))
            .expression_attribute_values(":from", text(sortable_time(from)))
            .expression_attribute_values(":to", text(sortable_time(to)));
        let mut pushes = Vec::new();
        let each = |item: Item| {
            let part = |name: &str| item.get(name).and_then(|part| part.as_s().ok());
            pushes.extend(part("pk").zip(part("sk")).and_then(|(pk, sk)| push_of_key(pk, sk)));
            Ok(())
        };
        self.table.query_each(query, each).await?;
        Ok(pushes)
    }
}

/// The push that the item with this key requests; `None` for the other items of the table.
pub fn push_of_key(pk: &str, sk: &str) -> Option<PushId> {
    Some(PushId { offer: pk.parse().ok()?, number: sk.strip_prefix(PUSH_PREFIX)?.parse().ok()? })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn push_sk(number: u32) -> String {
    format!("{PUSH_PREFIX}{number:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_record_key_names_its_push() {
        let offer: OfferId = "01980000-0000-7000-8000-000000000001".parse().unwrap();
        let push = push_of_key(&offer.to_string(), "push#0012").unwrap();
        assert_eq!((push.offer, push.number), (offer, 12));
        assert_eq!(push_of_key(&offer.to_string(), "offer"), None);
        assert_eq!(push_of_key("idempotency#1", "push#0001"), None);
    }

    #[test]
    fn times_are_stored_as_milliseconds() {
        let at: Timestamp = "2026-01-01T00:00:00.123Z".parse().unwrap();
        let push = PushId { offer: "01980000-0000-7000-8000-000000000001".parse().unwrap(), number: 1 };
        let request = PushRequest {
            push,
            requested_by: "b".into(),
            requested_at: at,
            retry_rejected: false,
            lost_deliveries: 0,
            trace: None,
        };
        let item = to_item(PushRequestItem::from(&request));
        assert_eq!(item["requestedAt"], crate::attributes::millis(at));
        assert_eq!(item["at"], text(format!("2026-01-01T00:00:00.123Z#{}", push.offer)));
        assert!(sortable_time(at) < sortable_time("2026-01-01T00:00:00.2Z".parse().unwrap()));
    }
}
