//! What an offer says, in each of its languages.

use std::collections::BTreeMap;

use language::Language;
use serde::{Deserialize, Serialize};

use super::Policy;
use super::rendered::{RENDERED_DESCRIPTION_LIMIT, RENDERED_TERMS_LIMIT};
use super::sms_options::SmsOptions;
use super::translation::{Translation, parse_language, read_translations};
use crate::characters::Lines;
use crate::fields::{self, Fields};
use crate::link::{LinkDomains, LinkUrl};
use crate::markup;
use crate::text::Text;

/// Maximum length of a subject, in characters, before placeholders are replaced.
pub const SUBJECT_LIMIT: usize = 200;
/// Maximum length of a description, in characters, before placeholders are replaced.
pub const DESCRIPTION_LIMIT: usize = 10_000;
/// Maximum length of a preheader, in characters. Mail programs show about 140.
pub const PREHEADER_LIMIT: usize = 200;
/// Maximum length of the small print, in characters, before placeholders are replaced.
pub const TERMS_LIMIT: usize = 5_000;
/// Maximum length of the words on a button, in characters.
pub const LABEL_LIMIT: usize = 60;
/// Maximum length of the text in place of an image, in characters.
pub const ALT_LIMIT: usize = 200;
/// Before and after placeholders are replaced.
pub(super) const DESCRIPTION_LIMITS: (usize, usize) = (DESCRIPTION_LIMIT, RENDERED_DESCRIPTION_LIMIT);
pub(super) const TERMS_LIMITS: (usize, usize) = (TERMS_LIMIT, RENDERED_TERMS_LIMIT);
/// Maximum size of all that an offer says, in bytes as JSON: with its rule it fits into an event (EventBridge: 256 KB), into
/// an item (DynamoDB: 400 KB), and into the queue messages of the release before (SQS: 256 KiB), which had it inside.
pub const ANNOUNCEMENT_BYTES_LIMIT: usize = 128 * 1024;

/// What an offer says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// The e-mail's subject.
    pub subject: Text,
    /// The message.
    pub description: Text,
    /// How `description` and `terms` are formatted.
    #[serde(default, skip_serializing_if = "Markup::is_plain")]
    pub markup: Markup,
    /// Where the message leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<Link>,
    /// What inboxes show beside the subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preheader: Option<Text>,
    /// The small print.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// The language of the fields above. `None` where an earlier release stored the offer: the stack's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<Language>,
    /// The fields above in other languages. What a translation lacks is sent as it is above.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub translations: BTreeMap<Language, Translation>,
    /// What holds for text messages only.
    #[serde(default, skip_serializing_if = "SmsOptions::is_default")]
    pub sms: SmsOptions,
}

/// How texts are formatted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Markup {
    /// Not at all. Of offers that an earlier release stored.
    #[default]
    Plain,
    CommonMark,
}

impl Markup {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_plain(&self) -> bool {
        *self == Self::Plain
    }
}

/// A call to action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    pub url: LinkUrl,
    /// The words on the button.
    pub label: Text,
}

/// A picture in an e-mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub url: LinkUrl,
    /// What it shows, for readers who do not see it.
    pub alt: Text,
}

