//! The customers of a measurement: made up when they are read, so that their number costs no memory. Nothing writes to them.

use serde_json::{Value, json};

use crate::aws::call::Call;
use crate::size::meter::Units;

/// The size of a customer's item, in bytes.
const ITEM_SIZE: u64 = 1_000;
/// A page ends at a megabyte (DynamoDB API reference, Scan).
const PAGE_SIZE: u64 = 1_000_000;
/// Read units are for 4 kB, and half of that if the read is eventually consistent (DynamoDB Developer Guide, "Read
/// consumption").
const READ_UNIT: u64 = 4_096;
/// One customer in so many has the tier `rare`, the others `gold`.
pub(super) const ONE_RARE_IN: u64 = 400;
/// The rule that selects them.
pub(super) const TO_RARE: &str = r#"customer.tier == "rare""#;

/// So many customers, who all consented to e-mail and have an address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bank {
    pub(super) customers: u64,
}

impl Bank {
    /// The response to a read, and what it takes.
    ///
    /// # Panics
    /// If the call writes, or reads what no push reads.
    pub(super) fn serve(self, call: &Call) -> (Value, Units) {
        match call.operation.as_str() {
            "Scan" => self.scan(call.json()),
            "BatchGetItem" => self.get(&call.json()["RequestItems"][&call.target], &call.target),
            other => panic!("{other} of customers in a measurement"),
        }
    }

    /// A page of a segment. The customers of a segment follow each other.
    fn scan(self, request: &Value) -> (Value, Units) {
        let number = |field: &str| request[field].as_u64();
        let (segment, segments) = (number("Segment").unwrap_or(0), number("TotalSegments").unwrap_or(1));
        let start = |segment: u64| {
            u64::try_from(u128::from(self.customers) * u128::from(segment) / u128::from(segments)).unwrap_or(u64::MAX)
        };
        let after = request["ExclusiveStartKey"]["pk"]["S"].as_str().map(number_of);
        let from = after.map_or(start(segment), |after| after + 1);
        let end = start(segment + 1);
        let most = number("Limit").unwrap_or(u64::MAX).min(PAGE_SIZE / ITEM_SIZE);
        let until = end.min(from.saturating_add(most));
        let count = until.saturating_sub(from);
        let mut page = json!({"Count": count, "ScannedCount": count});
        if request["Select"] != "COUNT" {
            let item = if request["ProjectionExpression"].is_null() { item } else { projected };
            page["Items"] = (from..until).map(item).collect();
        }
        if until < end {
            page["LastEvaluatedKey"] = json!({"pk": {"S": id(until - 1)}});
        }
        (page, Units::read(reads((count * ITEM_SIZE).max(1), &request["ConsistentRead"])))
    }

    fn get(self, request: &Value, table: &str) -> (Value, Units) {
        let keys = request["Keys"].as_array().map_or(&[][..], Vec::as_slice);
        let numbers = keys.iter().filter_map(|key| key["pk"]["S"].as_str()).map(number_of);
        let items: Vec<_> = numbers.filter(|number| *number < self.customers).map(item).collect();
        let units = reads(ITEM_SIZE, &request["ConsistentRead"]) * count(keys.len());
        (json!({"Responses": {table: items}, "UnprocessedKeys": {}}), Units::read(units))
    }
}

fn reads(bytes: u64, is_consistent: &Value) -> f64 {
    let units = count(usize::try_from(bytes.div_ceil(READ_UNIT)).unwrap_or(usize::MAX));
    if *is_consistent == true { units } else { units / 2.0 }
}

#[expect(clippy::cast_precision_loss, reason = "no request has so many keys")]
const fn count(number: usize) -> f64 {
    number as f64
}

fn id(number: u64) -> String {
    format!("c{number:010}")
}

fn number_of(id: &str) -> u64 {
    id.trim_start_matches('c').parse().unwrap_or(u64::MAX)
}

fn item(number: u64) -> Value {
    let filling = "x".repeat(usize::try_from(ITEM_SIZE).unwrap_or_default() - 200);
    let mut item = projected(number);
    item["attributes"]["M"]["notes"] = json!({"S": filling});
    item
}

/// As a scan reads it for an offer whose rule reads `tier`. An offer without a rule reads less of it.
fn projected(number: u64) -> Value {
    let tier = if number.is_multiple_of(ONE_RARE_IN) { "rare" } else { "gold" };
    json!({
        "pk": {"S": id(number)},
        "name": {"S": "Asha Example"},
        "email": {"S": format!("customer-{number}@bank.example")},
        "channels": {"L": [{"S": "email"}]},
        "attributes": {"M": {"tier": {"S": tier}}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_have_each_customer_once() {
        for (customers, segments) in [(0, 8), (10, 8), (2_500, 2), (10_001, 7)] {
            let bank = Bank { customers };
            let mut read = 0;
            for segment in 0..segments {
                let mut after = Value::Null;
                loop {
                    let request = json!({
                        "Segment": segment, "TotalSegments": segments, "Limit": 600, "ExclusiveStartKey": after,
                    });
                    let (page, _) = bank.scan(&request);
                    let items = page["Items"].as_array().unwrap();
                    assert!(items.iter().zip(read..).all(|(item, number)| item["pk"]["S"] == id(number)));
                    read += items.len() as u64;
                    after = page["LastEvaluatedKey"].clone();
                    if after.is_null() {
                        break;
                    }
                }
            }
            assert_eq!(read, customers);
        }
    }

    #[test]
    fn a_read_takes_a_unit_for_each_four_kilobytes() {
        let bank = Bank { customers: 5_000 };
        let scan = |consistent: bool| bank.scan(&json!({"Limit": 1_000, "ConsistentRead": consistent})).1;
        assert_eq!((scan(true), scan(false)), (Units::read(245.0), Units::read(122.5)));
        let keys: Vec<_> = (0..50).map(|number| json!({"pk": {"S": id(number)}})).collect();
        let (found, units) = bank.get(&json!({"Keys": keys, "ConsistentRead": true}), "Customers");
        assert_eq!(found["Responses"]["Customers"].as_array().map(Vec::len), Some(50));
        assert_eq!(units, Units::read(50.0));
    }
}
