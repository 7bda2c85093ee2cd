//! What an offer says in other languages than its own.

use std::collections::BTreeMap;

use language::{Catalogue, Language};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Policy;
use super::announcement::{
    ALT_LIMIT, DESCRIPTION_LIMITS, LABEL_LIMIT, PREHEADER_LIMIT, SUBJECT_LIMIT, TERMS_LIMITS, parse_markup, parse_text,
};
use super::sms_options::parse_dlt_id;
use crate::characters::Lines;
use crate::fields::Fields;
use crate::link::{LinkDomains, LinkUrl};
use crate::text::Text;

/// Maximum number of translations of an offer.
pub const TRANSLATIONS_LIMIT: usize = 40;

/// What an offer says in another language. What is absent is as in the offer's own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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

impl Translation {
    pub(super) fn texts(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
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

/// Reads the translations of an offer with this language, and with a link and an image or not.
pub(super) fn read_translations(
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
