//! The text and HTML of an e-mail, in the bank's layout.

use std::fmt::Write;
use std::str::FromStr;

use askama::Template;
use domain::offer::{Body, Rendered, RenderedImage, RenderedLink};
use language::formats::plain_spaces;
use language::{Catalogue, Direction, Language};
use runtime::settings::{self, SettingError};
use unicode_segmentation::UnicodeSegmentation;
use url::Url;

use super::colour::{BrandColours, DARK, LIGHT, Theme};
use super::html::html;
use super::links::is_confidential;
use super::plain_text::plain_text;

/// How much of the text mail programs show beside the subject, at most, in characters.
const PREHEADER_SHOWN: usize = 140;

/// Subject and body of an e-mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The subject, on one line.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The body as HTML.
    pub html: String,
    /// The language that it is in.
    pub language: Language,
}

/// What the bank's e-mails have in common: its name and address, logo and colour.
#[derive(Debug, Clone)]
pub struct Letterhead {
    /// The bank's name.
    pub brand_name: String,
    /// The bank's postal address, which marketing e-mail must show.
    pub postal_address: String,
    /// The address of its logo, which is shown in place of the name, 32 pixels high, on white in light and dark.
    pub logo_url: Option<String>,
    /// Its colour: of the card's upper edge, of buttons and, darkened or lightened until they are readable, of links.
    pub brand_colours: BrandColours,
}

/// The letterhead that the parameters of the stack describe.
///
/// # Errors
/// If one of them is missing or invalid.
pub fn letterhead() -> Result<Letterhead, SettingError> {
    Ok(Letterhead {
        brand_name: settings::brand_name()?,
        postal_address: settings::postal_address()?,
        logo_url: settings::optional_parameter::<LogoUrl>("LogoUrl")?.map(|LogoUrl(url)| url),
        brand_colours: settings::parameter("BrandColour")?,
    })
}

/// What differs between the e-mails of one bank.
struct Message<'a> {
    language: &'a Language,
    subject: &'a str,
    preheader: Option<&'a str>,
    image: Option<&'a RenderedImage>,
    body: &'a Body,
    button: Option<&'a RenderedLink>,
    /// The last day, as its language writes it.
    valid_until: Option<&'a str>,
    terms: Option<&'a Body>,
    is_offer: bool,
    unsubscribe_url: Option<&'a str>,
}

/// The texts of the catalogue that a message has.
struct FixedTexts {
    valid_until: Option<String>,
    reason: Option<String>,
    security: String,
    unsubscribe: String,
}

#[derive(Template)]
#[template(path = "offer.html")]
struct Html<'a> {
    letterhead: &'a Letterhead,
    message: &'a Message<'a>,
    fixed: &'a FixedTexts,
    /// The language of the fixed texts.
    fixed_language: &'a Language,
    subject: &'a str,
    preheader: &'a str,
    body: &'a str,
    terms: Option<&'a str>,
    light: Theme,
    dark: Theme,
    brand: &'a BrandColours,
}

impl Html<'_> {
    /// The side on which lines begin.
    fn start(&self) -> &'static str {
        match self.message.language.direction() {
            Direction::LeftToRight => "left",
            Direction::RightToLeft => "right",
        }
    }

    /// How many blanks follow the preheader, so that mail programs show nothing of the message after it.
    fn padding(&self) -> usize {
        PREHEADER_SHOWN.saturating_sub(self.preheader.chars().count())
    }
}

impl Letterhead {
    /// Lays out an offer as one customer gets it.
    ///
    /// # Errors
    /// If the template fails.
    pub fn write_offer(&self, rendered: &Rendered, unsubscribe_url: &str) -> Result<Content, String> {
        let message = Message {
            language: &rendered.language,
            subject: &rendered.subject,
            preheader: rendered.preheader.as_deref(),
            image: rendered.image.as_ref(),
            body: &rendered.description,
            button: rendered.link.as_ref(),
            valid_until: rendered.valid_until.as_deref(),
            terms: rendered.terms.as_ref(),
            is_offer: true,
            unsubscribe_url: Some(unsubscribe_url),
        };
        self.lay_out(&message)
    }

