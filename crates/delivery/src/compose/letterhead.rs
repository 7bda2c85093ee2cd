//! The text and HTML of an e-mail, in the bank's layout.

use askama::Template;
use domain::offer::Rendered;

use super::plain_text::plain_text;

/// Subject and body of an e-mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// The subject, on one line.
    pub subject: String,
    /// The body as plain text.
    pub text: String,
    /// The body as HTML.
    pub html: String,
}

#[derive(Template)]
#[template(path = "offer.html")]
struct Html<'a> {
    subject: &'a str,
    paragraphs: Vec<Vec<&'a str>>,
    brand_name: &'a str,
    postal_address: &'a str,
    unsubscribe_url: Option<&'a str>,
}

/// The bank's name and address, in the header and footer of an e-mail.
#[derive(Debug, Clone)]
pub struct Letterhead {
    /// The bank's name.
    pub brand_name: String,
    /// The bank's postal address, which marketing e-mail must show.
    pub postal_address: String,
}

impl Letterhead {
    /// Lays out `content`, which is plain text of any number of lines, each ended by `\n`. With an unsubscribe URL, the
    /// e-mail shows the link.
    ///
    /// # Errors
    /// If the template fails.
    pub fn write(&self, subject: &str, content: &str, unsubscribe_url: Option<&str>) -> Result<Content, String> {
        let subject = one_line(subject);
        let html = Html {
            subject: &subject,
            paragraphs: paragraphs(content),
            brand_name: &self.brand_name,
            postal_address: &self.postal_address,
            unsubscribe_url,
        }
        .render()
        .map_err(|error| format!("the e-mail's template failed: {error}"))?;
        let text = match unsubscribe_url {
            Some(url) => with_footer(content, self, url),
            None => content.to_owned(),
        };
        Ok(Content { subject, text, html })
    }

    /// Lays out an offer as one customer gets it.
    ///
    /// # Errors
    /// If the template fails.
    pub fn write_offer(&self, rendered: &Rendered, unsubscribe_url: &str) -> Result<Content, String> {
        self.write(&rendered.subject, &plain_text(&rendered.description), Some(unsubscribe_url))
    }
}

/// Plain text with a footer: the sender and the unsubscribe link.
fn with_footer(content: &str, letterhead: &Letterhead, unsubscribe_url: &str) -> String {
    let Letterhead { brand_name, postal_address } = letterhead;
    // Mail programs recognise `-- ` as the line that separates a text from its signature (RFC 3676, 4.3).
    format!("{content}\n\n-- \n{brand_name}\n{postal_address}\n\nNo more offers by e-mail: {unsubscribe_url}\n")
}

/// Joins lines, so that no attribute of a customer can add a header.
pub(super) fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Splits text into paragraphs at blank lines. Other line breaks are kept.
fn paragraphs(content: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = content.lines().map(str::trim_end).collect();
    lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()).map(<[&str]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_and_line_breaks_are_kept() {
        assert_eq!(paragraphs("a\r\nb\n\n\nc"), [vec!["a", "b"], vec!["c"]]);
    }
}
