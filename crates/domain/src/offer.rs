//! An offer: what a push announces. Immutable once stored.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::channel::{Channel, Channels};
use crate::characters::{self, Forbidden};
use crate::customer::Customer;
use crate::eligibility::RuleText;
use crate::faults::Faults;
use crate::fields::{self, Fields, Lines};
use crate::ids::OfferId;
use crate::text::Text;
use crate::time::parse_time;

/// Maximum length of a code, in characters.
pub const CODE_LIMIT: usize = 64;
/// Maximum length of a subject, in characters, before placeholders are replaced.
pub const SUBJECT_LIMIT: usize = 200;
/// Maximum length of a description, in characters, before placeholders are replaced.
pub const DESCRIPTION_LIMIT: usize = 10_000;
/// Maximum length of a subject as it is sent, in characters: with a name (200 characters) in a subject of full length.
pub const RENDERED_SUBJECT_LIMIT: usize = 400;
/// Maximum length of a description as it is sent, in characters. With letterhead and HTML, the e-mail stays below
/// 5 MB; receivers accept 25 MB, SES 40 MB, and Lambda a preview of 6 MB.
pub const RENDERED_DESCRIPTION_LIMIT: usize = 100_000;

/// How far ahead `validFrom` and `validUntil` may be, in days: 100 years. Later ones could lead to dates beyond the
/// end of the calendar, which cannot be stored.
pub const MAX_DAYS_AHEAD: i64 = 36_525;

/// How long an offer without `validUntil` may be pushed, in days from its creation or from `validFrom`. Its deliveries
/// are kept longer, so that their expiry never leads to a second send.
pub const LAST_PUSH_DAYS: i64 = 90;

/// An offer, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    pub id: OfferId,
    /// The bank's own short code for it.
    pub code: String,
    /// The e-mail's subject.
    pub subject: Text,
    /// The message.
    pub description: Text,
    /// Which customers the offer is for; without a rule, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eligibility: Option<RuleText>,
    /// The channels on which it may be sent.
    pub channels: Channels,
    /// No push starts before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// Nothing is sent from this time on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// When it was posted, in whole milliseconds.
    pub created_at: Timestamp,
    /// The principal of the caller who posted it.
    pub created_by: String,
}

impl Offer {
    /// Subject and description as one customer gets them.
    ///
    /// # Errors
    /// Names the field and says why it cannot be rendered, without the customer's values.
    pub fn render(&self, customer: &Customer) -> Result<Rendered, String> {
        let render =
            |field, text: &Text, limit| text.render(customer, limit).map_err(|error| format!("{field}: {error}"));
        Ok(Rendered {
            subject: render("subject", &self.subject, RENDERED_SUBJECT_LIMIT)?,
            description: render("description", &self.description, RENDERED_DESCRIPTION_LIMIT)?,
        })
    }

    /// Parses an offer as callers post it.
    ///
    /// # Errors
    /// If the body is no valid offer, with every fault.
    pub fn parse(body: Value, posted: &Posted<'_>) -> Result<Self, Faults> {
        let mut fields = Fields::of(body)?;
        let code = fields.required("code", |f| f.text("code", CODE_LIMIT, Lines::One));
        let description = fields.required("description", |f| {
            f.parsed("description", |string| parse_text(string, DESCRIPTION_LIMIT, Lines::Many))
        });
        let subject = fields
            .parsed("subject", |string| parse_text(string, SUBJECT_LIMIT, Lines::One))
            .unwrap_or_else(|| posted.default_subject.clone());
        let eligibility = fields.parsed("eligibility", parse_rule);
        let channels = fields.list("channels", str::parse::<Channel>);
        if channels.as_ref().is_some_and(Vec::is_empty) {
            fields.fault("channels", "must name at least one channel; leave it out for every channel");
        }
        let valid_from = fields.parsed("validFrom", parse_time);
        let valid_until = fields.parsed("validUntil", parse_time);
        let latest = posted.at + SignedDuration::from_hours(24 * MAX_DAYS_AHEAD);
        for (field, at) in [("validFrom", valid_from), ("validUntil", valid_until)] {
            if at.is_some_and(|at| at > latest) {
                fields.fault(field, "must not be more than 100 years ahead");
            }
        }
        if valid_until.is_some_and(|until| until <= posted.at) {
            fields.fault("validUntil", "must be in the future");
        }
        if let (Some(from), Some(until)) = (valid_from, valid_until)
            && until <= from
        {
            fields.fault("validUntil", "must be after validFrom");
        }
        fields.finish(&["code", "description", "subject", "eligibility", "channels", "validFrom", "validUntil"])?;
        match (code, description) {
            (Some(code), Some(description)) => Ok(Self {
                id: posted.id,
                code,
                subject,
                description,
                eligibility,
                channels: channels.map_or_else(|| Channels::from(Channel::ALL), Channels::from_iter),
                valid_from,
                valid_until,
                created_at: posted.at,
                created_by: posted.by.to_owned(),
            }),
            _ => unreachable!("a missing or wrong required field is a fault, and faults have been returned"),
        }
    }

