//! What an offer says, and how.

use domain::offer::{Announcement, Translation};
use domain::{Channel, Text};
use language::Language;

use super::{Code, Draft, Finding, listed};
use crate::preview::sample::Message;

/// How much of a subject mail programs show in their lists, in characters.
const SUBJECT_SHOWN: usize = 60;
/// A description with an image that has fewer characters leaves what it says to the image.
const SHORT_DESCRIPTION: usize = 25;
/// So many capital letters are no abbreviation.
const CAPITALS: usize = 8;

pub(super) fn findings(draft: &Draft<'_>) -> Vec<Finding> {
    let announcement = &draft.offer.announcement;
    let mut findings = Vec::new();
    findings.extend(announcement.translations.iter().filter_map(|(language, t)| incomplete(draft, language, t)));
    if announcement.subject == draft.policy.default_subject {
        let subject = announcement.subject.source();
        findings.push(Code::DefaultSubject.of(format!(
            "The subject is the one that every offer without its own has, \u{201c}{subject}\u{201d}: say in `subject` what \
             this offer is about."
        )));
    }
    if draft.is_sent_by(Channel::Email) {
        findings.extend(draft.languages().into_iter().filter_map(|language| long_subject(draft, language)));
    }
    findings.extend(shouting(draft));
    if draft.is_sent_by(Channel::Email) && announcement.preheader.is_none() {
        let detail = "Inboxes show the beginning of the text beside the subject: add a `preheader`, one short sentence that \
                      makes readers curious.";
        findings.push(Code::NoPreheader.of(detail.to_owned()).on(Channel::Email));
    }
    if announcement.link.is_none() && !has_address(announcement) {
        let detail = "The message leads nowhere: add a `link` with its `url` and the words on its button, `label`.";
        findings.push(Code::NoLink.of(detail.to_owned()));
    }
    findings.extend(image_only(draft));
    findings
}

/// The fields that a translation lacks.
fn incomplete(draft: &Draft<'_>, language: &Language, translation: &Translation) -> Option<Finding> {
    let own = &draft.offer.announcement;
    let label = translation.link.as_ref().and_then(|link| link.label.as_ref());
    let alt = translation.image.as_ref().and_then(|image| image.alt.as_ref());
    let fields = [
        ("subject", true, translation.subject.is_none()),
        ("description", true, translation.description.is_none()),
        ("link.label", own.link.is_some(), label.is_none()),
        ("preheader", own.preheader.is_some(), translation.preheader.is_none()),
        ("terms", own.terms.is_some(), translation.terms.is_none()),
        ("image.alt", own.image.is_some(), alt.is_none()),
    ];
    let missing = fields.into_iter().filter(|(_, is_needed, is_missing)| *is_needed && *is_missing);
    let missing = listed(missing.map(|(field, ..)| field));
    let own_language = own.language(&draft.policy.default_language);
    let detail = format!(
        "Readers in {language} would get these in {own_language}: {missing}. Add them to `translations.{language}`."
    );
    (!missing.is_empty()).then(|| Code::TranslationIncomplete.of(detail).in_language(language))
}

/// The longest subject of a language, among all customers for whom it was composed and all samples.
fn long_subject(draft: &Draft<'_>, language: &Language) -> Option<Finding> {
    let counted = draft.count.tally.subjects.get(language).copied();
    let samples = draft.samples.iter().map(|sample| &sample.sample).filter(|sample| sample.language == *language);
    let sampled = samples.filter_map(|sample| match &sample.message {
        Ok(Message::Email(content)) => Some(content.subject.chars().count()),
        _ => None,
    });
    let longest = counted.into_iter().chain(sampled).max().filter(|longest| *longest > SUBJECT_SHOWN)?;
    let detail = format!(
        "The subject has up to {longest} characters with customers' values, and many mail programs show {SUBJECT_SHOWN}: \
         shorten it, or begin with what matters."
    );
    Some(Code::LongSubject.of(detail).in_language(language).on(Channel::Email))
}

fn shouting(draft: &Draft<'_>) -> Vec<Finding> {
    let announcement = &draft.offer.announcement;
    let own = announcement.language(&draft.policy.default_language);
    let translated = announcement.translations.iter().filter_map(|(tag, t)| Some((tag, t.subject.as_ref()?)));
    let subjects = std::iter::once((own, &announcement.subject)).chain(translated);
    let finding = |(language, _)| {
        let detail = "The subject shouts, as spam does, and filters notice: write it in small letters, with one exclamation \
                      mark at most.";
        Code::Shouting.of(detail.to_owned()).in_language(language)
    };
    subjects.filter(|(_, subject)| is_shouted(subject)).map(finding).collect()
}

/// Whether a text is all in capitals or has several exclamation marks, apart from its placeholders.
fn is_shouted(text: &Text) -> bool {
    let plain = without_placeholders(text.source());
    let capitals = plain.chars().filter(|c| c.is_uppercase()).count();
    let is_capital = capitals >= CAPITALS && !plain.chars().any(char::is_lowercase);
    is_capital || plain.chars().filter(|c| matches!(c, '!' | '\u{a1}' | '\u{ff01}')).count() > most_marks(&plain)
}

/// One exclamation, which Spanish marks at both ends.
fn most_marks(text: &str) -> usize {
    if text.contains('\u{a1}') { 2 } else { 1 }
}

/// A text that was checked when it was posted, so that each `{{` begins a placeholder.
fn without_placeholders(mut text: &str) -> String {
    let mut plain = String::new();
    while let Some((before, rest)) = text.split_once("{{") {
        plain.push_str(before);
        text = rest.split_once("}}").map_or("", |(_, rest)| rest);
    }
    plain + text
}

/// Whether the texts have links of their own.
fn has_address(announcement: &Announcement) -> bool {
    announcement.description.source().to_lowercase().contains("https://")
}

fn image_only(draft: &Draft<'_>) -> Option<Finding> {
    let announcement = &draft.offer.announcement;
    let is_short = without_placeholders(announcement.description.source()).chars().count() < SHORT_DESCRIPTION;
    let detail = "The description is very short beside the image, and many readers and all text messages do not show images: \
                  say in `description` what the image says.";
    (announcement.image.is_some() && is_short).then(|| Code::ImageOnly.of(detail.to_owned()))
}
