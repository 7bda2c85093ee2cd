//! A line of SNS's log of text messages (SNS developer guide, "Amazon SNS SMS delivery logs" and "SMS delivery failure
//! reasons").

use domain::{AddressHash, Channel, HashKey};
use jiff::civil::DateTime;
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;
use store::suppressions::Reason;

use crate::payload::InvalidPayload;

#[derive(Deserialize)]
struct Line {
    notification: Notification,
    delivery: Delivery,
    status: String,
}

#[derive(Deserialize)]
struct Notification {
    timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    destination: String,
    #[serde(default)]
    provider_response: String,
}

/// Parses a line. Returns `None` if the message arrived or failed for a temporary reason.
///
/// # Errors
/// If the line has another form. The error quotes nothing of it.
pub(crate) fn parse(
    line: &str,
    now: Timestamp,
    hash_key: &HashKey,
) -> Result<Option<(AddressHash, Reason, Timestamp)>, InvalidPayload> {
    let Line { notification, delivery, status } = serde_json::from_str(line)?;
    let reason = match delivery.provider_response.to_ascii_lowercase().as_str() {
        _ if status != "FAILURE" => return Ok(None),
        "phone number is opted out" => Reason::OptedOut,
        "invalid phone number" => Reason::Bounced,
        // Unreachable, over the spending limit, blocked as spam: the next message may arrive.
        _ => return Ok(None),
    };
    // SNS writes UTC, with a space in place of the T.
    let at = notification.timestamp.parse::<DateTime>().and_then(|at| TimeZone::UTC.to_timestamp(at));
    let at = at.unwrap_or(now);
    Ok(Some((hash_key.address(Channel::Sms, &delivery.destination), reason, at)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_response(status: &str, response: &str) -> Option<(AddressHash, Reason, Timestamp)> {
        let line = json!({
            "notification": {"messageId": "m-1", "timestamp": "2026-11-24 01:02:03.456"},
            "delivery": {"destination": "+351912345678", "smsType": "Promotional", "providerResponse": response},
            "status": status,
        });
        parse(&line.to_string(), Timestamp::UNIX_EPOCH, &testing::hash_key()).unwrap()
    }

    #[test]
    fn opted_out_and_invalid_numbers_are_suppressed() {
        let (number, reason, at) = read_response("FAILURE", "Phone number is opted out").unwrap();
        assert_eq!((number, reason), (testing::address_hash(Channel::Sms, "+351912345678"), Reason::OptedOut));
        assert_eq!(at, "2026-11-24T01:02:03.456Z".parse().unwrap());
        assert_eq!(read_response("FAILURE", "Invalid phone number").unwrap().1, Reason::Bounced);
    }

    #[test]
    fn temporary_failures_suppress_no_number() {
        assert_eq!(read_response("FAILURE", "Phone is currently unreachable/unavailable"), None);
        assert_eq!(read_response("SUCCESS", "Message has been accepted by phone carrier"), None);
    }

    #[test]
    fn error_quotes_nothing_of_the_line() {
        for line in [
            "START +351912345678",
            r#"{"notification": "+351912345678"}"#,
            r#"{"notification": {"timestamp": "x"}, "delivery": {"destination": 351912345678}, "status": "FAILURE"}"#,
        ] {
            let error = parse(line, Timestamp::UNIX_EPOCH, &testing::hash_key()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("351912345678"), "{error:?}");
        }
    }
}
