//! The pages. They work without scripts and load no other resource.

use askama::Template;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use data_encoding::BASE64;
use domain::Channel;
use language::catalogue::PageText;
use language::{Catalogue, Language, Medium};
use sha2::{Digest, Sha256};

use crate::links::FORM_LIFETIME;
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
    FormExpired(String),
    /// The link is not valid.
    NotFound,
    /// The keys or the store are unavailable.
    Unavailable,
}

#[derive(Template)]
#[template(path = "page.html")]
struct Layout<'a> {
    style: &'a str,
    language: &'a Language,
    /// `ltr` or `rtl`.
    direction: &'static str,
    brand_name: &'a str,
    title: String,
    text: String,
    form: Option<Form>,
}

/// A button, and the field that it submits.
struct Form {
    name: &'static str,
    value: String,
    button: String,
    is_quiet: bool,
}

/// Renders the pages for one brand.
pub struct Pages {
    brand_name: String,
    default_language: Language,
    security_policy: HeaderValue,
}

impl Pages {
    /// In `default_language` where neither link nor browser name one that has a catalogue.
    pub fn new(brand_name: String, default_language: Language) -> Self {
        let style = BASE64.encode(&Sha256::digest(STYLE));
        let security_policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        Self {
            brand_name,
            default_language,
            security_policy: security_policy.parse().expect("the policy is plain ASCII"),
        }
    }

    pub(crate) fn default_language(&self) -> &Language {
        &self.default_language
    }

    /// The response that shows a page, in the language of the catalogue.
    pub(crate) fn response(&self, page: &Page, catalogue: &Catalogue) -> Response {
        let status = match page {
            Page::Subscribed(_) | Page::OptedOut(..) | Page::SubscribedAgain(_) => StatusCode::OK,
            Page::FormExpired(_) => StatusCode::FORBIDDEN,
            Page::NotFound => StatusCode::NOT_FOUND,
            Page::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let html = self.layout(page, catalogue).render().expect("rendering into memory cannot fail");
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

    fn layout<'a>(&'a self, page: &Page, catalogue: &'a Catalogue) -> Layout<'a> {
        let brand = &self.brand_name;
        let subscribe_again = |token: &String| Form {
            name: SUBSCRIBE,
            value: token.clone(),
            button: catalogue.page_subscribe_button(),
            is_quiet: true,
        };
        let (PageText { title, text }, form) = match page {
            Page::Subscribed(channel) => {
                let (name, value) = ONE_CLICK;
                let button = catalogue.page_unsubscribe_button();
                let form = Form { name, value: value.to_owned(), button, is_quiet: false };
                (catalogue.page_subscribed(brand, medium(*channel)), Some(form))
            }
            Page::OptedOut(channel, form_token) => {
                (catalogue.page_opted_out(brand, medium(*channel)), form_token.as_ref().map(subscribe_again))
            }
            Page::FormExpired(form_token) => {
                let minutes = u32::try_from(FORM_LIFETIME.as_mins()).unwrap_or(u32::MAX);
                (catalogue.page_form_expired(brand, minutes), Some(subscribe_again(form_token)))
            }
            Page::SubscribedAgain(channel) => (catalogue.page_subscribed_again(brand, medium(*channel)), None),
            Page::NotFound => (catalogue.page_not_found(), None),
            Page::Unavailable => (catalogue.page_unavailable(), None),
        };
        let language = catalogue.language();
        Layout {
            style: STYLE,
            language,
            direction: language.direction().as_str(),
            brand_name: brand,
            title,
            text,
            form,
        }
    }
}

fn medium(channel: Channel) -> Medium {
    match channel {
        Channel::Email => Medium::Email,
        Channel::Sms => Medium::Sms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_forbids_scripts_caching_and_leaks_of_the_link() {
        let pages = Pages::new("A Bank".to_owned(), Language::english());
        for page in [
            Page::Subscribed(Channel::Email),
            Page::OptedOut(Channel::Sms, None),
            Page::FormExpired("k1.token".to_owned()),
            Page::SubscribedAgain(Channel::Email),
            Page::NotFound,
            Page::Unavailable,
        ] {
            let response = pages.response(&page, Catalogue::english());
            let headers = response.headers();
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none';"), "{page:?}: {policy}");
            assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{page:?}");
            assert_eq!(headers[header::REFERRER_POLICY], "no-referrer", "{page:?}");
            assert_eq!(headers.contains_key(header::RETRY_AFTER), page == Page::Unavailable, "{page:?}");
        }
    }

    #[test]
    fn page_says_its_language_and_direction() {
        let pages = Pages::new("A Bank".to_owned(), Language::english());
        for (tag, root, title) in [
            ("en", r#"<html lang="en" dir="ltr">"#, "You are unsubscribed"),
            ("pt-PT", r#"<html lang="pt-PT" dir="ltr">"#, "A subscrição foi cancelada"),
            ("ar", r#"<html lang="ar" dir="rtl">"#, "تم إلغاء اشتراكك"),
        ] {
            let catalogue = Catalogue::of(&tag.parse().unwrap()).unwrap();
            let html = pages.layout(&Page::OptedOut(Channel::Email, None), catalogue).render().unwrap();
            assert!(html.contains(root) && html.contains(title), "{html}");
        }
    }
}
