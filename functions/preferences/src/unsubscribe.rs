//! `GET` and `POST /unsubscribe/{token}`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use domain::clock::now;
use domain::unsubscribe::Subscription;
use store::StoreError;

use crate::app::App;
use crate::links;
use crate::page::Page;

/// What the page's own form sends to subscribe again.
const SUBSCRIBE: (&str, &str) = ("subscribe", "again");

/// Shows where she stands, and changes nothing: scanners of mail follow every link.
pub(crate) async fn show(State(app): State<Arc<App>>, Path(token): Path<String>) -> Response {
    let subscription = match subscription(&app, &token).await {
        Ok(subscription) => subscription,
        Err(page) => return app.pages.response(&page),
    };
    let Subscription { customer, channel, .. } = &subscription;
    app.pages.response(&match app.suppressions.opted_out(*channel, customer).await {
        Ok(None) => Page::Subscribed(*channel),
        Ok(Some(_)) => Page::OptedOut(*channel),
        Err(error) => unavailable(&error),
    })
}

/// Unsubscribes at once (RFC 8058), however often it is asked; or subscribes again, which only the page's own form asks.
pub(crate) async fn change(State(app): State<Arc<App>>, Path(token): Path<String>, body: Bytes) -> Response {
    let subscription = match subscription(&app, &token).await {
        Ok(subscription) => subscription,
        Err(page) => return app.pages.response(&page),
    };
    let Subscription { customer, channel, .. } = &subscription;
    let subscribes = url::form_urlencoded::parse(&body).any(|(name, value)| (&*name, &*value) == SUBSCRIBE);
    let (changed, page) = if subscribes {
        (app.suppressions.opt_in(*channel, customer).await, Page::SubscribedAgain(*channel))
    } else {
        (app.suppressions.opt_out(&subscription, now()).await, Page::OptedOut(*channel))
    };
    app.pages.response(&match changed {
        Ok(()) => {
            tracing::info!(customer.id = %customer, %channel, subscribes, "a customer decided what she hears");
            page
        }
        Err(error) => unavailable(&error),
    })
}

/// Whatever is wrong with a link, its reader hears the same.
async fn subscription(app: &App, token: &str) -> Result<Subscription, Page> {
    match links::verify(&app.keys, token).await {
        Ok(Some(subscription)) => Ok(subscription),
        Ok(None) => Err(Page::NotFound),
        Err(error) => {
            tracing::error!(error, "the signing keys cannot be read");
            Err(Page::Unavailable)
        }
    }
}

fn unavailable(error: &StoreError) -> Page {
    tracing::error!(error = %error, "the store did not do as asked");
    Page::Unavailable
}

/// Every other path.
pub(crate) async fn no_such_page(State(app): State<Arc<App>>) -> Response {
    app.pages.response(&Page::NotFound)
}
