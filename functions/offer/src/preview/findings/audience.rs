//! How many customers an offer reaches, when, and in which language.

use domain::Channel;
use domain::offer::parse_language;
use jiff::SignedDuration;

use super::super::tally::{ChannelTally, Tally};
use super::super::texts::TextCounts;
use super::{Code, Draft, Finding, listed};
use crate::preview::sample::Message;
use crate::preview::warnings::depends_on_customers;

/// An offer that may be pushed for less than this is probably a mistake.
const SOON: SignedDuration = SignedDuration::from_hours(24);
/// How many attributes are named that a rule reads, and customers lack.
const ATTRIBUTES_NAMED: usize = 5;
/// How many languages are named that an offer lacks.
const LANGUAGES_NAMED: usize = 5;

pub(super) fn findings(draft: &Draft<'_>) -> Vec<Finding> {
    let mut findings = no_audience(draft);
    if findings.is_empty() {
        findings.extend(unevaluable(draft));
    }
    findings.extend(draft.offer.channels.iter().filter_map(|channel| unwritable(draft, *channel)));
    findings.extend(expires_soon(draft));
    findings.extend(language_missing(draft));
    if draft.is_sent_by(Channel::Sms) {
        findings.extend(text_messages(draft));
    }
    findings
}

/// One in so many messages that cannot be composed, or is in another language, is more than a few customers with unusual records.
const MANY: u64 = 20;

/// What makes a posted offer reach no customer, fail for many, or reach them in another language.
pub(super) fn warnings(draft: &Draft<'_>) -> Vec<Finding> {
    let channels = &draft.count.tally.channels;
    let is_many =
        |channel: &&Channel| channels.get(*channel).is_some_and(|tally| tally.failed * MANY >= tally.composed);
    let unwritable = draft.offer.channels.iter().filter(is_many).filter_map(|channel| unwritable(draft, *channel));
    let scan = &draft.count.tally.scan;
    // An offer in one language is meant to be.
    let is_translated = draft.languages().len() > 1;
    let is_foreign = is_translated && draft.count.tally.languages.fallen_back * MANY >= scan.customers_eligible;
    let of_texts = unwritable.chain(language_missing(draft).filter(|_| is_foreign));
    let of_texts = of_texts.filter(|_| depends_on_customers(draft.offer, draft.policy));
    // What only some customers lack may be meant.
    unevaluable(draft).filter(|_| !unknown(draft).is_empty()).into_iter().chain(of_texts).collect()
}

fn no_audience(draft: &Draft<'_>) -> Vec<Finding> {
    let count = draft.count;
    let scan = &count.tally.scan;
    if scan.customers_read == 0 {
        return vec![Finding::new(
            Code::NoAudience,
            "There are no customers yet: store some with POST /customers.".to_owned(),
        )];
    }
    if scan.customers_eligible == 0 {
        let detail = match unevaluable(draft) {
            Some(finding) => format!("The rule holds for no customer. {}", finding.detail),
            None => "The rule holds for no customer: check the values in `eligibility`.".to_owned(),
        };
        return vec![Finding::new(Code::NoAudience, detail)];
    }
    let is_unreached = |channel: &&Channel| count.tally.channels.get(*channel).is_none_or(|c| c.notifications == 0);
    let unreached = draft.offer.channels.iter().filter(is_unreached);
    let finding = |channel: &Channel| {
        let detail = format!(
            "None of the eligible customers agreed to {} and has an address for it: store their consent, or name only the other \
             channel in `channels`.",
            channel.as_str()
        );
        Finding::new(Code::NoAudience, detail).on(*channel)
    };
    unreached.map(finding).collect()
}

/// What the rule reads that no customer has, and customers for whom it has no result.
fn unevaluable(draft: &Draft<'_>) -> Option<Finding> {
    let Tally { scan, lacking, .. } = &draft.count.tally;
    let unknown = unknown(draft);
    let cannot = format!(
        "The rule cannot be evaluated for {}, so they do not get the offer",
        draft.customers(scan.customers_unevaluable)
    );
    let detail = if !unknown.is_empty() {
        let none = match draft.count.timed_out {
            false => "No customer has".to_owned(),
            true => format!("None of the {} customers who were read has", scan.customers_read),
        };
        let cannot = if scan.customers_unevaluable > 0 { format!(" {cannot}.") } else { String::new() };
        format!(
            "{none} {}, which the rule reads: check the names in `eligibility`, or ask with has(customer.NAME) for what only a few \
             have.{cannot}",
            named(unknown)
        )
    } else if scan.customers_unevaluable == 0 {
        return None;
    } else {
        let lacking = lacking.top(ATTRIBUTES_NAMED).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let cause = match lacking.as_slice() {
            [] => "check the types of the attributes in `eligibility`".to_owned(),
            lacking => format!(
                "some lack {}. has(customer.NAME) asks whether a customer has an attribute",
                named(lacking.iter().copied())
            ),
        };
        format!("{cannot}: {cause}.")
    };
    Some(Finding::new(Code::Unevaluable, detail))
}

