//! What the author of an offer should know before it is posted: a pure function of the offer, its messages and the counts
//! of its audience.

mod audience;
mod wording;

use std::fmt::Display;

use domain::offer::Policy;
use domain::{Channel, Offer};
use jiff::{SignedDuration, Timestamp};
use language::Language;
use serde::Serialize;

use super::audience::AudienceCount;
use super::lacking::Lacking;
use super::samples::CaseSample;
use super::warnings::depends_on_customers;

/// How many attributes are named that a rule reads, and customers lack.
const ATTRIBUTES_NAMED: usize = 5;

/// Something that will probably go wrong, or could be better.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(super) code: Code,
    /// What it is, and what to do. For people.
    pub(super) detail: String,
    /// The language of the messages that it is about; absent if it is all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) language: Option<Language>,
    /// The channel that it is about; absent if it is all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel: Option<Channel>,
}

/// What a finding is about. For programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Code {
    NoAudience,
    UnknownAttribute,
    Unevaluable,
    Unwritable,
    ExpiresSoon,
    LanguageMissing,
    TranslationIncomplete,
    DefaultSubject,
    LongSubject,
    Shouting,
    NoPreheader,
    NoLink,
    ImageOnly,
    SmsCut,
    SmsUnicode,
    #[serde(rename = "codeRepeated")]
    Repeated,
}

impl Finding {
    fn new(code: Code, detail: String) -> Self {
        Self { code, detail, language: None, channel: None }
    }

    fn on(self, channel: Channel) -> Self {
        Self { channel: Some(channel), ..self }
    }

    fn in_language(self, language: &Language) -> Self {
        Self { language: Some(language.clone()), ..self }
    }
}

/// An offer that is not posted yet, and what its preview found.
pub(super) struct Draft<'a> {
    pub(super) offer: &'a Offer,
    pub(super) policy: &'a Policy,
    pub(super) now: Timestamp,
    pub(super) count: &'a AudienceCount,
    pub(super) samples: &'a [CaseSample],
}

impl Draft<'_> {
    fn languages(&self) -> Vec<&Language> {
        self.offer.announcement.languages(&self.policy.default_language)
    }

    fn is_sent_by(&self, channel: Channel) -> bool {
        self.offer.channels.contains(&channel)
    }

    /// A count among all customers, in words that say whether it is an estimate.
    fn customers(&self, count: u64) -> String {
        in_words(self.count.estimate(count), self.count.timed_out)
    }

    /// A count among the messages of a channel, in such words.
    fn recipients(&self, channel: Channel, count: u64) -> String {
        in_words(self.count.estimate_messages(channel, count), !self.count.has_exact_messages(channel))
    }
}

fn in_words(customers: u64, is_estimate: bool) -> String {
    let about = if is_estimate { "about " } else { "" };
    if customers == 1 { format!("{about}1 customer") } else { format!("{about}{customers} customers") }
}

/// The findings of a draft, the gravest first.
pub(super) fn of(draft: &Draft<'_>) -> Vec<Finding> {
    let mut findings = audience::findings(draft);
    findings.extend(wording::findings(draft));
    findings
}

/// Findings that are worth a warning when the offer is posted: many of its messages may fail, or be in another language. Only where
/// that depends on customers: for another offer, they are not read.
pub(super) fn warnings(draft: &Draft<'_>) -> Vec<Finding> {
    if depends_on_customers(draft.offer, draft.policy) { audience::warnings(draft) } else { Vec::new() }
}

impl Finding {
    /// What it is, and what to do.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The rule reads what no customer has.
    pub(super) fn unknown_attribute(lacking: &Lacking) -> Option<Self> {
        let unknown = lacking.unknown(ATTRIBUTES_NAMED);
        if unknown.is_empty() {
            return None;
        }
        let (names, read) = (attributes(&unknown, " or "), in_words(lacking.customers, false));
        let detail = format!(
            "No customer has {names}, which the rule reads ({read} looked at): check the names in `eligibility`. For what only a few \
             customers have, ask first: has(customer.NAME)."
        );
        Some(Self::new(Code::UnknownAttribute, detail))
    }

    /// This other offer has the same code, and was posted this long before.
    pub(super) fn code_repeated(other: &Offer, before: SignedDuration) -> Self {
        let when = match before.as_hours() {
            0 => "less than an hour".to_owned(),
            1 => "an hour".to_owned(),
            hours @ 2..48 => format!("{hours} hours"),
            hours => format!("{} days", hours / 24),
        };
        let detail = format!(
            "Another offer with the code {} was posted {when} before: customers get both. If it is the same, push that one again \
             instead: POST /offers/{}/pushes.",
            other.code, other.id
        );
        Self::new(Code::Repeated, detail)
    }
}

/// Words with commas between them.
/// Attributes as a rule names them.
fn attributes(names: &[&str], between: &str) -> String {
    names.iter().map(|name| format!("customer.{name}")).collect::<Vec<_>>().join(between)
}

fn listed(words: impl IntoIterator<Item = impl Display>) -> String {
    words.into_iter().map(|word| word.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