    /// Checks that no text of the offer has a forbidden character, as one that an earlier release stored may: SQS refuses
    /// messages with some of them, and no notification could be composed with any.
    ///
    /// # Errors
    /// The name of the first field that has one, and the character.
    pub fn check_characters(&self) -> Result<(), (&'static str, Forbidden)> {
        [
            ("code", self.code.as_str()),
            ("subject", self.subject.source()),
            ("description", self.description.source()),
            ("eligibility", self.eligibility.as_ref().map_or("", RuleText::source)),
        ]
        .into_iter()
        .try_for_each(|(field, text)| characters::check(text, Lines::Many).map_err(|found| (field, found)))
    }

    /// The last moment at which the offer may be pushed. From then on it has expired: it is neither pushed nor
    /// sent.
    pub fn last_push_date(&self) -> Timestamp {
        self.valid_until.unwrap_or_else(|| {
            let from = self.valid_from.map_or(self.created_at, |from| from.max(self.created_at));
            from + SignedDuration::from_hours(24 * LAST_PUSH_DAYS)
        })
    }

    /// Whether nothing more may be sent at `now`.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.last_push_date() <= now
    }

    /// When a push of it may start, if not immediately.
    pub fn waits_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.valid_from.filter(|from| *from > now)
    }
}

/// An offer's texts with one customer's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// At most [`RENDERED_SUBJECT_LIMIT`] characters.
    pub subject: String,
    /// At most [`RENDERED_DESCRIPTION_LIMIT`] characters.
    pub description: String,
}

/// What an offer takes from the call that posts it.
#[derive(Debug)]
pub struct Posted<'a> {
    /// A new id.
    pub id: OfferId,
    /// The time of the call, in whole milliseconds.
    pub at: Timestamp,
    /// The caller's principal.
    pub by: &'a str,
    /// The subject of an offer without one.
    pub default_subject: &'a Text,
}

fn parse_text(string: &str, limit: usize, lines: Lines) -> Result<Text, String> {
    let text = fields::parse_text(string, limit, lines)?;
    Text::parse(&text).map_err(|error| error.to_string())
}

