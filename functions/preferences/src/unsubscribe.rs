//! `GET` and `POST /unsubscribe/{token}`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use domain::HashKey;
use domain::unsubscribe::Subscription;
use store::StoreError;

use crate::app::App;
use crate::links::Link;
use crate::page::Page;
use crate::reader::Reader;

/// The field of the form by which the page subscribes again. Its value is the form's token.
pub(crate) const SUBSCRIBE: &str = "subscribe";
/// The field and value by which a mail program unsubscribes its user (RFC 8058, 3.2).
pub(crate) const ONE_CLICK: (&str, &str) = ("List-Unsubscribe", "One-Click");

/// What a POST asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Request {
    Unsubscribe,
    /// With the token of the page's form.
    Subscribe(String),
}

impl Request {
    /// Parses a form. Only one that asks for nothing else subscribes.
    fn parse(body: &[u8]) -> Self {
        let fields: Vec<_> = url::form_urlencoded::parse(body).collect();
        if fields.iter().any(|(name, value)| (&**name, &**value) == ONE_CLICK) {
            return Self::Unsubscribe;
        }
        let token = fields.into_iter().find(|(name, _)| name == SUBSCRIBE).map(|(_, token)| token.into_owned());
        token.map_or(Self::Unsubscribe, Self::Subscribe)
    }
}

/// Shows whether the customer is subscribed. Changes nothing, because mail scanners follow every link.
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Reader(catalogue): Reader,
    Path(token): Path<String>,
) -> Response {
    let page = match open(&app, &token).await {
        Ok((link, hash_key)) => current(&app, &link, &hash_key).await.unwrap_or_else(|error| unavailable(&error)),
        Err(page) => page,
    };
    app.pages.response(&page, catalogue)
}

/// Unsubscribes immediately (RFC 8058), or subscribes again if the page's form says so. Idempotent.
pub(crate) async fn change(
    State(app): State<Arc<App>>,
    Reader(catalogue): Reader,
    Path(token): Path<String>,
    body: Bytes,
) -> Response {
    let page = match open(&app, &token).await {
        Ok((link, hash_key)) => {
            let changed = match Request::parse(&body) {
                Request::Unsubscribe => unsubscribe(&app, &link, &hash_key).await,
                Request::Subscribe(form) => subscribe(&app, &link, &hash_key, &form).await,
            };
            changed.unwrap_or_else(|error| unavailable(&error))
        }
        Err(page) => page,
    };
    app.pages.response(&page, catalogue)
}

async fn unsubscribe(app: &App, link: &Link, hash_key: &HashKey) -> Result<Page, StoreError> {
    app.suppressions.opt_out(&link.subscription, hash_key, app.sources.now()).await?;
    log(&link.subscription, false);
    current(app, link, hash_key).await
}

async fn subscribe(app: &App, link: &Link, hash_key: &HashKey, form: &str) -> Result<Page, StoreError> {
    if !link.showed(form, &app.sources) {
        return Ok(Page::FormExpired(link.form_token(&app.sources)));
    }
    if !app.suppressions.opt_in(&link.subscription, hash_key, app.sources.now()).await? {
        // The customer opted out elsewhere since the page was shown.
        return current(app, link, hash_key).await;
    }
    log(&link.subscription, true);
    Ok(Page::SubscribedAgain(link.subscription.channel))
}

/// The page for the subscription as it is.
async fn current(app: &App, link: &Link, hash_key: &HashKey) -> Result<Page, StoreError> {
    let channel = link.subscription.channel;
    Ok(match app.suppressions.opted_out(&link.subscription, hash_key).await? {
        None => Page::Subscribed(channel),
        Some(opt_out) => Page::OptedOut(channel, opt_out.may_be_undone.then(|| link.form_token(&app.sources))),
    })
}

/// Verifies a link. Shows the same page whatever is wrong with it, so that a forger learns nothing.
async fn open(app: &App, token: &str) -> Result<(Link, HashKey), Page> {
    let hash_key = app.hash_keys.get().await.map_err(|error| unavailable(&error))?;
    match Link::verify(&app.keys, token, &hash_key).await {
        Ok(Some(link)) => Ok((link, hash_key)),
        Ok(None) => Err(Page::NotFound),
        Err(error) => {
            tracing::error!(error, "cannot read the keys of links; showing the page that asks to try again");
            Err(Page::Unavailable)
        }
    }
}

fn log(Subscription { customer, channel, .. }: &Subscription, subscribes: bool) {
    tracing::info!(customer.id = %customer, %channel, subscribes, "subscription changed");
}

fn unavailable(error: &StoreError) -> Page {
    tracing::error!(error = %error, "store operation failed; showing the page that asks to try again");
    Page::Unavailable
}

/// Handles every other path.
pub(crate) async fn no_such_page(State(app): State<Arc<App>>, Reader(catalogue): Reader) -> Response {
    app.pages.response(&Page::NotFound, catalogue)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_click_unsubscribes_whatever_else_the_form_says() {
        let subscribe = |token: &str| Request::Subscribe(token.to_owned());
        for (body, expected) in [
            ("", Request::Unsubscribe),
            ("List-Unsubscribe=One-Click", Request::Unsubscribe),
            ("List-Unsubscribe=One-Click&subscribe=k1.token", Request::Unsubscribe),
            ("subscribe=k1.token&List-Unsubscribe=One-Click", Request::Unsubscribe),
            ("anything=else", Request::Unsubscribe),
            ("subscribe=k1.token", subscribe("k1.token")),
            ("subscribe=again", subscribe("again")),
        ] {
            assert_eq!(Request::parse(body.as_bytes()), expected, "{body}");
        }
    }
}
