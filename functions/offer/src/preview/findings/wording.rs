//! What an offer says, and how.

use domain::offer::InLanguage;
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
    findings.extend(announcement.translations.keys().filter_map(|language| incomplete(draft, language)));
    if announcement.subject == draft.policy.default_subject {
        let subject = announcement.subject.source();
        findings.push(Finding::new(Code::DefaultSubject, format!(
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
        findings.push(Finding::new(Code::NoPreheader, detail.to_owned()).on(Channel::Email));
    }
    findings.extend(no_link(draft));
    findings.extend(image_only(draft));
    findings
}

/// The fields that a translation lacks.
fn incomplete(draft: &Draft<'_>, language: &Language) -> Option<Finding> {
    let own = &draft.offer.announcement;
    let texts = own.texts_in(language);
    let is_untranslated = |text: &InLanguage<'_, Text>| !text.is_translated;
    let fields = [
        ("subject", Some(texts.subject)),
        ("description", Some(texts.description)),
        ("link.label", texts.link.map(|link| link.label)),
        ("preheader", texts.preheader),
        ("terms", texts.terms),
        ("image.alt", texts.image.map(|image| image.alt)),
    ];
    let missing = fields.into_iter().filter(|(_, text)| text.as_ref().is_some_and(is_untranslated));
    let missing = listed(missing.map(|(field, _)| field));
    let own_language = own.language(&draft.policy.default_language);
    let detail = format!(
        "Readers in {language} would get these in {own_language}: {missing}. Add them to `translations.{language}`."
    );
    (!missing.is_empty()).then(|| Finding::new(Code::TranslationIncomplete, detail).in_language(language))
}

/// The longest subject of a language, among all that were composed for customers and all samples.
fn long_subject(draft: &Draft<'_>, language: &Language) -> Option<Finding> {
    let counted = draft.count.tally.languages.each.get(language).map(|tally| tally.longest_subject);
    let samples = draft.samples.iter().map(|sample| &sample.sample).filter(|sample| sample.language == *language);
    let sampled = samples.filter_map(|sample| match &sample.message {
        Ok(Message::Email { subject, .. }) => Some(subject.chars().count()),
        _ => None,
    });
    let longest = counted.into_iter().chain(sampled).max().filter(|longest| *longest > SUBJECT_SHOWN)?;
    let detail = format!(
        "The subject has up to {longest} characters with customers' values, and many mail programs show {SUBJECT_SHOWN}: \
         shorten it, or begin with what matters."
    );
    Some(Finding::new(Code::LongSubject, detail).in_language(language).on(Channel::Email))
}

fn shouting(draft: &Draft<'_>) -> Vec<Finding> {
    let announcement = &draft.offer.announcement;
    let own = announcement.language(&draft.policy.default_language);
    let is_shouted_in = |language: &&Language| {
        let subject = announcement.texts_in(language).subject;
        (subject.is_translated || *language == own) && is_shouted(subject.text)
    };
    let finding = |language| {
        let detail = "The subject shouts, as spam does, and filters notice: write it in small letters, with one exclamation \
                      mark at most.";
        Finding::new(Code::Shouting, detail.to_owned()).in_language(language)
    };
    draft.languages().into_iter().filter(is_shouted_in).map(finding).collect()
}

/// Whether a text is all in capitals or has several exclamation marks, apart from its placeholders.
fn is_shouted(text: &Text) -> bool {
    let plain = text.without_values();
    let capitals = plain.chars().filter(|c| c.is_uppercase()).count();
    let is_capital = capitals >= CAPITALS && !plain.chars().any(char::is_lowercase);
    is_capital || plain.chars().filter(|c| matches!(c, '!' | '\u{a1}' | '\u{ff01}')).count() > most_marks(&plain)
}

/// One exclamation, which Spanish marks at both ends.
fn most_marks(text: &str) -> usize {
    if text.contains('\u{a1}') { 2 } else { 1 }
}

/// The languages in which the description has no link either; all of them make one finding.
fn no_link(draft: &Draft<'_>) -> Vec<Finding> {
    let announcement = &draft.offer.announcement;
    if announcement.link.is_some() {
        return Vec::new();
    }
    let has_link = |language: &&Language| {
        announcement.texts_in(language).description.text.source().to_lowercase().contains("https://")
    };
    let finding = || {
        let detail = "The message leads nowhere: add a `link` with its `url` and the words on its button, `label`.";
        Finding::new(Code::NoLink, detail.to_owned())
    };
    let (with, without): (Vec<_>, Vec<_>) = draft.languages().into_iter().partition(has_link);
    if with.is_empty() {
        return vec![finding()];
    }
    without.into_iter().map(|language| finding().in_language(language)).collect()
}

fn image_only(draft: &Draft<'_>) -> Option<Finding> {
    let announcement = &draft.offer.announcement;
    let is_short = announcement.description.without_values().chars().count() < SHORT_DESCRIPTION;
    let detail = "The description is very short beside the image, and many readers and all text messages do not show images: \
                  say in `description` what the image says.";
    (announcement.image.is_some() && is_short).then(|| Finding::new(Code::ImageOnly, detail.to_owned()))
}
