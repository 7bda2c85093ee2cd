//! What a call of DynamoDB or EventBridge does, from its request and response.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use domain::{Channel, TransportId};
use jiff::Timestamp;
use mail_parser::MessageParser;
use serde_json::Value;
use url::form_urlencoded;

use super::evidence::transport;
use super::facts::{Customer, CustomerEvent, Notification, Write};
use crate::aws::call::{Body, Call};
use crate::aws::dynamo::statement;

/// A value of an item in DynamoDB's JSON as plain JSON. Sets become arrays.
pub fn plain(attribute: &Value) -> Value {
    let Some((kind, value)) = attribute.as_object().and_then(|typed| typed.iter().next()) else {
        return Value::Null;
    };
    let number = |value: &Value| value.as_str().and_then(|text| text.parse().ok()).map_or(Value::Null, Value::Number);
    match (kind.as_str(), value) {
        ("NULL", _) => Value::Null,
        ("N", _) => number(value),
        ("NS", Value::Array(numbers)) => numbers.iter().map(number).collect(),
        ("L", Value::Array(values)) => values.iter().map(plain).collect(),
        ("M", _) => plain_item(value),
        _ => value.clone(),
    }
}

/// An item in DynamoDB's JSON as plain JSON.
pub fn plain_item(item: &Value) -> Value {
    let attributes = item.as_object().into_iter().flatten();
    Value::Object(attributes.map(|(name, value)| (name.clone(), plain(value))).collect())
}

/// A time as tables have it.
pub fn millis(value: &Value) -> Option<Timestamp> {
    Timestamp::from_millisecond(value.as_i64()?).ok()
}

/// The notification of a delivery's key.
pub fn notification(pk: &str, sk: &str) -> Option<Notification> {
    let (offer, _) = pk.split_once('#')?;
    let (customer, channel) = sk.rsplit_once('#')?;
    let channel: Channel = channel.parse().ok()?;
    Some(Notification { offer: offer.to_owned(), customer: customer.to_owned(), channel })
}

/// Whether the condition of a call did not hold.
pub fn is_refused(body: &str) -> bool {
    body.contains("ConditionalCheckFailed")
}

/// The changes of deliveries' states that a call asks for: one, or one by each statement.
pub fn delivery_writes(request: &Value) -> Vec<Write> {
    let of_statements = statement::statements(request).filter_map(statement_write);
    of_statements.chain(delivery_write(request)).collect()
}

/// What became of the writes of a call: of each, whether it took effect and whether it was refused.
pub fn delivery_results(call: &Call, status: u16, body: &str) -> Vec<(bool, bool)> {
    if call.operation != "BatchExecuteStatement" || status != 200 {
        return vec![(status == 200, is_refused(body)); delivery_writes(call.json()).len()];
    }
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let of_one = |response: &Value| {
        let code = response["Error"]["Code"].as_str();
        (code.is_none(), code.is_some_and(|code| ["DuplicateItem", "ConditionalCheckFailed"].contains(&code)))
    };
    body["Responses"].as_array().into_iter().flatten().map(of_one).collect()
}

fn statement_write(statement: &Value) -> Option<Write> {
    let is_claim = statement["Statement"].as_str()?.starts_with("INSERT");
    let attributes = statement::attributes(statement);
    let text = |name: &str| attributes.get(name)?["S"].as_str().map(str::to_owned);
    Some(Write {
        process: 0,
        notification: notification(&text("pk")?, &text("sk")?)?,
        asked_at: Timestamp::UNIX_EPOCH,
        at: None,
        status: None,
        is_refused: false,
        is_struck: false,
        state: text("state")?,
        token: text("leaseToken"),
        lease_until: if is_claim { millis(&plain(attributes.get("heldUntil")?)) } else { None },
        code: text("code"),
        is_unanswered: false,
    })
}

/// The change of a delivery's state that an update makes, if it is one.
fn delivery_write(request: &Value) -> Option<Write> {
    let expression = request["UpdateExpression"].as_str()?;
    let values = &request["ExpressionAttributeValues"];
    let text = |name: &str| values[name]["S"].as_str().map(str::to_owned);
    let key = &request["Key"];
    let is_claim = expression.contains("#state = :claimed");
    let is_outcome = expression.contains("#state = :state");
    let state = if is_claim { "claimed".to_owned() } else { text(":state").filter(|_| is_outcome)? };
    Some(Write {
        process: 0,
        notification: notification(key["pk"]["S"].as_str()?, key["sk"]["S"].as_str()?)?,
        asked_at: Timestamp::UNIX_EPOCH,
        at: None,
        status: None,
        is_refused: false,
        is_struck: false,
        state,
        token: text(":token"),
        lease_until: if is_claim { millis(&plain(&values[":heldUntil"])) } else { None },
        code: text(":code"),
        is_unanswered: expression.contains("unanswered = "),
    })
}

