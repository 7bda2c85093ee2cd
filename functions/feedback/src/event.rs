//! The events of SES, as EventBridge delivers them, that the function acts on (SES developer guide, "Examples of event
//! data that Amazon SES publishes to EventBridge").

use domain::{AddressHash, Channel, CustomerId, OfferId};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use store::deliveries::{DeliveryId, Feedback, FeedbackKind};

use crate::payload::{InvalidPayload, parse_value};

/// Feedback about an e-mail that SES had accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeedbackEvent {
    /// What SES reports.
    pub(crate) feedback: Feedback,
    /// The recipients that it is about.
    pub(crate) addresses: Vec<AddressHash>,
    /// The delivery that it belongs to, from our tags; `None` if the e-mail was no notification.
    pub(crate) delivery: Option<DeliveryId>,
}

#[derive(Deserialize)]
struct Event {
    detail: Detail,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    mail: Mail,
    bounce: Option<Bounce>,
    complaint: Option<Complaint>,
    reject: Option<Reject>,
}

#[derive(Deserialize)]
struct Mail {
    #[serde(default)]
    tags: Value,
    timestamp: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Reject {
    #[serde(default)]
    reason: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bounce {
    bounce_type: String,
    #[serde(default)]
    bounce_sub_type: String,
    bounced_recipients: Vec<Recipient>,
    timestamp: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    complained_recipients: Vec<Recipient>,
    #[serde(default)]
    complaint_feedback_type: Option<String>,
    timestamp: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient {
    email_address: String,
}

/// Parses an event; `now` is when a rejection happened that SES gives no time for. Returns `None` if it is of a kind that needs no action.
pub(crate) fn parse(event: &Value, now: Timestamp) -> Result<Option<FeedbackEvent>, InvalidPayload> {
    let Detail { mail, bounce, complaint, reject } = parse_value::<Event>(event)?.detail;
    let delivery = delivery(&mail.tags);
    let reported = |kind, detail, at, recipients: Vec<Recipient>| {
        let address = |recipient: &Recipient| AddressHash::of(Channel::Email, bare(&recipient.email_address));
        let addresses = recipients.iter().map(address).collect();
        FeedbackEvent { feedback: Feedback { kind, detail, at }, addresses, delivery: delivery.clone() }
    };
    Ok(match (bounce, complaint, reject) {
        (Some(bounce), ..) => {
            // "Undetermined" may be anything; SES itself suppresses only what is permanent.
            let is_permanent = bounce.bounce_type == "Permanent";
            let kind = if is_permanent { FeedbackKind::Bounced } else { FeedbackKind::Delayed };
            let detail = format!("{} {}", bounce.bounce_type, bounce.bounce_sub_type).trim_end().to_owned();
            Some(reported(kind, detail, bounce.timestamp, bounce.bounced_recipients))
        }
        (None, Some(complaint), _) => {
            let kind = complaint.complaint_feedback_type.unwrap_or_default();
            // Moving our mail out of the spam folder is reported in the same way (RFC 5965, 7.3).
            if kind == "not-spam" {
                return Ok(None);
            }
            Some(reported(FeedbackKind::Complained, kind, complaint.timestamp, complaint.complained_recipients))
        }
        // SES found a virus in it. The content is at fault, not an address.
        (None, None, Some(reject)) => {
            let at = mail.timestamp.unwrap_or(now);
            Some(reported(FeedbackKind::Rejected, reject.reason, at, Vec::new()))
        }
        (None, None, None) => None,
    })
}

/// `Asha <asha@example.com>` and `asha@example.com` are the same address.
fn bare(address: &str) -> &str {
    address.rsplit_once('<').map_or(address, |(_, rest)| rest.trim_end_matches('>')).trim()
}

fn delivery(tags: &Value) -> Option<DeliveryId> {
    let tag = |name: &str| tags.get(name)?.get(0)?.as_str();
    let offer: OfferId = tag("offer")?.parse().ok()?;
    let customer: CustomerId = tag("customer")?.parse().ok()?;
    Some(DeliveryId { offer, customer, channel: Channel::Email })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse_event(event: &Value) -> Result<Option<FeedbackEvent>, InvalidPayload> {
        parse(event, Timestamp::UNIX_EPOCH)
    }

    fn bounce(kind: &str) -> Value {
        json!({"source": "aws.ses", "detail-type": "Email Bounced", "detail": {
            "eventType": "Bounce",
            "mail": {"tags": {"offer": ["01980000-0000-7000-8000-000000000001"], "customer": ["c-1"]}},
            "bounce": {"bounceType": kind, "bounceSubType": "General", "timestamp": "2026-11-24T01:02:03.456Z",
                       "bouncedRecipients": [{"emailAddress": "Asha <Asha@Example.com>"}]},
        }})
    }

    #[test]
    fn only_permanent_bounces_count_as_bounced() {
        let reported = parse_event(&bounce("Permanent")).unwrap().unwrap();
        assert_eq!(reported.feedback.kind, FeedbackKind::Bounced);
        assert_eq!(reported.addresses, [AddressHash::of(Channel::Email, "asha@example.com")]);
        assert_eq!(reported.delivery.unwrap().customer.as_str(), "c-1");
        for kind in ["Transient", "Undetermined"] {
            assert_eq!(parse_event(&bounce(kind)).unwrap().unwrap().feedback.kind, FeedbackKind::Delayed, "{kind}");
        }
    }

    #[test]
    fn complaints_and_rejects_are_read_and_other_events_ignored() {
        let complaint = |kind: &str| {
            json!({"detail": {"mail": {}, "complaint": {"complaintFeedbackType": kind,
                "timestamp": "2026-11-24T01:02:03Z", "complainedRecipients": [{"emailAddress": "asha@example.com"}]}}})
        };
        let reported = parse_event(&complaint("abuse")).unwrap().unwrap();
        assert_eq!((reported.feedback.kind, reported.delivery), (FeedbackKind::Complained, None));
        assert_eq!(parse_event(&complaint("not-spam")).unwrap(), None);
        assert_eq!(parse_event(&json!({"detail": {"mail": {}, "delivery": {}}})).unwrap(), None);
        let rejected =
            parse_event(&json!({"detail": {"mail": {}, "reject": {"reason": "Bad content"}}})).unwrap().unwrap();
        assert_eq!((rejected.feedback.kind, rejected.addresses), (FeedbackKind::Rejected, Vec::new()));
        assert!(parse_event(&json!({"detail": {}})).is_err());
    }

    #[test]
    fn error_quotes_nothing_of_the_event() {
        let mut event = bounce("Permanent");
        event["detail"]["bounce"]["bouncedRecipients"] = json!("asha@example.com");
        let error = parse_event(&event).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("asha"), "{error:?}");
        assert_eq!(error.to_string(), "a field is missing or has an invalid value");
    }
}
