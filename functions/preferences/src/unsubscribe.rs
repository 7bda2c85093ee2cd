//! `GET` and `POST /unsubscribe/{token}`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use domain::unsubscribe::Subscription;
use store::StoreError;

use crate::app::App;
use crate::links;
use crate::page::Page;

/// The form field by which the page subscribes again.
const SUBSCRIBE: (&str, &str) = ("subscribe", "again");

/// Shows whether the customer is subscribed. Changes nothing, because mail scanners follow every link.
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

/// Unsubscribes immediately (RFC 8058), or subscribes again if the page's form says so. Idempotent.
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
        (app.suppressions.opt_out(&subscription, app.sources.now()).await, Page::OptedOut(*channel))
    };
    app.pages.response(&match changed {
        Ok(()) => {
            tracing::info!(customer.id = %customer, %channel, subscribes, "subscription changed");
            page
        }
        Err(error) => unavailable(&error),
    })
}

/// Shows the same page whatever is wrong with a link, so that a forger learns nothing from it.
async fn subscription(app: &App, token: &str) -> Result<Subscription, Page> {
    match links::verify(&app.keys, token).await {
        Ok(Some(subscription)) => Ok(subscription),
        Ok(None) => Err(Page::NotFound),
        Err(error) => {
            tracing::error!(error, "cannot read the signing keys; showing the page that asks to try again");
            Err(Page::Unavailable)
        }
    }
}

fn unavailable(error: &StoreError) -> Page {
    tracing::error!(error = %error, "store operation failed; showing the page that asks to try again");
    Page::Unavailable
}

/// Handles every other path.
pub(crate) async fn no_such_page(State(app): State<Arc<App>>) -> Response {
    app.pages.response(&Page::NotFound)
}
