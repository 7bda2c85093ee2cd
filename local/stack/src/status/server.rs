//! Serves the status page: on loopback only, and not to pages elsewhere.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use client::Stack;
use loopback::only_from_here;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::observer::Observer;
use super::view::Status;
use crate::options::Target;

/// How long a snapshot is reused, so that several browsers cause no extra load.
const CACHE_TTL: Duration = Duration::from_millis(800);

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

/// Serves the page until the process is stopped.
pub(crate) async fn serve(stack_file: PathBuf, port: u16) -> Result<()> {
    let page = Arc::new(Page { stack_file, cache: Mutex::default() });
    let script = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    let style = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    let router = Router::new()
        .route("/", get(async || (POLICY, Html(include_str!("page.html")))))
        .route("/page.js", get(async move || (script, include_str!("page.js"))))
        .route("/page.css", get(async move || (style, include_str!("page.css"))))
        .route("/api/status", get(status))
        // For clients that join the page's URL, which ends with a slash, and a path that begins with one.
        .route("//api/status", get(status))
        .with_state(page)
        .layer(from_fn_with_state(ENTRIES, only_from_here));
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await
        .with_context(|| format!("cannot listen on port {port}"))?;
    Ok(axum::serve(listener, router).await?)
}

struct Page {
    stack_file: PathBuf,
    cache: Mutex<Cache>,
}

/// The last snapshot, and the observer of the current stack.
#[derive(Default)]
struct Cache {
    observer: Option<(Stack, Observer)>,
    last: Option<(Instant, Status)>,
}

async fn status(State(page): State<Arc<Page>>) -> Response {
    match page.cache.lock().await.observe(&page.stack_file).await {
        Ok(status) => Json(status).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"detail": format!("{error:#}")}))).into_response(),
    }
}

impl Cache {
    async fn observe(&mut self, stack_file: &Path) -> Result<Status> {
        // `up` may have deployed another stack since the last request.
        let stack = Stack::read(stack_file).context("no local stack is deployed yet")?;
        if self.observer.as_ref().is_none_or(|(seen, _)| *seen != stack) {
            *self = Self { observer: Some((stack.clone(), Observer::new(Target::Local(Box::new(stack))))), last: None };
        }
        if let Some((at, status)) = &self.last
            && at.elapsed() < CACHE_TTL
        {
            return Ok(status.clone());
        }
        let (_, observer) = self.observer.as_mut().context("the observer is missing")?;
        let status = observer.observe().await;
        self.last = Some((Instant::now(), status.clone()));
        Ok(status)
    }
}
