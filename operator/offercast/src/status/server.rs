//! Serves the status page: on loopback only, and not to pages elsewhere.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::extract::{Path, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use client::Stack;
use domain::OfferId;
use loopback::only_from_here;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::observer::Observer;
use super::unsent;
use super::view::Status;
use crate::target::{Target, TargetArgs};

/// How long a snapshot is reused, so that several browsers cause no extra load.
const CACHE_TTL: Duration = Duration::from_millis(800);
/// The same on AWS, whose APIs have rate limits.
const CACHE_TTL_ON_AWS: Duration = Duration::from_secs(10);

/// The page loads only its own parts, even if a customer's name contains HTML.
const POLICY: [(HeaderName, &str); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
];

/// What a link on another page may lead to.
const ENTRIES: &[&str] = &["/"];

/// What the page is about.
pub enum Served {
    /// The local stack of this `stack.json`. Changes to it are picked up.
    File(PathBuf),
    /// A stack on AWS.
    Target(Box<TargetArgs>),
}

/// Serves the page until the process is stopped.
///
/// # Errors
/// If the port is taken.
pub async fn serve(served: Served, port: u16) -> Result<()> {
    let is_local = matches!(served, Served::File(_));
    let page = Arc::new(Page { served, cache: Mutex::default() });
    let script = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    let style = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    let router = Router::new()
        .route("/", get(async || (POLICY, Html(include_str!("page.html")))))
        .route("/page.js", get(async move || (script, include_str!("page.js"))))
        .route("/page.css", get(async move || (style, include_str!("page.css"))))
        .route("/api/status", get(status))
        // For clients that join the page's URL, which ends with a slash, and a path that begins with one.
        .route("//api/status", get(status))
        .route("/api/offers/{offer}/unsent", get(unsent))
        .merge(if is_local { actions() } else { Router::new() })
        .with_state(page)
        .layer(from_fn_with_state(ENTRIES, only_from_here));
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await
        .with_context(|| format!("cannot listen on port {port}"))?;
    Ok(axum::serve(listener, router).await?)
}

/// What changes something. Not on AWS: another user of this machine would act with the credentials of the one who serves the page.
fn actions() -> Router<Arc<Page>> {
    Router::new()
        .route("/api/offers/{offer}/pushes", post(push_again))
        .route("/api/offers/{offer}/pushes/{number}/cancel", post(cancel))
}

struct Page {
    served: Served,
    cache: Mutex<Cache>,
}

/// The last snapshot, and the observer of the current stack.
#[derive(Default)]
struct Cache {
    observer: Option<(Option<Stack>, Observer)>,
    last: Option<(Instant, Status)>,
}

impl Page {
    /// The local stack may be another one since the last request.
    async fn target(&self) -> Result<Target> {
        match &self.served {
            Served::File(file) => Ok(Target::Local(Box::new(deployed(file)?))),
            Served::Target(target) => target.resolve().await,
        }
    }

    async fn status(&self) -> Result<Status> {
        let mut cache = self.cache.lock().await;
        let local = match &self.served {
            Served::File(file) => Some(deployed(file)?),
            Served::Target(_) => None,
        };
        if cache.observer.as_ref().is_none_or(|(seen, _)| *seen != local) {
            *cache = Cache { observer: Some((local, Observer::new(self.target().await?))), last: None };
        }
        let ttl = if matches!(self.served, Served::File(_)) { CACHE_TTL } else { CACHE_TTL_ON_AWS };
        if let Some((at, status)) = &cache.last
            && at.elapsed() < ttl
        {
            return Ok(status.clone());
        }
        let (_, observer) = cache.observer.as_mut().context("the observer is missing")?;
        let status = observer.observe().await;
        cache.last = Some((Instant::now(), status.clone()));
        Ok(status)
    }

    /// A call of the API, with its status and, if it refused, what it says.
    async fn post(&self, path: &str) -> Response {
        let call = async { self.target().await?.api()?.call("POST", path, &[], b"").await };
        match call.await {
            Ok(response) if response.status < 400 => StatusCode::NO_CONTENT.into_response(),
            Ok(response) => {
                let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::BAD_GATEWAY);
                (status, Json(json!({"detail": response.problem()}))).into_response()
            }
            Err(error) => unavailable(&error),
        }
    }
}

fn deployed(stack_file: &std::path::Path) -> Result<Stack> {
    Stack::read(stack_file).context("no local stack is deployed yet")
}

async fn status(State(page): State<Arc<Page>>) -> Response {
    page.status().await.map_or_else(|error| unavailable(&error), |status| Json(status).into_response())
}

async fn unsent(State(page): State<Arc<Page>>, Path(offer): Path<OfferId>) -> Response {
    let read = async { unsent::read(&page.target().await?.api()?, &offer.to_string()).await };
    read.await.map_or_else(|error| unavailable(&error), |unsent| Json(unsent).into_response())
}

async fn push_again(State(page): State<Arc<Page>>, Path(offer): Path<OfferId>) -> Response {
    page.post(&format!("/offers/{offer}/pushes")).await
}

async fn cancel(State(page): State<Arc<Page>>, Path((offer, number)): Path<(OfferId, u32)>) -> Response {
    page.post(&format!("/offers/{offer}/pushes/{number}/cancel")).await
}

fn unavailable(error: &anyhow::Error) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"detail": format!("{error:#}")}))).into_response()
}
