//! What a message of the queue holds: an event of SES, mail to the return path, or where such mail is stored; or, once
//! dead letters are sent again, which records of the stream were given up.

use std::ops::Range;

use data_encoding::BASE64;
use domain::return_path::ReturnTag;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

use crate::customer_events;
use crate::payload::{InvalidPayload, parse_value};

/// What there is to act on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// An event of SES about mail that we sent.
    Event(Value),
    /// A message.
    Mail(Vec<u8>, Envelope),
    /// A message in a bucket.
    Object { bucket: String, key: String, envelope: Envelope },
    /// Events about customers that were stored in this period, to publish once more.
    StoredEvents(Range<Timestamp>),
}

/// What is known of a message beside its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Its recipients, if they are known.
    pub(crate) recipients: Vec<String>,
    /// When it arrived, if that is known. It is the same however often the message is read.
    pub(crate) received: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SnsEnvelope {
    message: String,
    /// When SNS got the message.
    #[serde(default)]
    timestamp: Value,
}

/// `s3:ObjectCreated` (Amazon S3 user guide, "Event message structure").
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct S3Event {
    records: Vec<S3Record>,
}

#[derive(Deserialize)]
struct S3Record {
    s3: S3Entity,
}

#[derive(Deserialize)]
struct S3Entity {
    bucket: S3Bucket,
    object: S3Object,
}

#[derive(Deserialize)]
struct S3Bucket {
    name: String,
}

#[derive(Deserialize)]
struct S3Object {
    key: String,
}

/// What SES reports about mail that it received (SES developer guide, "Contents of notifications for Amazon SES email
/// receiving").
#[derive(Deserialize)]
struct Received {
    receipt: Receipt,
    #[serde(default)]
    mail: Value,
    content: Option<String>,
}

#[derive(Deserialize)]
struct Receipt {
    #[serde(default)]
    recipients: Vec<String>,
    #[serde(default)]
    timestamp: Value,
    action: Option<Action>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    #[serde(default)]
    encoding: String,
    bucket_name: Option<String>,
    object_key: Option<String>,
}

/// Reads the body of a message: JSON, or else a message as it was received.
pub(crate) fn parse(body: &str) -> Result<Vec<Source>, InvalidPayload> {
    if body.trim_start().starts_with('{') {
        return parse_json(serde_json::from_str(body)?);
    }
    Ok(vec![Source::Mail(body.as_bytes().to_vec(), Envelope::default())])
}

/// The periods of which events about customers are to be published once more.
pub(crate) fn periods(sources: &[Source]) -> impl Iterator<Item = Range<Timestamp>> {
    sources.iter().filter_map(|source| match source {
        Source::StoredEvents(stored) => Some(stored.clone()),
        Source::Event(_) | Source::Mail(..) | Source::Object { .. } => None,
    })
}

/// Reads a payload.
pub(crate) fn parse_json(payload: Value) -> Result<Vec<Source>, InvalidPayload> {
    if payload.get("Type").is_some_and(|kind| kind == "Notification") {
        let SnsEnvelope { message, timestamp } = parse_value(&payload)?;
        // Not again from the beginning: an envelope in an envelope is none of SNS's.
        if message.trim_start().starts_with('{') {
            return parse_plain_json(serde_json::from_str(&message)?);
        }
        let envelope = Envelope { recipients: Vec::new(), received: time(&timestamp) };
        return Ok(vec![Source::Mail(message.into_bytes(), envelope)]);
    }
    parse_plain_json(payload)
}

fn parse_plain_json(payload: Value) -> Result<Vec<Source>, InvalidPayload> {
    if payload.get("Records").is_some() {
        let S3Event { records } = parse_value(&payload)?;
        return Ok(records.into_iter().map(|record| object(record.s3.bucket.name, &record.s3.object.key)).collect());
    }
    if payload.get("receipt").is_some() {
        return Ok(received(parse_value(&payload)?).into_iter().collect());
    }
    if let Some(stored) = customer_events::period(&payload)? {
        return Ok(vec![Source::StoredEvents(stored)]);
    }
    // S3 sends it when the notification is configured.
    if payload.get("Event").is_some_and(|event| event == "s3:TestEvent") {
        return Ok(Vec::new());
    }
    Ok(vec![Source::Event(payload)])
}

fn object(bucket: String, key: &str) -> Source {
    // Encoded as in a form.
    let key = percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned();
    Source::Object { bucket, key, envelope: Envelope::default() }
}

fn received(received: Received) -> Option<Source> {
    let Received { receipt: Receipt { recipients, timestamp, action }, mail, content } = received;
    let action = action.unwrap_or(Action { encoding: String::new(), bucket_name: None, object_key: None });
    // A receipt lists all recipients of a message. Only those that are tagged are of interest.
    let recipients: Vec<_> = recipients.into_iter().filter(|address| ReturnTag::find(address).is_some()).collect();
    let envelope = Envelope { recipients, received: time(&timestamp).or_else(|| time(&mail["timestamp"])) };
    match (content, action.bucket_name, action.object_key) {
        (Some(content), ..) if action.encoding.eq_ignore_ascii_case("BASE64") => {
            let content: Vec<u8> = content.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
            // What is no base64 is taken as it is.
            let mail = BASE64.decode(&content).unwrap_or(content);
            Some(Source::Mail(mail, envelope))
        }
        (Some(content), ..) => Some(Source::Mail(content.into_bytes(), envelope)),
        (None, Some(bucket), Some(key)) => Some(Source::Object { bucket, key, envelope }),
        _ => None,
    }
}

