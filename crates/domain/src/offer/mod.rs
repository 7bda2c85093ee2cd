//! An offer: what a push announces. Immutable once stored.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what an offer holds, and how it is posted | this file |
//! | what an offer says, how long its texts may be, and how they are posted | `announcement` |
//! | the same in other languages | `translation` |
//! | what holds for its text messages only | `sms_options` |
//! | which language of an offer a customer gets, and its texts in that language | `languages` |
//! | an offer as one customer gets it | `rendered` |

mod announcement;
mod languages;
mod rendered;
mod sms_options;
mod translation;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use language::Language;

use crate::channel::{Channel, Channels};
use crate::characters::{self, Forbidden};
use crate::customer::Customer;
use crate::eligibility::RuleText;
use crate::faults::Faults;
use crate::fields::{Fields, Lines};
use crate::ids::OfferId;
use crate::link::LinkDomains;
use crate::text::Text;
use crate::time::parse_time;

pub use announcement::{
    ALT_LIMIT, ANNOUNCEMENT_BYTES_LIMIT, Announcement, DESCRIPTION_LIMIT, Image, LABEL_LIMIT, Link, Markup,
    PREHEADER_LIMIT, SUBJECT_LIMIT, TERMS_LIMIT,
};
pub use languages::{ImageTexts, InLanguage, LinkTexts, Texts};
pub use rendered::{
    Body, RENDERED_DESCRIPTION_LIMIT, RENDERED_LINE_LIMIT, RENDERED_TERMS_LIMIT, Rendered, RenderedImage, RenderedLink,
};
pub use sms_options::{SmsOptions, parse_dlt_id};
pub use translation::{TRANSLATIONS_LIMIT, Translation, parse_language};

/// Maximum length of a code, in characters.
pub const CODE_LIMIT: usize = 64;
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
    /// What it says.
    #[serde(flatten)]
    pub announcement: Announcement,
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
    /// What one customer gets of it on this channel. Where an earlier release stored it, it is in `default_language`.
    ///
    /// # Errors
    /// Names the field and says why it cannot be rendered, without the customer's values.
    pub fn render(
        &self,
        customer: &Customer,
        channel: Channel,
        default_language: &Language,
    ) -> Result<Rendered, String> {
        self.announcement.render((customer, channel), self.valid_until, default_language)
    }

    /// Parses an offer as callers post it.
    ///
    /// # Errors
    /// If the body is no valid offer, with every fault.
    pub fn parse(body: Value, posted: &Posted<'_>) -> Result<Self, Faults> {
        let mut fields = Fields::of(body)?;
        let code = fields.required("code", |f| f.text("code", CODE_LIMIT, Lines::One));
        let announcement = Announcement::read(&mut fields, posted.policy);
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
        let known: Vec<_> = ["code", "eligibility", "channels", "validFrom", "validUntil"]
            .into_iter()
            .chain(Announcement::FIELDS)
            .collect();
        fields.finish(&known)?;
        match (code, announcement) {
            (Some(code), Some(announcement)) => Ok(Self {
                id: posted.id,
                code,
                announcement,
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

    /// Checks that no text of the offer has a forbidden character, as one that an earlier release stored may: no
    /// notification could be composed with any.
    ///
    /// # Errors
    /// The name of the first field that has one, and the character.
    pub fn check_characters(&self) -> Result<(), (String, Forbidden)> {
        // Each field is named, so that a new text is not forgotten.
        let Self {
            id: _,
            code,
            announcement,
            eligibility,
            channels: _,
            valid_from: _,
            valid_until: _,
            created_at: _,
            created_by: _,
        } = self;
        let rule = eligibility.as_ref().map_or("", RuleText::source);
        [("code".to_owned(), code.as_str()), ("eligibility".to_owned(), rule)]
            .into_iter()
            .chain(announcement.texts())
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

/// What an offer takes from the call that posts it.
#[derive(Debug)]
pub struct Posted<'a> {
    /// A new id.
    pub id: OfferId,
    /// The time of the call, in whole milliseconds.
    pub at: Timestamp,
    /// The caller's principal.
    pub by: &'a str,
    pub policy: &'a Policy,
}

/// What the stack's parameters say of offers.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The subject of an offer without one.
    pub default_subject: Text,
    /// The language of an offer that does not say its own.
    pub default_language: Language,
    /// Where links may lead.
    pub link_domains: LinkDomains,
}

/// A rule is kept as it is written, but must be fit for queues and for reading like any text.
fn parse_rule(string: &str) -> Result<RuleText, String> {
    characters::check(string, Lines::Many).map_err(|found| format!("must not contain {found}"))?;
    RuleText::parse(string).map_err(|error| error.to_string())
}

/// A policy for unit tests.
#[cfg(test)]
pub(crate) fn tests_policy() -> Policy {
    Policy {
        default_subject: Text::parse("Save Cash On Transactions").expect("it has no brace"),
        default_language: Language::english(),
        link_domains: "bank.example".parse().expect("it is a domain"),
    }
}

#[cfg(test)]
mod tests;
