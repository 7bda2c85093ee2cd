//! The pages. They work without scripts and load no other resource.

use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use data_encoding::BASE64;
use domain::Channel;
use sha2::{Digest, Sha256};

use crate::unsubscribe::{ONE_CLICK, SUBSCRIBE};

/// Inlined, so that a page is one response.
const STYLE: &str = include_str!("../templates/style.css");

/// Which page to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Page {
    /// The customer receives offers on this channel and may unsubscribe.
    Subscribed(Channel),
    /// The customer has unsubscribed, and may subscribe again with the form that has this token.
    OptedOut(Channel, Option<String>),
    /// The customer has subscribed again.
    SubscribedAgain(Channel),
    /// The form by which the customer wanted to subscribe again is too old. This is the token of a new one.
    FormExpired(Channel, String),
    /// The link is not valid.
    NotFound,
    /// The keys or the store are unavailable.
    Unavailable,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Layout<'a> {
    style: &'a str,
    brand_name: &'a str,
    title: String,
    text: String,
    form: Option<Form>,
}

/// A button, and the field that it submits.
struct Form {
    name: &'static str,
    value: String,
    button: &'static str,
    is_quiet: bool,
}

/// Renders the pages for one brand.
pub struct Pages {
    brand_name: String,
    security_policy: HeaderValue,
}

impl Pages {
    pub fn new(brand_name: String) -> Self {
        let style = BASE64.encode(&Sha256::digest(STYLE));
        let security_policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        Self { brand_name, security_policy: security_policy.parse().expect("the policy is plain ASCII") }
    }

    /// The response that shows a page.
    pub(crate) fn response(&self, page: &Page) -> Response {
        let status = match page {
            Page::Subscribed(_) | Page::OptedOut(..) | Page::SubscribedAgain(_) => StatusCode::OK,
            Page::FormExpired(..) => StatusCode::FORBIDDEN,
            Page::NotFound => StatusCode::NOT_FOUND,
            Page::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let html = self.layout(page).render().expect("rendering into memory cannot fail");
        let mut response = (status, Html(html)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.security_policy.clone());
        for (name, value) in [
            (header::CACHE_CONTROL, "no-store"),
            // The link is a credential: it must not leak to another site.
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000"),
            (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if *page == Page::Unavailable {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }

    fn layout(&self, page: &Page) -> Layout<'_> {
        let brand = &self.brand_name;
        let (title, text, form) = match page {
            Page::Subscribed(channel) => (
                format!("No more offers {}?", by(*channel)),
                format!(
                    "Press the button to stop receiving offers from {brand} {}. Nothing else changes.",
                    by(*channel)
                ),
                Some(Form { name: ONE_CLICK.0, value: ONE_CLICK.1.to_owned(), button: "Unsubscribe", is_quiet: false }),
            ),
            Page::OptedOut(channel, form_token) => (
                "You are unsubscribed".to_owned(),
                format!(
                    "{brand} will send you no more offers {}. An offer that is already on its way may still arrive.",
                    by(*channel)
                ),
                form_token.clone().map(subscribe_again),
            ),
            Page::FormExpired(channel, form_token) => (
                "Please press the button once more".to_owned(),
                format!("This page was open for too long. Do you want offers from {brand} {} again?", by(*channel)),
                Some(subscribe_again(form_token.clone())),
            ),
            Page::SubscribedAgain(channel) => (
                "Welcome back".to_owned(),
                format!("You are subscribed to offers from {brand} {} again.", by(*channel)),
                None,
            ),
            Page::NotFound => (
                "This link does not work".to_owned(),
                "Please open the link at the end of the message again, and make sure that it is complete.".to_owned(),
                None,
            ),
            Page::Unavailable => (
                "Please try again in a moment".to_owned(),
                "Sorry, this did not work just now. Nothing has changed.".to_owned(),
                None,
            ),
        };
        Layout { style: STYLE, brand_name: brand, title, text, form }
    }
}

fn subscribe_again(form_token: String) -> Form {
    Form { name: SUBSCRIBE, value: form_token, button: "Send me offers again", is_quiet: true }
}

fn by(channel: Channel) -> &'static str {
    match channel {
        // A non-breaking hyphen.
        Channel::Email => "by e\u{2011}mail",
        Channel::Sms => "by text message",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_forbids_scripts_caching_and_leaks_of_the_link() {
        let pages = Pages::new("A Bank".to_owned());
        for page in [
            Page::Subscribed(Channel::Email),
            Page::OptedOut(Channel::Sms, None),
            Page::FormExpired(Channel::Email, "k1.token".to_owned()),
            Page::SubscribedAgain(Channel::Email),
            Page::NotFound,
            Page::Unavailable,
        ] {
            let response = pages.response(&page);
            let headers = response.headers();
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none';"), "{page:?}: {policy}");
            assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{page:?}");
            assert_eq!(headers[header::REFERRER_POLICY], "no-referrer", "{page:?}");
            assert_eq!(headers.contains_key(header::RETRY_AFTER), page == Page::Unavailable, "{page:?}");
        }
    }
}
