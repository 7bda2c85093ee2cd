//! What an offer says, in each of its languages.

use std::collections::BTreeMap;

use language::{Catalogue, Language};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Policy;
use super::rendered::{RENDERED_DESCRIPTION_LIMIT, RENDERED_TERMS_LIMIT};
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
const DESCRIPTION_LIMITS: (usize, usize) = (DESCRIPTION_LIMIT, RENDERED_DESCRIPTION_LIMIT);
const TERMS_LIMITS: (usize, usize) = (TERMS_LIMIT, RENDERED_TERMS_LIMIT);
/// Maximum number of translations of an offer.
pub const TRANSLATIONS_LIMIT: usize = 40;
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

/// What an offer says in another language. What is absent is as in the offer's own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Translation {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<TranslatedLink>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preheader: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<TranslatedImage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sms: Option<TranslatedSms>,
}

/// What holds for the text messages in another language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TranslatedSms {
    /// The id under which this translation is registered in India (DLT).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dlt_template_id: Option<String>,
}

/// A link in another language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranslatedLink {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<LinkUrl>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Text>,
}

/// An image in another language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranslatedImage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<LinkUrl>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alt: Option<Text>,
}

/// What holds for an offer's text messages only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SmsOptions {
    /// Whether a text that takes more segments than allowed is cut. If not, it is not sent.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub cut: bool,
    /// The id under which the bank is registered for text messages in India (DLT). `None`: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dlt_entity_id: Option<String>,
    /// The id under which this text is registered there. `None`: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dlt_template_id: Option<String>,
}

impl Default for SmsOptions {
    fn default() -> Self {
        Self { cut: true, dlt_entity_id: None, dlt_template_id: None }
    }
}

impl SmsOptions {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    fn read(fields: &mut Fields) -> Self {
        let read = |f: &mut Fields| Self {
            cut: f.boolean("cut").unwrap_or(true),
            dlt_entity_id: f.parsed("dltEntityId", parse_dlt_id),
            dlt_template_id: f.parsed("dltTemplateId", parse_dlt_id),
        };
        fields.nested("sms", &["cut", "dltEntityId", "dltTemplateId"], read).unwrap_or_default()
    }
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// Reads an id of DLT. Operators issue numbers of 19 digits; SNS takes up to 50 letters and digits.
///
/// # Errors
/// What is wrong, to follow the field's name.
pub fn parse_dlt_id(id: &str) -> Result<String, String> {
    let is_valid = (1..=50).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    is_valid.then(|| id.to_owned()).ok_or_else(|| "must have 1 to 50 letters and digits".to_owned())
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
        let Self { subject, description, link, preheader, terms, image, .. } = self;
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
        let translated = self.translations.iter().flat_map(|(language, translation)| {
            let named = move |(name, text): (&str, _)| (format!("translations.{language}.{name}"), text);
            translation.texts().map(named)
        });
        own.chain(translated).filter_map(|(name, text)| Some((name, text?)))
    }
}

impl Translation {
    fn texts(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        let Self { subject, description, link, preheader, terms, image, sms: _ } = self;
        let (link_url, label) = link.as_ref().map_or((None, None), |link| (link.url.as_ref(), link.label.as_ref()));
        let (image_url, alt) = image.as_ref().map_or((None, None), |image| (image.url.as_ref(), image.alt.as_ref()));
        [
            ("subject", subject.as_ref().map(Text::source)),
            ("description", description.as_ref().map(Text::source)),
            ("link.url", link_url.map(LinkUrl::source)),
            ("link.label", label.map(Text::source)),
            ("preheader", preheader.as_ref().map(Text::source)),
            ("terms", terms.as_ref().map(Text::source)),
            ("image.url", image_url.map(LinkUrl::source)),
            ("image.alt", alt.map(Text::source)),
        ]
        .into_iter()
    }