    /// Lays out a message of plain text that is no offer, of any number of lines, each ended by `\n`, in this language. With
    /// an unsubscribe URL, it shows the link.
    ///
    /// # Errors
    /// If the template fails.
    pub fn write_message(
        &self,
        subject: &str,
        content: &str,
        language: &Language,
        unsubscribe_url: Option<&str>,
    ) -> Result<Content, String> {
        let message = Message {
            language,
            subject,
            preheader: None,
            image: None,
            body: &Body::Plain(content.to_owned()),
            button: None,
            valid_until: None,
            terms: None,
            is_offer: false,
            unsubscribe_url,
        };
        self.lay_out(&message)
    }

    fn lay_out(&self, message: &Message<'_>) -> Result<Content, String> {
        let catalogue = Catalogue::of_or_english(message.language);
        let subject = one_line(&plain_spaces(message.subject));
        let text = plain_text(message.body);
        let fixed = FixedTexts {
            valid_until: message.valid_until.map(|date| catalogue.valid_until(date)),
            reason: message.is_offer.then(|| catalogue.email_reason(&self.brand_name)),
            security: catalogue.email_security(&self.brand_name),
            unsubscribe: catalogue.email_unsubscribe(),
        };
        let html = Html {
            letterhead: self,
            message,
            fixed: &fixed,
            fixed_language: catalogue.language(),
            subject: &subject,
            preheader: message.preheader.unwrap_or(&beginning(&text, PREHEADER_SHOWN)),
            body: &html(message.body),
            terms: message.terms.map(html).as_deref(),
            light: LIGHT,
            dark: DARK,
            brand: &self.brand_colours,
        }
        .render()
        .map_err(|error| format!("the e-mail's template failed: {error}"))?;
        Ok(Content { subject, text: self.text(text, message, &fixed), html, language: message.language.clone() })
    }

    /// The whole text of a message whose body is `text`.
    fn text(&self, mut text: String, message: &Message<'_>, fixed: &FixedTexts) -> String {
        let mut add = |args: std::fmt::Arguments<'_>| text.write_fmt(args).expect("writing into a string cannot fail");
        if let Some(RenderedLink { url, label }) = message.button {
            add(format_args!("\n\n{}: {url}", plain_spaces(label)));
        }
        if let Some(valid_until) = &fixed.valid_until {
            add(format_args!("\n\n{valid_until}"));
        }
        if let Some(terms) = message.terms {
            add(format_args!("\n\n{}", plain_text(terms)));
        }
        if let Some(url) = message.unsubscribe_url {
            // Mail programs recognise `-- ` as the line that separates a text from its signature (RFC 3676, 4.3).
            add(format_args!(
                "\n\n-- \n{}\n{}\n\n",
                plain_spaces(&self.brand_name),
                plain_spaces(&self.postal_address)
            ));
            if let Some(reason) = &fixed.reason {
                add(format_args!("{reason}\n{}\n\n", fixed.security));
            }
            add(format_args!("{}: {url}\n", fixed.unsubscribe));
        }
        text
    }
}

/// The address of a logo: percent-encoded.
struct LogoUrl(String);

impl FromStr for LogoUrl {
    type Err = &'static str;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        match Url::parse(string) {
            Ok(url) if is_confidential(&url) => Ok(Self(String::from(url))),
            _ => Err("expected something like https://bank.example/logo.png"),
        }
    }
}

/// Joins lines, so that no attribute of a customer can add a header.
pub(super) fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// The words with which a text begins, on one line of at most `limit` characters as people count them.
fn beginning(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut left = limit;
    for word in text.split_whitespace() {
        let length = word.graphemes(true).take(limit + 1).count();
        if length >= left {
            break;
        }
        left -= length + 1;
        line.push_str(word);
        line.push(' ');
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests;
