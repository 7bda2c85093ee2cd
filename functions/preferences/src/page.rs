//! What the pages look like. They work without scripts, and load nothing from anywhere.

use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use data_encoding::BASE64;
use domain::Channel;
use sha2::{Digest, Sha256};

/// Inlined, so that a page is one answer.
const STYLE: &str = include_str!("../templates/style.css");

/// What there is to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    /// She gets offers on this channel and may end that.
    Subscribed(Channel),
    /// She gets none any more.
    OptedOut(Channel),
    /// She gets them again.
    SubscribedAgain(Channel),
    /// The link is none of ours.
    NotFound,
    /// We cannot tell, or do as she asks, for now.
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

/// A button, and what it sends.
struct Form {
    name: &'static str,
    value: &'static str,
    button: &'static str,
    is_quiet: bool,
}

/// Makes pages.
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
        Self { brand_name, security_policy: security_policy.parse().expect("it is plain ASCII") }
    }

    /// A page as an answer.
    pub(crate) fn response(&self, page: &Page) -> Response {
        let status = match page {
            Page::Subscribed(_) | Page::OptedOut(_) | Page::SubscribedAgain(_) => StatusCode::OK,
            Page::NotFound => StatusCode::NOT_FOUND,
            Page::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let html = self.layout(page).render().expect("the layout writes into memory");
        let mut response = (status, Html(html)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.security_policy.clone());
        for (name, value) in [
            (header::CACHE_CONTROL, "no-store"),
            // The link is a key: it goes to no other site.
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
                    "You will not hear of new offers from {brand} {} any more. Nothing else changes.",
                    by(*channel)
                ),
                Some(Form { name: "List-Unsubscribe", value: "One-Click", button: "Unsubscribe", is_quiet: false }),
            ),
            Page::OptedOut(channel) => (
                "You are unsubscribed".to_owned(),
                format!(
                    "{brand} sends you no more offers {}. One that is on its way already may still arrive.",
                    by(*channel)
                ),
                Some(Form { name: "subscribe", value: "again", button: "Send me offers again", is_quiet: true }),
            ),
            Page::SubscribedAgain(channel) => (
                "Welcome back".to_owned(),
                format!("You will hear of new offers from {brand} {} again.", by(*channel)),
                None,
            ),
            Page::NotFound => (
                "This link does not work".to_owned(),
                "Please open the link at the foot of the message once more, all of it.".to_owned(),
                None,
            ),
            Page::Unavailable => (
                "Please try again in a moment".to_owned(),
                "We could not do that just now. Nothing has changed.".to_owned(),
                None,
            ),
        };
        Layout { style: STYLE, brand_name: brand, title, text, form }
    }
}

fn by(channel: Channel) -> &'static str {
    match channel {
        // A hyphen that no line breaks at.
        Channel::Email => "by e\u{2011}mail",
        Channel::Sms => "by text message",
    }
}
