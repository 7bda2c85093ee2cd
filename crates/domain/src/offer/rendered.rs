//! An offer as one customer gets it: in their language, with their values.

use jiff::Timestamp;
use language::formats::plain_spaces;
use language::{DateLength, Formats, Language};

use super::announcement::{Announcement, Markup};
use super::languages::{ImageTexts, LinkTexts};
use crate::channel::Channel;
use crate::customer::Customer;
use crate::link::LinkUrl;
use crate::locale::time_zone;
use crate::markup::{self, Block};
use crate::text::{RenderError, Text, Values};

/// Maximum length of a line as it is sent (a subject, a preheader, the words on a button or in place of an image), in characters:
/// a subject of full length with a name in it (200 characters each).
pub const RENDERED_LINE_LIMIT: usize = 400;
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
    /// At most [`RENDERED_LINE_LIMIT`] characters.
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
    /// The words on the button. Empty in a text message, which has none.
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
        (customer, channel): (&Customer, Channel),
        valid_until: Option<Timestamp>,
        default_language: &Language,
    ) -> Result<Rendered, String> {
        let locale = customer.locale.as_deref();
        let language = self.language_for(locale, default_language);
        let formats = Formats::new(language, locale);
        let renderer = Renderer { values: Values::new(customer, &formats), markup: self.markup };
        let mut texts = self.texts_in(language);
        if channel == Channel::Sms {
            // What a text message does not have must not keep it from being sent.
            (texts.preheader, texts.image, texts.terms) = (None, None, None);
        }
        Ok(Rendered {
            subject: renderer.line("subject", texts.subject.text)?,
            preheader: texts.preheader.map(|preheader| renderer.line("preheader", preheader.text)).transpose()?,
            description: renderer.body("description", texts.description.text, RENDERED_DESCRIPTION_LIMIT)?,
            link: texts.link.map(|link| renderer.link(&link, channel)).transpose()?,
            image: texts.image.map(|image| renderer.image(&image)).transpose()?,
            terms: texts.terms.map(|terms| renderer.body("terms", terms.text, RENDERED_TERMS_LIMIT)).transpose()?,
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
struct Renderer<'v> {
    values: Values<'v>,
    markup: Markup,
}

impl Renderer<'_> {
    fn line(&self, field: &str, text: &Text) -> Result<String, String> {
        let line = text.render(&self.values, RENDERED_LINE_LIMIT).map_err(in_field(field))?;
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

    fn link(&self, LinkTexts { url, label }: &LinkTexts<'_>, channel: Channel) -> Result<RenderedLink, String> {
        let label = match channel {
            Channel::Email => self.line("link.label", label.text)?,
            Channel::Sms => String::new(),
        };
        Ok(RenderedLink { url: self.url("link.url", url.text)?, label })
    }

    fn image(&self, ImageTexts { url, alt }: &ImageTexts<'_>) -> Result<RenderedImage, String> {
        Ok(RenderedImage { url: self.url("image.url", url.text)?, alt: self.line("image.alt", alt.text)? })
    }
}

fn in_field(field: &str) -> impl Fn(RenderError) -> String {
    move |error| format!("{field}: {error}")
}
