//! An offer as one customer gets it: in their language, with their values.

use jiff::Timestamp;
use language::formats::plain_spaces;
use language::{DateLength, Formats, Language};

use super::announcement::{Announcement, Image, Link, Markup, TranslatedImage, TranslatedLink, Translation};
use crate::customer::Customer;
use crate::link::LinkUrl;
use crate::locale::time_zone;
use crate::markup::{self, Block};
use crate::text::{RenderError, Text, Values};

/// Maximum length of a subject as it is sent, in characters: with a name (200 characters) in a subject of full length.
pub const RENDERED_SUBJECT_LIMIT: usize = 400;
/// Maximum length of a description as it is sent, in characters. With letterhead and HTML, the e-mail stays below
/// 5 MB; receivers accept 25 MB, SES 40 MB, and Lambda a preview of 6 MB.
pub const RENDERED_DESCRIPTION_LIMIT: usize = 100_000;
/// Maximum length of the small print as it is sent, in characters.
pub const RENDERED_TERMS_LIMIT: usize = 20_000;

/// An offer's texts in a customer's language, with their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The language of the texts.
    pub language: Language,
    /// At most [`RENDERED_SUBJECT_LIMIT`] characters.
    pub subject: String,
    pub preheader: Option<String>,
    /// At most [`RENDERED_DESCRIPTION_LIMIT`] characters.
    pub description: Body,
    pub link: Option<RenderedLink>,
    pub image: Option<RenderedImage>,
    /// At most [`RENDERED_TERMS_LIMIT`] characters.
    pub terms: Option<Body>,
    /// The last day on which the offer is valid, where the customer is, as the language writes dates.
    pub valid_until: Option<String>,
}

/// A text of several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Without formatting. Its line breaks are `\n`.
    Plain(String),
    Formatted(Vec<Block>),
}

/// A call to action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedLink {
    /// Printable ASCII, percent-encoded, beginning with `https://`.
    pub url: String,
    pub label: String,
}

/// A picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedImage {
    /// As that of a link.
    pub url: String,
    pub alt: String,
}

impl Announcement {
    /// What one customer gets of an offer that is valid until this time.
    ///
    /// # Errors
    /// Names the field and says why it cannot be rendered, without the customer's values.
    pub(super) fn render(
        &self,
        customer: &Customer,
        valid_until: Option<Timestamp>,
        default_language: &Language,
    ) -> Result<Rendered, String> {
        let locale = customer.locale.as_deref();
        let own = self.language(default_language);
        let language = self.language_for(locale, default_language).unwrap_or(own);
        let translation = self.translations.get(language);
        let formats = Formats::new(language, locale);
        let reader = Reader { values: Values::new(customer, &formats), markup: self.markup };
        let translated = |text: fn(&Translation) -> Option<&Text>| translation.and_then(text);
        let Self { subject, description, link, preheader, terms, image, .. } = self;
        Ok(Rendered {
            subject: reader.line("subject", translated(|t| t.subject.as_ref()).unwrap_or(subject))?,
            preheader: translated(|t| t.preheader.as_ref())
                .or(preheader.as_ref())
                .map(|text| reader.line("preheader", text))
                .transpose()?,
            description: {
                let text = translated(|t| t.description.as_ref()).unwrap_or(description);
                reader.body("description", text, RENDERED_DESCRIPTION_LIMIT)?
            },
            link: link.as_ref().map(|own| reader.link(own, translation.and_then(|t| t.link.as_ref()))).transpose()?,
            image: image
                .as_ref()
                .map(|own| reader.image(own, translation.and_then(|t| t.image.as_ref())))
                .transpose()?,
            terms: translated(|t| t.terms.as_ref())
                .or(terms.as_ref())
                .map(|text| reader.body("terms", text, RENDERED_TERMS_LIMIT))
                .transpose()?,
            valid_until: valid_until.map(|until| last_day(until, customer, &formats)),
            language: language.clone(),
        })
    }
}

/// The last day before `until`, where the customer is.
fn last_day(until: Timestamp, customer: &Customer, formats: &Formats) -> String {
    let last_moment = until.saturating_sub(jiff::SignedDuration::from_millis(1)).unwrap_or(until);
    let day = time_zone(customer.time_zone.as_deref()).to_datetime(last_moment).date();
    formats.date(day, DateLength::Long)
}

/// Renders an offer's texts for one customer.
struct Reader<'v> {
    values: Values<'v>,
    markup: Markup,
}

impl Reader<'_> {
    fn line(&self, field: &str, text: &Text) -> Result<String, String> {
        let line = text.render(&self.values, RENDERED_SUBJECT_LIMIT).map_err(in_field(field))?;
        Ok(plain_spaces(&line))
    }

    fn body(&self, field: &str, text: &Text, limit: usize) -> Result<Body, String> {
        match self.markup {
            Markup::Plain => text.render(&self.values, limit).map(Body::Plain),
            Markup::CommonMark => markup::render(text, &self.values, limit).map(Body::Formatted),
        }
        .map_err(in_field(field))
    }

    fn url(&self, field: &str, url: &LinkUrl) -> Result<String, String> {
        url.render(&self.values).map_err(in_field(field))
    }

    fn link(&self, own: &Link, translated: Option<&TranslatedLink>) -> Result<RenderedLink, String> {
        let url = translated.and_then(|link| link.url.as_ref()).unwrap_or(&own.url);
        let label = translated.and_then(|link| link.label.as_ref()).unwrap_or(&own.label);
        Ok(RenderedLink { url: self.url("link.url", url)?, label: self.line("link.label", label)? })
    }

    fn image(&self, own: &Image, translated: Option<&TranslatedImage>) -> Result<RenderedImage, String> {
        let url = translated.and_then(|image| image.url.as_ref()).unwrap_or(&own.url);
        let alt = translated.and_then(|image| image.alt.as_ref()).unwrap_or(&own.alt);
        Ok(RenderedImage { url: self.url("image.url", url)?, alt: self.line("image.alt", alt)? })
    }
}

fn in_field(field: &str) -> impl Fn(RenderError) -> String {
    move |error| format!("{field}: {error}")
}
