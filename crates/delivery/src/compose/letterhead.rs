//! The layout of an e-mail.

use askama::Template;
use domain::{Customer, Offer};

/// What an e-mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
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

/// How the bank appears at the foot of an e-mail.
#[derive(Debug, Clone)]
pub struct Letterhead {
    /// The bank's name.
    pub brand_name: String,
    /// Its postal address, which marketing e-mail must show.
    pub postal_address: String,
}

impl Letterhead {
    /// An e-mail: `content` is plain text of any number of lines. One that can be unsubscribed from says how.
    ///
    /// # Errors
    /// If the layout fails.
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
        .map_err(|error| format!("the e-mail's layout failed: {error}"))?;
        let text = match unsubscribe_url {
            Some(url) => with_foot(content, self, url),
            None => content.to_owned(),
        };
        Ok(Content { subject, text, html })
    }

    /// An offer's e-mail to one customer.
    ///
    /// # Errors
    /// Says why it cannot be written to her, without her address or name.
    pub fn write_offer(&self, offer: &Offer, customer: &Customer, unsubscribe_url: &str) -> Result<Content, String> {
        let subject = offer.subject.render(customer).map_err(|error| format!("subject: {error}"))?;
        let content = offer.description.render(customer).map_err(|error| format!("description: {error}"))?;
        self.write(&subject, &content, Some(unsubscribe_url))
    }
}

/// The plain text of an offer: what there is to say, and below it who says so and how to hear no more.
fn with_foot(content: &str, letterhead: &Letterhead, unsubscribe_url: &str) -> String {
    let Letterhead { brand_name, postal_address } = letterhead;
    // Mail programs know the line of two hyphens as what parts a text from its foot (RFC 3676, 4.3).
    format!("{content}\n\n-- \n{brand_name}\n{postal_address}\n\nNo more offers by e-mail: {unsubscribe_url}\n")
}

/// What stands in a header stands on one line, whatever an attribute of the customer holds.
pub(super) fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'))
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Blank lines part paragraphs; other line breaks stay.
fn paragraphs(content: &str) -> Vec<Vec<&str>> {
    let lines: Vec<&str> = content.lines().map(str::trim_end).collect();
    lines.split(|line| line.is_empty()).filter(|lines| !lines.is_empty()).map(<[&str]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_and_lines_stay() {
        assert_eq!(paragraphs("a\r\nb\n\n\nc"), [vec!["a", "b"], vec!["c"]]);
    }
}