impl Announcement {
    /// The fields of a call that it reads.
    pub(super) const FIELDS: [&'static str; 9] =
        ["subject", "description", "link", "preheader", "terms", "image", "language", "translations", "sms"];

    /// Reads it from the fields of a call. `None` if the description is missing or wrong, which adds a fault.
    pub(super) fn read(fields: &mut Fields, policy: &Policy) -> Option<Self> {
        let description = fields.required("description", |f| {
            f.parsed("description", |string| parse_markup(string, DESCRIPTION_LIMITS, &policy.link_domains))
        });
        let subject = fields.parsed("subject", |string| parse_text(string, SUBJECT_LIMIT, Lines::One));
        let (has_link, has_image) = (fields.has("link"), fields.has("image"));
        let link = fields.nested("link", &["url", "label"], |f| read_link(f, &policy.link_domains)).flatten();
        let preheader = fields.parsed("preheader", |string| parse_text(string, PREHEADER_LIMIT, Lines::One));
        let terms = fields.parsed("terms", |string| parse_markup(string, TERMS_LIMITS, &policy.link_domains));
        let image = fields.nested("image", &["url", "alt"], |f| read_image(f, &policy.link_domains)).flatten();
        let language = fields.parsed("language", parse_language).unwrap_or_else(|| policy.default_language.clone());
        let translations = fields.object("translations").unwrap_or_default();
        let translations = read_translations(fields, translations, (&language, has_link, has_image), policy);
        let sms = SmsOptions::read(fields);
        let announcement = Self {
            subject: subject.unwrap_or_else(|| policy.default_subject.clone()),
            description: description?,
            markup: Markup::CommonMark,
            translations,
            link,
            preheader,
            terms,
            image,
            language: Some(language),
            sms,
        };
        let bytes = serde_json::to_vec(&announcement).map_or(0, |json| json.len());
        if bytes > ANNOUNCEMENT_BYTES_LIMIT {
            let detail = format!(
                "must say at most {ANNOUNCEMENT_BYTES_LIMIT} bytes as JSON in all its languages, not {bytes}; shorten texts, \
                 or post an offer for each group of languages"
            );
            fields.fault("body", detail);
        }
        Some(announcement)
    }

    /// Its texts, each with its name.
    pub(super) fn texts(&self) -> impl Iterator<Item = (String, &str)> {
        let Self { subject, description, markup: _, link, preheader, terms, image, language: _, translations, sms: _ } =
            self;
        let own = [
            ("subject", Some(subject.source())),
            ("description", Some(description.source())),
            ("link.url", link.as_ref().map(|link| link.url.source())),
            ("link.label", link.as_ref().map(|link| link.label.source())),
            ("preheader", preheader.as_ref().map(Text::source)),
            ("terms", terms.as_ref().map(Text::source)),
            ("image.url", image.as_ref().map(|image| image.url.source())),
            ("image.alt", image.as_ref().map(|image| image.alt.source())),
        ];
        let own = own.into_iter().map(|(name, text)| (name.to_owned(), text));
        let translated = translations.iter().flat_map(|(language, translation)| {
            let named = move |(name, text): (&str, _)| (format!("translations.{language}.{name}"), text);
            translation.texts().map(named)
        });
        own.chain(translated).filter_map(|(name, text)| Some((name, text?)))
    }
}

fn read_link(fields: &mut Fields, domains: &LinkDomains) -> Option<Link> {
    let url = fields.required("url", |f| f.parsed("url", |string| LinkUrl::parse(string, domains)));
    let label = fields.required("label", |f| f.parsed("label", |string| parse_text(string, LABEL_LIMIT, Lines::One)));
    Some(Link { url: url?, label: label? })
}

fn read_image(fields: &mut Fields, domains: &LinkDomains) -> Option<Image> {
    let url = fields.required("url", |f| f.parsed("url", |string| LinkUrl::parse(string, domains)));
    let alt = fields.required("alt", |f| f.parsed("alt", |string| parse_text(string, ALT_LIMIT, Lines::One)));
    Some(Image { url: url?, alt: alt? })
}

pub(super) fn parse_text(string: &str, limit: usize, lines: Lines) -> Result<Text, String> {
    let text = fields::parse_text(string, limit, lines)?;
    Text::parse(&text).map_err(|error| error.to_string())
}

/// A formatted text of at most `limit` characters, which will have at most `rendered_limit` when it is sent.
pub(super) fn parse_markup(
    string: &str,
    (limit, rendered_limit): (usize, usize),
    domains: &LinkDomains,
) -> Result<Text, String> {
    let text = parse_text(string, limit, Lines::Many)?;
    markup::check(&text, domains, rendered_limit)?;
    Ok(text)
}
