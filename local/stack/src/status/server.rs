//! Serves the status page, on loopback only, to this machine's own pages only.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use axum::extract::{Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use client::Stack;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Mutex;

use super::observer::Observer;
use super::view::Status;
use crate::options::Target;

/// Several browsers that watch at the same time are shown the same.
const CACHE_TTL: Duration = Duration::from_millis(800);

/// Nothing but the page's own parts is loaded, whatever a customer's name holds.
const POLICY: [(HeaderName, &str); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CACHE_CONTROL, "no-store"),
];

/// Serves it until told to end.
pub(crate) async fn serve(stack_file: PathBuf, port: u16) -> Result<()> {
    let page = Arc::new(Page { stack_file, cache: Mutex::default() });
    let script = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    let style = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    let router = Router::new()
        .route("/", get(async || (POLICY, Html(include_str!("page.html")))))
        .route("/page.js", get(async move || (script, include_str!("page.js"))))
        .route("/page.css", get(async move || (style, include_str!("page.css"))))
        .route("/api/status", get(status))
        // For who joins the page's URL, which ends with a slash, with a path, which begins with one.
        .route("//api/status", get(status))
        .with_state(page)
        .layer(from_fn(require_local_host));
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await
        .with_context(|| format!("cannot listen on port {port}"))?;
    Ok(axum::serve(listener, router).await?)
}

/// A page of another site can make its name lead here (DNS rebinding), but its browser still tells that name.
async fn require_local_host(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    if !["127.0.0.1", "localhost"].contains(&name) {
        return (StatusCode::MISDIRECTED_REQUEST, "Ask for http://127.0.0.1 or http://localhost.").into_response();
    }
    next.run(request).await
}

struct Page {
    stack_file: PathBuf,
    cache: Mutex<Cache>,
}

/// What was seen last, and who looks.
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
        // Another `up` may have deployed other functions since.
        let stack = Stack::read(stack_file).context("the stack is not deployed yet")?;
        if self.observer.as_ref().is_none_or(|(seen, _)| *seen != stack) {
            *self = Self { observer: Some((stack.clone(), Observer::new(Target::Local(Box::new(stack))))), last: None };
        }
        if let Some((at, status)) = &self.last
            && at.elapsed() < CACHE_TTL
        {
            return Ok(status.clone());
        }
        let (_, observer) = self.observer.as_mut().context("there is nobody to look")?;
        let status = observer.observe().await;
        self.last = Some((Instant::now(), status.clone()));
        Ok(status)
    }
}