/// A rule is kept as it is written, but must be fit for queues and for reading like any text.
fn parse_rule(string: &str) -> Result<RuleText, String> {
    characters::check(string, Lines::Many).map_err(|found| format!("must not contain {found}"))?;
    RuleText::parse(string).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn post(body: Value) -> Result<Offer, Vec<String>> {
        let default_subject = Text::parse("Save Cash On Transactions").unwrap();
        let posted = Posted {
            id: "01980000-0000-7000-8000-000000000001".parse().unwrap(),
            at: "2026-06-01T12:00:00Z".parse().unwrap(),
            by: "bank",
            default_subject: &default_subject,
        };
        Offer::parse(body, &posted).map_err(|faults| faults.into_vec().into_iter().map(|f| f.field).collect())
    }

    #[test]
    fn code_and_description_are_sufficient() {
        let offer = post(json!({"code": "CASHBK", "description": "Get 5% cashback on 5000 spent"})).unwrap();
        assert_eq!(offer.subject.source(), "Save Cash On Transactions");
        assert_eq!(offer.channels.len(), 2);
        assert_eq!(offer.eligibility, None);
    }

    #[test]
    fn every_fault_is_reported() {
        let faults = post(json!({
            "code": "", "subject": "two\nlines", "description": "{name}", "eligibility": "customer.tier ==",
            "channels": ["pigeon"], "validFrom": "2026-07-01", "validUntil": "2020-01-01T00:00:00Z", "prize": 1
        }))
        .unwrap_err();
        assert_eq!(
            faults,
            ["code", "description", "subject", "eligibility", "channels[0]", "validFrom", "validUntil", "prize"]
        );
    }

    #[test]
    fn limits_are_exact_in_characters() {
        let of = |code: usize, subject: usize, description: usize| {
            post(
                json!({"code": "é".repeat(code), "subject": "é".repeat(subject), "description": "é".repeat(description)}),
            )
        };
        assert!(of(CODE_LIMIT, SUBJECT_LIMIT, DESCRIPTION_LIMIT).is_ok());
        assert_eq!(
            of(CODE_LIMIT + 1, SUBJECT_LIMIT + 1, DESCRIPTION_LIMIT + 1).unwrap_err(),
            ["code", "description", "subject"]
        );
    }

    #[test]
    fn valid_until_must_be_after_valid_from() {
        let faults = post(json!({
            "code": "A", "description": "B", "validFrom": "2026-07-02T00:00:00Z", "validUntil": "2026-07-01T00:00:00+01:00"
        }))
        .unwrap_err();
        assert_eq!(faults, ["validUntil"]);
    }

    #[test]
    fn validity_is_within_a_hundred_years_and_last_push_date_follows_valid_from() {
        let far = "9999-12-15T00:00:00Z";
        let offer = json!({"code": "A", "description": "B", "validFrom": far, "validUntil": far});
        assert_eq!(post(offer).unwrap_err(), ["validFrom", "validUntil", "validUntil"]);
        let offer = post(json!({"code": "A", "description": "B", "validFrom": "2027-06-01T00:00:00Z"})).unwrap();
        assert_eq!(offer.last_push_date().to_string(), "2027-08-30T00:00:00Z");
    }

    #[test]
    fn wrong_types_are_reported_by_field() {
        let faults = post(json!({"code": 1, "description": ["x"], "channels": "email"})).unwrap_err();
        assert_eq!(faults, ["code", "description", "channels"]);
        assert_eq!(post(json!(["not", "an", "object"])).unwrap_err(), ["body"]);
    }

    #[test]
    fn text_that_shows_nothing_with_the_customers_values_is_not_sent() {
        let attributes = json!({"empty": "", "filler": "\u{3164}\u{200B}", "breaks": "\r\n\t", "tier": "gold"});
        let customer = json!({"name": "Asha", "channels": [], "attributes": attributes});
        let customer = Customer::parse("c-1", customer).unwrap();
        let blank = |field| Err(format!("{field}: with the customer's values, the text shows nothing"));
        for (subject, description, rendered) in [
            ("{{ customer.empty }}", "A", blank("subject")),
            ("A", "{{ customer.empty }}", blank("description")),
            ("{{ customer.filler }}", "A", blank("subject")),
            ("A", "{{ customer.filler }} {{customer.breaks}}", blank("description")),
            ("A{{ customer.empty }}", "{{ customer.filler }}{{ customer.tier }}", Ok(("A", "\u{3164}\u{200B}gold"))),
        ] {
            let offer = post(json!({"code": "A", "subject": subject, "description": description})).unwrap();
            let rendered =
                rendered.map(|(subject, description): (&str, &str)| (subject.to_owned(), description.to_owned()));
            let got = offer.render(&customer).map(|rendered| (rendered.subject, rendered.description));
            assert_eq!(got, rendered, "{subject:?} {description:?}");
        }
    }

    #[test]
    fn forbidden_character_of_a_stored_offer_is_found_in_each_text() {
        let offer = post(json!({"code": "A", "subject": "B", "description": "C\n\t", "eligibility": "true"})).unwrap();
        assert_eq!(offer.check_characters(), Ok(()));
        for field in ["code", "subject", "description", "eligibility"] {
            let mut stored = serde_json::to_value(&offer).unwrap();
            stored[field] = json!("true\u{FFFE}");
            let stored: Offer = serde_json::from_value(stored).unwrap();
            assert_eq!(stored.check_characters().unwrap_err().0, field);
        }
    }

    #[test]
    fn text_that_would_not_arrive_as_it_was_meant_is_refused() {
        for forbidden in ["\u{FFFE}", "\u{FFFF}", "\u{202E}", "\u{2066}", "\u{FEFF}", "\u{E0041}", "\u{85}"] {
            let text = format!("a{forbidden}");
            let rule = format!("customer.tier == '{forbidden}'");
            let offer = json!({"code": text, "subject": text, "description": text, "eligibility": rule});
            assert_eq!(post(offer).unwrap_err(), ["code", "description", "subject", "eligibility"], "{text:?}");
        }
        for blank in ["", " ", "\u{200B}\u{3164}", "\u{2800}"] {
            let offer = json!({"code": blank, "subject": blank, "description": blank});
            assert_eq!(post(offer).unwrap_err(), ["code", "description", "subject"], "{blank:?}");
        }
        let offer = post(json!({"code": "A", "description": "one\r\ntwo\rthree 🏴\u{200D}☠️"})).unwrap();
        assert_eq!(offer.description.source(), "one\ntwo\nthree 🏴\u{200D}☠️");
    }
}
