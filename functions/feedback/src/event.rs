//! The events of SES, as EventBridge delivers them, that the function acts on (SES developer guide, "Examples of event
//! data that Amazon SES publishes to EventBridge").

use domain::{AddressHash, Channel, CustomerId, HashKey, OfferId};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use store::deliveries::{DeliveryId, Feedback, FeedbackKind};

use crate::Effect;
use crate::payload::{InvalidPayload, parse_value};
use crate::verdict::{Verdict, of_ses_bounce, status};

/// Feedback about an e-mail that SES had accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeedbackEvent {
    /// What SES reports.
    pub(crate) feedback: Feedback,
    /// Identifies the report: SES may deliver it twice.
    pub(crate) event: String,
    /// The recipients that it is about, and what follows for each.
    pub(crate) recipients: Vec<(AddressHash, Effect)>,
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
#[serde(rename_all = "camelCase")]
struct Mail {
    #[serde(default)]
    tags: Value,
    #[serde(default)]
    message_id: String,
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
    #[serde(default)]
    feedback_id: Option<String>,
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
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    diagnostic_code: Option<String>,
}

impl Recipient {
    fn hash(&self, hash_key: &HashKey) -> AddressHash {
        hash_key.address(Channel::Email, bare(&self.email_address))
    }
}

/// Parses an event; `now` is when a rejection happened that SES gives no time for. Returns `None` if it is of a kind that
/// needs no action.
pub(crate) fn parse(
    event: &Value,
    now: Timestamp,
    hash_key: &HashKey,
) -> Result<Option<FeedbackEvent>, InvalidPayload> {
    let Detail { mail, bounce, complaint, reject } = parse_value::<Event>(event)?.detail;
    let delivery = delivery(&mail.tags);
    let reported = |kind, detail, at, event, recipients| FeedbackEvent {
        feedback: Feedback { kind, detail, at },
        event,
        recipients,
        delivery: delivery.clone(),
    };
    Ok(match (bounce, complaint, reject) {
        (Some(bounce), ..) => {
            let verdict = |recipient: &Recipient| {
                let text = |field: &Option<String>| field.clone().unwrap_or_default();
                let status = status(&text(&recipient.status), &text(&recipient.diagnostic_code));
                of_ses_bounce(&bounce.bounce_type, &bounce.bounce_sub_type, status)
            };
            let verdicts: Vec<_> = bounce
                .bounced_recipients
                .iter()
                .map(|recipient| (recipient.hash(hash_key), verdict(recipient)))
                .collect();
            // Our e-mails have one recipient each.
            let gravest = verdicts.iter().map(|(_, verdict)| *verdict).max().unwrap_or(Verdict::Nothing);
            let detail = format!("{} {}", bounce.bounce_type, bounce.bounce_sub_type).trim_end().to_owned();
            let event = bounce.feedback_id.unwrap_or_else(|| format!("{} {}", mail.message_id, bounce.timestamp));
            let recipients = verdicts.into_iter().map(|(address, verdict)| (address, verdict.into())).collect();
            Some(reported(gravest.kind(), detail, bounce.timestamp, event, recipients))
        }
        (None, Some(complaint), _) => {
            let kind = complaint.complaint_feedback_type.unwrap_or_default();
            if !is_complaint(&kind) {
                return Ok(None);
            }
            let recipients = complaint.complained_recipients.iter();
            let recipients = recipients.map(|recipient| (recipient.hash(hash_key), Effect::Complained)).collect();
            Some(reported(FeedbackKind::Complained, kind, complaint.timestamp, String::new(), recipients))
        }
        // SES found a virus in it. The content is at fault, not an address.
        (None, None, Some(reject)) => {
            let at = mail.timestamp.unwrap_or(now);
            Some(reported(FeedbackKind::Rejected, reject.reason, at, String::new(), Vec::new()))
        }
        (None, None, None) => None,
    })
}

/// Whether a feedback report of this type is a complaint. Others say that our mail was moved out of the spam folder (RFC
/// 5965, 7.3), or that it failed an authentication check (RFC 6591).
pub(crate) fn is_complaint(feedback_type: &str) -> bool {
    !["not-spam", "auth-failure"].iter().any(|other| feedback_type.eq_ignore_ascii_case(other))
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
        parse(event, Timestamp::UNIX_EPOCH, &testing::hash_key())
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
        assert_eq!(reported.recipients, [(testing::address_hash(Channel::Email, "asha@example.com"), Effect::Bounced)]);
        assert_eq!(reported.delivery.unwrap().customer.as_str(), "c-1");
        for kind in ["Transient", "Undetermined"] {
            let reported = parse_event(&bounce(kind)).unwrap().unwrap();
            assert_eq!(
                (reported.feedback.kind, reported.recipients[0].1),
                (FeedbackKind::Delayed, Effect::None),
                "{kind}"
            );
        }
    }

    #[test]
    fn a_transient_bounce_counts_by_the_status_of_its_recipient() {
        for (status, diagnostic, kind, effect) in [
            ("5.4.4", "", FeedbackKind::Bounced, Effect::Bounced),
            ("5.0.0", "smtp; 550 5.1.1 unknown user", FeedbackKind::Bounced, Effect::Bounced),
            ("4.4.7", "smtp; 554 4.4.7 message expired", FeedbackKind::Delayed, Effect::Count),
            ("5.7.1", "smtp; 550 5.7.1 blocked", FeedbackKind::Rejected, Effect::None),
        ] {
            let mut event = bounce("Transient");
            event["detail"]["bounce"]["bouncedRecipients"][0]["status"] = json!(status);
            event["detail"]["bounce"]["bouncedRecipients"][0]["diagnosticCode"] = json!(diagnostic);
            let reported = parse_event(&event).unwrap().unwrap();
            assert_eq!((reported.feedback.kind, reported.recipients[0].1), (kind, effect), "{status}");
        }
    }

    #[test]
    fn a_report_is_identified_by_the_id_that_ses_gives_it() {
        let mut event = bounce("Transient");
        event["detail"]["mail"]["messageId"] = json!("m-1");
        assert_eq!(parse_event(&event).unwrap().unwrap().event, "m-1 2026-11-24T01:02:03.456Z");
        event["detail"]["bounce"]["feedbackId"] = json!("f-1");
        assert_eq!(parse_event(&event).unwrap().unwrap().event, "f-1");
    }

    #[test]
    fn complaints_and_rejects_are_read_and_other_events_ignored() {
        let complaint = |kind: &str| {
            json!({"detail": {"mail": {}, "complaint": {"complaintFeedbackType": kind,
                "timestamp": "2026-11-24T01:02:03Z", "complainedRecipients": [{"emailAddress": "asha@example.com"}]}}})
        };
        let reported = parse_event(&complaint("abuse")).unwrap().unwrap();
        assert_eq!((reported.feedback.kind, &reported.delivery), (FeedbackKind::Complained, &None));
        assert_eq!(
            reported.recipients,
            [(testing::address_hash(Channel::Email, "asha@example.com"), Effect::Complained)]
        );
        for other in ["not-spam", "Auth-Failure"] {
            assert_eq!(parse_event(&complaint(other)).unwrap(), None, "{other}");
        }
        assert_eq!(parse_event(&json!({"detail": {"mail": {}, "delivery": {}}})).unwrap(), None);
        let rejected =
            parse_event(&json!({"detail": {"mail": {}, "reject": {"reason": "Bad content"}}})).unwrap().unwrap();
        assert_eq!((rejected.feedback.kind, rejected.recipients), (FeedbackKind::Rejected, Vec::new()));
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