/// What the rule reads and no customer who was read has: probably its name is misspelt.
fn unknown<'a>(draft: &Draft<'a>) -> Vec<&'a str> {
    let Tally { scan, lacking, .. } = &draft.count.tally;
    let all = lacking.top(ATTRIBUTES_NAMED).into_iter().take_while(|(_, customers)| *customers == scan.customers_read);
    all.map(|(name, _)| name).collect()
}

/// Attributes as a rule names them.
fn named<'a>(attributes: impl IntoIterator<Item = &'a str>) -> String {
    listed(attributes.into_iter().map(|name| format!("customer.{name}")))
}

fn unwritable(draft: &Draft<'_>, channel: Channel) -> Option<Finding> {
    let ChannelTally { failed, reasons, .. } = draft.count.tally.channels.get(&channel)?;
    let (reason, _) = reasons.top(1).into_iter().next()?;
    let failed = draft.recipients(channel, *failed);
    let detail = format!(
        "The message cannot be composed for {failed}. The most frequent reason: {reason}. Give placeholders a default, as \
         in {{{{ customer.name | default: \"customer\" }}}}, or restrict `eligibility`."
    );
    Some(Finding::new(Code::Unwritable, detail).on(channel))
}

fn expires_soon(draft: &Draft<'_>) -> Option<Finding> {
    let until = draft.offer.valid_until?;
    let from = draft.offer.valid_from.map_or(draft.now, |from| from.max(draft.now));
    let left = until.duration_since(from);
    let in_words = match left.as_hours() {
        _ if left >= SOON => return None,
        0 => "less than an hour".to_owned(),
        1 => "an hour".to_owned(),
        hours => format!("{hours} hours"),
    };
    Some(Finding::new(
        Code::ExpiresSoon,
        format!(
            "The offer can be sent for {in_words} only, and many customers read their messages later: check `validUntil` and its \
         time zone."
        ),
    ))
}

fn language_missing(draft: &Draft<'_>) -> Option<Finding> {
    let languages = &draft.count.tally.languages;
    if languages.fallen_back == 0 {
        return None;
    }
    let own = draft.offer.announcement.language(&draft.policy.default_language);
    let top = languages.fallback_locales.top(LANGUAGES_NAMED);
    let without_catalogue = || top.iter().map(|(language, _)| *language).filter(|tag| parse_language(tag).is_err());
    let remedy = if without_catalogue().next().is_none() {
        "Add them to `translations`.".to_owned()
    } else {
        format!(
            "Add them to `translations`; the stack first needs a catalogue of fixed texts in {}.",
            listed(without_catalogue())
        )
    };
    let named = listed(top.iter().map(|(language, n)| format!("{language} ({})", draft.count.estimate(*n))));
    let detail = format!(
        "{} would get the offer in {own}, since it is in no language that their locale asks for: {named}. {remedy}",
        draft.customers(languages.fallen_back)
    );
    Some(Finding::new(Code::LanguageMissing, capitalized(&detail)))
}

/// Findings for each language, from the customers who get it, or else from the sample.
fn text_messages(draft: &Draft<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for language in draft.languages() {
        let counts = draft.count.tally.languages.each.get(language).map(|tally| tally.texts);
        let counts = counts.filter(|counts| counts.written > 0);
        let TextCounts { cut, ucs2, .. } = counts.unwrap_or_else(|| sampled(draft, language));
        let to = |number| match counts {
            Some(_) => format!("to {}", draft.recipients(Channel::Sms, number)),
            None => format!("in {language}"),
        };
        if cut > 0 {
            let detail = format!(
                "The text message {} is too long and would be cut: shorten the description, raise SmsSegments, or \
                 set `sms.cut` to false so that it is not sent at all.",
                to(cut)
            );
            findings.push(Finding::new(Code::SmsCut, detail).in_language(language).on(Channel::Sms));
        }
        if ucs2 > 0 {
            let detail = format!(
                "The text message {} has characters that the GSM alphabet lacks, so \
                 that one segment holds 70 characters instead of 160: replace them where the language permits, or keep the \
                 text short.",
                to(ucs2)
            );
            findings.push(Finding::new(Code::SmsUnicode, detail).in_language(language).on(Channel::Sms));
        }
    }
    findings
}

/// What holds for the text message of a language that no customer gets.
fn sampled(draft: &Draft<'_>, language: &language::Language) -> TextCounts {
    let mut counts = TextCounts::default();
    for sample in draft.samples.iter().map(|sample| &sample.sample).filter(|sample| sample.language == *language) {
        if let Ok(Message::Sms(text)) = &sample.message {
            counts += TextCounts::from(text);
        }
    }
    counts
}

fn capitalized(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}