    fn read(fields: &mut Fields, domains: &LinkDomains) -> Self {
        let one_line = |limit| move |string: &str| parse_text(string, limit, Lines::One);
        let url = |f: &mut Fields| f.parsed("url", |string| LinkUrl::parse(string, domains));
        Self {
            subject: fields.parsed("subject", one_line(SUBJECT_LIMIT)),
            description: fields.parsed("description", |string| parse_markup(string, DESCRIPTION_LIMITS, domains)),
            link: fields.nested("link", &["url", "label"], |f| TranslatedLink {
                url: url(f),
                label: f.parsed("label", one_line(LABEL_LIMIT)),
            }),
            preheader: fields.parsed("preheader", one_line(PREHEADER_LIMIT)),
            terms: fields.parsed("terms", |string| parse_markup(string, TERMS_LIMITS, domains)),
            image: fields.nested("image", &["url", "alt"], |f| TranslatedImage {
                url: url(f),
                alt: f.parsed("alt", one_line(ALT_LIMIT)),
            }),
            sms: fields.nested("sms", &["dltTemplateId"], |f| TranslatedSms {
                dlt_template_id: f.parsed("dltTemplateId", parse_dlt_id),
            }),
        }
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

/// Reads the translations of an offer with this language, and with a link and an image or not.
fn read_translations(
    fields: &mut Fields,
    translations: Map<String, Value>,
    (own, has_link, has_image): (&Language, bool, bool),
    policy: &Policy,
) -> BTreeMap<Language, Translation> {
    const FIELDS: [&str; 7] = ["subject", "description", "link", "preheader", "terms", "image", "sms"];
    if translations.len() > TRANSLATIONS_LIMIT {
        let detail = format!("must have at most {TRANSLATIONS_LIMIT} languages, not {}", translations.len());
        fields.fault("translations", detail);
        return BTreeMap::new();
    }
    let mut read: BTreeMap<Language, Translation> = BTreeMap::new();
    for (tag, translation) in translations {
        let field = format!("translations.{tag}");
        let language = match parse_language(&tag) {
            Ok(language) => Some(language),
            Err(detail) => {
                fields.fault(&field, detail);
                None
            }
        };
        fields.put(&field, translation);
        let translation = fields.nested(&field, &FIELDS, |f| Translation::read(f, &policy.link_domains));
        let (Some(language), Some(translation)) = (language, translation) else { continue };
        if language.is_same_as(own) || read.keys().any(|other| other.is_same_as(&language)) {
            fields.fault(&field, "is a language that the offer has already, in the field language or as a translation");
        }
        for (is_there, has, what) in
            [(translation.link.is_some(), has_link, "link"), (translation.image.is_some(), has_image, "image")]
        {
            if is_there && !has {
                fields.fault(
                    &format!("{field}.{what}"),
                    format!("translates the offer's {what}, but the offer has none"),
                );
            }
        }
        read.insert(language, translation);
    }
    read
}

/// Reads the tag of a language that messages can be in: one with a catalogue.
///
/// # Errors
/// What is wrong, to follow the field's name.
pub fn parse_language(tag: &str) -> Result<Language, String> {
    let language: Language = tag.parse().map_err(|error: language::tag::InvalidLanguage| error.to_string())?;
    if Catalogue::of(&language).is_some() {
        return Ok(language);
    }
    let known: Vec<_> = Catalogue::languages().iter().map(ToString::to_string).collect();
    Err(format!(
        "is a language that has no catalogue of fixed texts, such as the unsubscribe link's; there are {}",
        known.join(", ")
    ))
}

fn parse_text(string: &str, limit: usize, lines: Lines) -> Result<Text, String> {
    let text = fields::parse_text(string, limit, lines)?;
    Text::parse(&text).map_err(|error| error.to_string())
}

/// A formatted text of at most `limit` characters, which will have at most `rendered_limit` when it is sent.
fn parse_markup(string: &str, (limit, rendered_limit): (usize, usize), domains: &LinkDomains) -> Result<Text, String> {
    let text = parse_text(string, limit, Lines::Many)?;
    markup::check(&text, domains, rendered_limit)?;
    Ok(text)
}