/// A time, if it is one: a report must not be lost for want of it.
fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use domain::ReturnPath;
    use domain::unsubscribe::KeyRing;
    use serde_json::json;

    use super::*;

    const MAIL: &str = "To: bounces@bank.example\r\n\r\nHello";

    fn mail() -> Vec<Source> {
        vec![Source::Mail(MAIL.as_bytes().to_vec(), Envelope::default())]
    }

    #[test]
    fn mail_is_found_in_every_form_that_it_comes_in() {
        let notification = |content: &str, encoding: &str| {
            json!({"notificationType": "Received", "content": content, "mail": {"destination": ["bounces@bank.example"]},
                   "receipt": {"recipients": ["bounces@bank.example"], "action": {"type": "SNS", "encoding": encoding}}})
        };
        let encoded = BASE64.encode(MAIL.as_bytes());
        let folded = encoded.as_bytes().chunks(20).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>();
        let enveloped = |message: String| json!({"Type": "Notification", "MessageId": "1", "Message": message});
        for (name, body) in [
            ("as it is", MAIL.to_owned()),
            ("plain, by SES", notification(MAIL, "UTF8").to_string()),
            ("base64, by SES", notification(&encoded, "BASE64").to_string()),
            ("folded base64, by SES", notification(&folded.join("\r\n"), "Base64").to_string()),
            ("through SNS", enveloped(notification(&encoded, "BASE64").to_string()).to_string()),
            ("as it is, through SNS", enveloped(MAIL.to_owned()).to_string()),
        ] {
            assert_eq!(parse(&body), Ok(mail()), "{name}");
        }
    }

    #[test]
    fn mail_in_a_bucket_is_named() {
        let created = json!({"Records": [{"eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "mail"}, "object": {"key": "in/a+b%2Bc", "size": 7}}}]});
        let object = |key: &str| Source::Object {
            bucket: "mail".to_owned(),
            key: key.to_owned(),
            envelope: Envelope::default(),
        };
        assert_eq!(parse(&created.to_string()), Ok(vec![object("in/a b+c")]));
        let received = json!({"notificationType": "Received", "receipt": {"recipients": [],
            "action": {"type": "S3", "bucketName": "mail", "objectKey": "in/a+b"}}});
        assert_eq!(parse(&received.to_string()), Ok(vec![object("in/a+b")]));
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "mail"});
        assert_eq!(parse(&test.to_string()), Ok(Vec::new()));
    }

    #[test]
    fn when_mail_arrived_is_read_where_a_notification_has_it() {
        let at = "2026-06-01T11:59:58.123Z";
        let action = json!({"type": "S3", "bucketName": "mail", "objectKey": "1"});
        let envelope = |message: Value| json!({"Type": "Notification", "Timestamp": at, "Message": message});
        for (name, payload, expected) in [
            ("receipt", json!({"content": MAIL, "receipt": {"timestamp": at}}), Some(at)),
            ("receipt of an object", json!({"receipt": {"timestamp": at, "action": action}}), Some(at)),
            ("mail", json!({"content": MAIL, "receipt": {}, "mail": {"timestamp": at}}), Some(at)),
            ("SNS", envelope(json!(MAIL)), Some(at)),
            ("none", json!({"content": MAIL, "receipt": {}}), None),
            ("no time", json!({"content": MAIL, "receipt": {"timestamp": 7}, "mail": {"timestamp": "x"}}), None),
        ] {
            let sources = parse(&payload.to_string()).unwrap();
            let [Source::Mail(_, envelope) | Source::Object { envelope, .. }] = sources.as_slice() else {
                panic!("{name}: {sources:?}")
            };
            assert_eq!(envelope.received, expected.map(|at| at.parse().unwrap()), "{name}");
        }
    }

    #[test]
    fn of_the_envelope_only_what_is_tagged_is_kept() {
        let ring = KeyRing::parse(r#"{"current": "k1", "k1": "0123456789012345678901234567890123456789"}"#).unwrap();
        let offer = "01980000-0000-7000-8000-000000000001".parse().unwrap();
        let path: ReturnPath = "bounces@bank.example".parse().unwrap();
        let tagged = path.tagged(&ring, offer, &"c-1".parse().unwrap());
        let received = json!({"content": MAIL, "receipt": {"recipients": ["asha@example.com", tagged]}});
        let envelope = Envelope { recipients: vec![tagged], received: None };
        let expected = vec![Source::Mail(MAIL.as_bytes().to_vec(), envelope)];
        assert_eq!(parse(&received.to_string()), Ok(expected));
    }

    #[test]
    fn events_of_ses_and_broken_payloads_are_told_apart() {
        let event = json!({"source": "aws.ses", "detail": {"mail": {}}});
        assert_eq!(parse(&event.to_string()), Ok(vec![Source::Event(event)]));
        for broken in ["{", r#"{"Records": 7}"#, r#"{"Records": [{"s3": "asha@example.com"}]}"#, r#"{"receipt": []}"#] {
            let error = parse(broken).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("asha"), "{error:?}");
        }
    }
}