/// The items of customers that a call wrote, or the ids of those that it deleted.
pub fn customers_written(operation: &str, request: &Value, response: &str) -> Vec<Result<Value, String>> {
    let id = |key: &Value| key["pk"]["S"].as_str().unwrap_or_default().to_owned();
    match operation {
        "PutItem" => vec![Ok(plain_item(&request["Item"]))],
        "DeleteItem" => vec![Err(id(&request["Key"]))],
        "BatchWriteItem" => {
            let response: Value = serde_json::from_str(response).unwrap_or_default();
            let unprocessed = response["UnprocessedItems"]["Customers"].as_array().cloned().unwrap_or_default();
            let writes = request["RequestItems"]["Customers"].as_array().into_iter().flatten();
            let done = writes.filter(|write| !unprocessed.contains(write));
            let change = |write: &Value| match &write["PutRequest"] {
                Value::Null => Err(id(&write["DeleteRequest"]["Key"])),
                put => Ok(plain_item(&put["Item"])),
            };
            done.map(change).collect()
        }
        _ => Vec::new(),
    }
}

/// A customer's record from its item.
pub fn customer(item: &Value) -> Customer {
    let text = |name: &str| item[name].as_str().map(str::to_lowercase);
    let channels = item["channels"].as_array().into_iter().flatten();
    let channels: BTreeSet<Channel> = channels.filter_map(|name| name.as_str()?.parse().ok()).collect();
    Customer { email: text("email"), mobile: text("mobile"), channels, item: item.clone() }
}

/// The ids of the offers that a transaction stores.
pub fn offers_stored(request: &Value) -> Vec<String> {
    puts(request)
        .filter(|item| item["sk"]["S"] == "offer")
        .filter_map(|item| item["pk"]["S"].as_str().map(str::to_owned))
        .collect()
}

/// The pushes that a call requests.
pub fn pushes_requested(request: &Value) -> Vec<(String, u32)> {
    let push = |item: &Value| {
        let number = item["sk"]["S"].as_str()?.strip_prefix("push#")?.parse().ok()?;
        Some((item["pk"]["S"].as_str()?.to_owned(), number))
    };
    puts(request).chain([&request["Item"]]).filter_map(push).collect()
}

/// The items that a transaction puts.
fn puts(request: &Value) -> impl Iterator<Item = &Value> {
    request["TransactItems"].as_array().into_iter().flatten().map(|action| &action["Put"]["Item"])
}

/// The push that a call cancels.
pub fn push_cancelled(request: &Value) -> Option<(String, u32)> {
    let is_cancel = request["UpdateExpression"].as_str()?.contains("#state = :cancelled");
    let key = request["Key"]["pk"]["S"].as_str().filter(|_| is_cancel)?;
    push(key)
}

/// The push of a key: the offer and the number.
pub fn push(pk: &str) -> Option<(String, u32)> {
    let (offer, number) = pk.split_once('#')?;
    Some((offer.to_owned(), number.parse().ok()?))
}

/// The transport whose slots a call reserved, the first of them and how long they last, in microseconds.
pub fn slots_reserved(request: &Value, response: &str) -> Option<(TransportId, i64, i64)> {
    let transport = transport(request["Key"]["pk"]["S"].as_str()?)?;
    let values = &request["ExpressionAttributeValues"];
    let number = |name: &str| plain(&values[name]).as_i64();
    if !request["UpdateExpression"].as_str()?.contains("nextSend = ") {
        return None;
    }
    // Behind the slots that are reserved already, or from now on.
    let length = match number(":length") {
        Some(length) => length,
        None => number(":next")? - number(":now")?,
    };
    let response: Value = serde_json::from_str(response).ok()?;
    let next = plain(&response["Attributes"]["nextSend"]).as_i64()?;
    Some((transport, next - length, length))
}

/// The recipient of the message that a call hands over, in lower case. `None` if it hands none over.
pub fn recipient(call: &Call) -> Option<String> {
    match &call.body {
        Body::Json(request) => {
            let raw = BASE64.decode(request["Content"]["Raw"]["Data"].as_str()?.as_bytes()).ok()?;
            let message = MessageParser::new().parse(&raw)?;
            Some(message.to()?.first()?.address()?.to_lowercase())
        }
        Body::Form(form) if call.operation == "Publish" => {
            let mut values = form_urlencoded::parse(form.as_bytes());
            values.find_map(|(key, value)| (key == "PhoneNumber").then(|| value.to_lowercase()))
        }
        Body::Form(_) => None,
    }
}

/// What tells the batches apart that a call of SQS queues.
pub fn batches_queued(request: &Value) -> Vec<String> {
    let entries = request["Entries"].as_array().into_iter().flatten();
    let batch = |entry: &Value| {
        let body: Value = serde_json::from_str(entry["MessageBody"].as_str()?).ok()?;
        let part = |name: &str| body[name].to_string();
        Some(["push", "slice", "generation", "batch", "channel"].map(part).join(" "))
    };
    entries.chain([request]).filter_map(batch).collect()
}

/// The events about customers that a transaction stores.
pub fn customer_events(operation: &str, request: &Value, at: Timestamp) -> Vec<CustomerEvent> {
    if operation != "TransactWriteItems" {
        return Vec::new();
    }
    puts(request).filter_map(|item| customer_event(&plain_item(item), at)).collect()
}

