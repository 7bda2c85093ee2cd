//! Test messages of previews: how many there were on a day, and who sent which.
//!
//! Their items begin with `tests#` and the day, so that a role can be limited to them. They are no offers: no index has
//! them, and nothing on the stream reads them.

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem, Update};
use domain::Channel;
use jiff::{SignedDuration, Timestamp};

use super::Offers;
use crate::StoreError;
use crate::attributes::{Item, key, millis, number, text};
use crate::table::never_own;

/// How long test messages are on record.
pub const TEST_RECORD_DAYS: i64 = 90;

const COUNT_SK: &str = "count";
/// Seconds of a day (UTC has no others in Unix time).
const DAY: i64 = 24 * 60 * 60;

/// The test messages of one preview.
#[derive(Debug, Clone)]
pub struct TestMessages {
    pub sent_at: Timestamp,
    /// The caller's principal.
    pub by: String,
    /// The code of the offer.
    pub code: String,
    /// The channel and the unkeyed hash of each recipient's address: the function that records them has no key.
    pub recipients: Vec<(Channel, String)>,
}

/// The result of counting test messages before they are sent.
#[derive(Debug, Clone, PartialEq)]
pub enum TestReservation {
    /// They are counted and recorded, and may be sent.
    Reserved(TestRecord),
    /// They would be more than a day allows.
    Exhausted {
        /// When the next day begins.
        until: Timestamp,
    },
}

/// The record of the test messages of a preview.
#[derive(Debug, Clone, PartialEq)]
pub struct TestRecord(Item);

impl Offers {
    /// Counts test messages, of which a day allows `per_day`, and records them, both or neither. Call it before they are
    /// sent, so that none is sent without a record.
    pub async fn reserve_tests(&self, tests: &TestMessages, per_day: u32) -> Result<TestReservation, StoreError> {
        let exhausted = TestReservation::Exhausted { until: next_day(tests.sent_at) };
        let wanted = u32::try_from(tests.recipients.len()).unwrap_or(u32::MAX);
        let Some(before) = per_day.checked_sub(wanted) else {
            return Ok(exhausted);
        };
        let record = record_key(tests.sent_at, &self.table.sources().uuid().to_string());
        let writes = vec![self.count_tests(tests, wanted, before), self.record_tests(tests, &record)];
        let is_reserved = self.table.transact(writes).await?.is_done();
        Ok(if is_reserved { TestReservation::Reserved(TestRecord(record)) } else { exhausted })
    }

    /// Records what became of test messages: the message's id or, if it was not sent, nothing, for each recipient.
    pub async fn record_test_results(
        &self,
        TestRecord(record): &TestRecord,
        message_ids: &[Option<String>],
    ) -> Result<(), StoreError> {
        let ids = message_ids.iter().map(|id| id.as_ref().map_or(AttributeValue::Null(true), text)).collect();
        let update = self
            .table
            .update(record.clone())
            .update_expression("SET messageIds = :ids")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":ids", AttributeValue::L(ids));
        self.table.write_if::<serde_json::Value>(update, never_own).await.map(|_| ())
    }

    /// `before`: how many there may have been before these.
    fn count_tests(&self, tests: &TestMessages, wanted: u32, before: u32) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(self.table.name())
            .set_key(Some(key(day_key(tests.sent_at), COUNT_SK)))
            .update_expression("ADD sent :wanted SET expiresAt = :expires")
            .condition_expression("attribute_not_exists(sent) OR sent <= :before")
            .expression_attribute_values(":wanted", number(wanted))
            .expression_attribute_values(":before", number(before))
            .expression_attribute_values(":expires", number(expires_at(tests.sent_at)))
            .build()
            .expect("table, key and expression are set");
        TransactWriteItem::builder().update(update).build()
    }

    fn record_tests(&self, tests: &TestMessages, record: &Item) -> TransactWriteItem {
        let recipient = |(channel, hash): &(Channel, String)| {
            AttributeValue::M(Item::from([
                ("channel".to_owned(), text(channel)),
                ("unkeyedHash".to_owned(), text(hash)),
            ]))
        };
        let put = Put::builder()
            .table_name(self.table.name())
            .set_item(Some(record.clone()))
            .item("sentAt", millis(tests.sent_at))
            .item("by", text(&tests.by))
            .item("code", text(&tests.code))
            .item("recipients", AttributeValue::L(tests.recipients.iter().map(recipient).collect()))
            .item("expiresAt", number(expires_at(tests.sent_at)))
            .build()
            .expect("table and item are set");
        TransactWriteItem::builder().put(put).build()
    }
}

/// The day (UTC) of test messages.
fn day_key(at: Timestamp) -> String {
    format!("tests#{}", at.strftime("%Y-%m-%d"))
}

/// In the order of time within a day.
fn record_key(at: Timestamp, id: &str) -> Item {
    key(day_key(at), format!("{}#{id}", super::sortable_time(at)))
}

/// Seconds since 1970, the unit of DynamoDB's time to live.
fn expires_at(at: Timestamp) -> i64 {
    (at + SignedDuration::from_hours(24 * TEST_RECORD_DAYS)).as_second()
}

fn next_day(at: Timestamp) -> Timestamp {
    at + SignedDuration::from_secs(DAY - at.as_second().rem_euclid(DAY))
        - SignedDuration::from_nanos(at.subsec_nanosecond().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn day_ends_at_midnight_utc() {
        for (at, until) in [
            ("2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"),
            ("2026-11-26T23:59:59.999Z", "2026-11-27T00:00:00Z"),
            ("2026-12-31T12:00:00.5Z", "2027-01-01T00:00:00Z"),
        ] {
            let at: Timestamp = at.parse().unwrap();
            assert_eq!(next_day(at).to_string(), until);
            assert_eq!(day_key(at), format!("tests#{}", &at.to_string()[..10]));
        }
    }
}
