//! How many customers an offer reaches, when, and in which language.

use domain::Channel;
use domain::offer::parse_language;
use jiff::SignedDuration;

use super::super::tally::{ChannelTally, Tally};
use super::super::texts::TextCounts;
use super::{ATTRIBUTES_NAMED, Code, Draft, Finding, attributes, listed};
use crate::preview::sample::Message;

/// An offer that may be pushed for less than this is probably a mistake.
const SOON: SignedDuration = SignedDuration::from_hours(24);
/// How many languages are named that an offer lacks.
const LANGUAGES_NAMED: usize = 5;

pub(super) fn findings(draft: &Draft<'_>) -> Vec<Finding> {
    let mut findings = no_audience(draft);
    findings.extend(Finding::unknown_attribute(&draft.count.tally.lacking));
    // If the rule holds for no customer, the finding above says so.
    if draft.count.tally.scan.customers_eligible > 0 {
        findings.extend(unevaluable(draft).map(|detail| Finding::new(Code::Unevaluable, detail)));
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

/// What makes a posted offer fail for many, or reach them in another language.
pub(super) fn warnings(draft: &Draft<'_>) -> Vec<Finding> {
    let channels = &draft.count.tally.channels;
    let is_many =
        |channel: &&Channel| channels.get(*channel).is_some_and(|tally| tally.failed * MANY >= tally.composed);
    let unwritable = draft.offer.channels.iter().filter(is_many).filter_map(|channel| unwritable(draft, *channel));
    let scan = &draft.count.tally.scan;
    // An offer in one language is meant to be.
    let is_translated = draft.languages().len() > 1;
    let is_foreign = is_translated && draft.count.tally.languages.fallen_back * MANY >= scan.customers_eligible;
    unwritable.chain(language_missing(draft).filter(|_| is_foreign)).collect()
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
            Some(unevaluable) => format!("The rule holds for no customer. {unevaluable}"),
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

/// Customers who do not get the offer because the rule has no result for them, or their records cannot be read; and why.
fn unevaluable(draft: &Draft<'_>) -> Option<String> {
    let Tally { scan, lacking, .. } = &draft.count.tally;
    let mut said = Vec::new();
    if lacking.unevaluable > 0 {
        let customers = draft.customers(lacking.unevaluable);
        said.push(match lacking.by_unevaluable(ATTRIBUTES_NAMED).as_slice() {
            [] => format!(
                "The rule cannot be evaluated for {customers}, so they do not get the offer: check the names, types and values in \
                 `eligibility`."
            ),
            lacking => format!(
                "The rule cannot be evaluated for {customers}, so they do not get the offer. Some of them lack {}: \
                 has(customer.NAME) asks whether a customer has an attribute.",
                attributes(lacking, ", ")
            ),
        });
    }
    let unreadable = scan.customers_read - lacking.customers;
    if unreadable > 0 {
        let customers = draft.customers(unreadable);
        said.push(format!(
            "The records of {customers} cannot be read, so they do not get the offer: store them again."
        ));
    }
    (!said.is_empty()).then(|| said.join(" "))
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