fn customer_event(item: &Value, at: Timestamp) -> Option<CustomerEvent> {
    let text = |name: &str| item[name].as_str().map(str::to_owned);
    Some(CustomerEvent {
        id: item["pk"].as_str()?.strip_prefix("event#")?.to_owned(),
        at,
        kind: text("kind")?,
        customer: text("customer")?,
        channel: item["channel"].as_str()?.parse().ok()?,
        offer: text("offer"),
    })
}

/// The ids of the events that the bus took with a call.
pub fn published_ids(request: &Value, response: &str) -> Vec<String> {
    let response: Value = serde_json::from_str(response).unwrap_or_default();
    let entries = request["Entries"].as_array().into_iter().flatten().enumerate();
    let taken = entries.filter(|(index, _)| response["Entries"][*index]["ErrorCode"].is_null());
    let id = |(_, entry): (usize, &Value)| {
        let detail: Value = serde_json::from_str(entry["Detail"].as_str()?).ok()?;
        detail["id"].as_str().map(str::to_owned)
    };
    taken.filter_map(id).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PK: &str = "01980000-0000-7000-8000-000000000001#a";

    fn update(expression: &str, values: Value) -> Value {
        json!({"Key": {"pk": {"S": PK}, "sk": {"S": "c-1#email"}}, "UpdateExpression": expression,
               "ExpressionAttributeValues": values})
    }

    #[test]
    fn claims_outcomes_and_releases_are_told_apart() {
        let claim = update(
            "SET #state = :claimed, push = :push",
            json!({":heldUntil": {"N": "1780315200000"}, ":token": {"S": "t"}, ":state": {"S": "x"}}),
        );
        let claim = delivery_write(&claim).unwrap();
        assert_eq!((claim.state.as_str(), claim.token.as_deref(), claim.is_claim()), ("claimed", Some("t"), true));
        assert_eq!((claim.notification.customer.as_str(), claim.notification.channel), ("c-1", Channel::Email));
        let release = update("SET #state = :state, unanswered = :unanswered", json!({":state": {"S": "retry"}}));
        let release = delivery_write(&release).unwrap();
        assert_eq!((release.state.as_str(), release.is_unanswered, release.is_claim()), ("retry", true, false));
        assert_eq!(delivery_write(&update("SET feedback = :feedback", json!({}))), None);
    }

    #[test]
    fn a_batch_is_the_same_however_often_it_was_put_off() {
        let queued = |attempt: u32| {
            let body =
                json!({"push": "o#1", "slice": 3, "generation": 1, "batch": 7, "channel": "email", "attempt": attempt});
            batches_queued(&json!({"MessageBody": body.to_string()}))
        };
        assert_eq!((queued(1).len(), queued(1)), (1, queued(2)));
    }

    #[test]
    fn slots_are_those_before_the_next_free_one() {
        let append = json!({"Key": {"pk": {"S": "ses"}}, "UpdateExpression": "SET nextSend = nextSend + :length",
                            "ExpressionAttributeValues": {":length": {"N": "400"}, ":now": {"N": "1"}}});
        let restart = json!({"Key": {"pk": {"S": "ses"}}, "UpdateExpression": "SET nextSend = :next",
                             "ExpressionAttributeValues": {":next": {"N": "1400"}, ":now": {"N": "1000"}}});
        for request in [append, restart] {
            let response = r#"{"Attributes": {"nextSend": {"N": "1400"}}}"#;
            assert_eq!(slots_reserved(&request, response), Some((TransportId::Ses, 1_000, 400)));
        }
    }

    #[test]
    fn customers_are_put_and_deleted_one_by_one_or_many_at_once() {
        let item =
            json!({"pk": {"S": "c-1"}, "email": {"S": "zq1@person.example"}, "channels": {"L": [{"S": "email"}]}});
        let put = customers_written("PutItem", &json!({"Item": item}), "{}");
        let record = customer(put[0].as_ref().unwrap());
        assert_eq!(record.address(Channel::Email), Some("zq1@person.example"));
        let deleted = customers_written("DeleteItem", &json!({"Key": {"pk": {"S": "c-1"}}}), "{}");
        assert_eq!(deleted, [Err("c-1".to_owned())]);
        let write = json!({"PutRequest": {"Item": item}});
        let batch = json!({"RequestItems": {"Customers": [write]}});
        assert_eq!(customers_written("BatchWriteItem", &batch, "{}").len(), 1);
        let unprocessed = json!({"UnprocessedItems": {"Customers": [write]}}).to_string();
        assert_eq!(customers_written("BatchWriteItem", &batch, &unprocessed), []);
    }

    #[test]
    fn only_events_that_the_bus_took_are_published() {
        let request = json!({"Entries": [{"Detail": r#"{"id": "1"}"#}, {"Detail": r#"{"id": "2"}"#}]});
        let response = r#"{"Entries": [{"EventId": "a"}, {"ErrorCode": "Throttled"}]}"#;
        assert_eq!(published_ids(&request, response), ["1"]);
    }
}
