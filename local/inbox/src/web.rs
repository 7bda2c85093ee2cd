//! The page and the JSON API.

use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse};
use axum::routing::{get, put};
use axum::{Json, Router};
use loopback::only_from_here;
use serde::Deserialize;

use crate::faults::{self, Fault, Faults};
use crate::message::{Listed, Mail, Messages, Wanted};
use crate::texts::{SentText, Texts};

const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// The page loads only its own parts, and shows only frames of this server.
const PAGE_POLICY: [(HeaderName, &str); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::CACHE_CONTROL, "no-store"),
];

/// E-mail content is untrusted, even here: it runs no scripts and loads only images, from the message itself or from
/// this machine. A link that is followed opens a tab, which the sandbox does not restrict.
const MESSAGE_POLICY: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; img-src data: http://127.0.0.1:* http://localhost:*; form-action 'none'; frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_DNS_PREFETCH_CONTROL, "off"),
    (header::CACHE_CONTROL, "no-store"),
];

/// What a link on another page may lead to.
const ENTRIES: &[&str] = &["/"];

/// The page, `/api/messages`, a message's HTML, source and conversation, `/api/texts`, and fault injection: `/api/faults`, `/api/password`. For programs
/// of this machine and for the page itself, not for pages elsewhere.
pub fn router(messages: Messages, faults: Faults, texts: Texts) -> Router {
    let script = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    let style = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    Router::new()
        .route("/", get(async || (PAGE_POLICY, Html(include_str!("page.html")))))
        .route("/page.js", get(async move || (script, include_str!("page.js"))))
        .route("/page.css", get(async move || (style, include_str!("page.css"))))
        .route("/api/messages", get(all).delete(clear))
        // For clients that join the inbox's URL, which ends with a slash, and a path that begins with one.
        .route("//api/messages", get(all).delete(clear))
        .route("/messages/{id}/html", get(html))
        .route("/messages/{id}/source", get(source))
        .route("/messages/{id}/conversation", get(conversation))
        .with_state(messages)
        .merge(Router::new().route("/api/texts", get(sent_texts)).with_state(texts))
        .merge(
            Router::new()
                .route("/api/faults", get(faults_now).put(set_faults))
                .route("/api/password", put(set_password))
                .with_state(faults),
        )
        .layer(from_fn_with_state(ENTRIES, only_from_here))
        // A message is shown without an origin, so its picture counts as another page's.
        .route(SAMPLE_PATH, get(sample_picture))
}

async fn faults_now(State(faults): State<Faults>) -> Json<faults::State> {
    Json(faults.state())
}

async fn set_faults(State(faults): State<Faults>, Json(wanted): Json<Vec<Fault>>) -> StatusCode {
    faults.set(wanted);
    StatusCode::NO_CONTENT
}

async fn set_password(State(faults): State<Faults>, Json(password): Json<Option<String>>) -> StatusCode {
    faults.set_password(password);
    StatusCode::NO_CONTENT
}

/// The newest messages: `?limit=` of them, or all. With `?before=`, only those that are older than the one with this id;
/// with `?find=`, only those whose addresses or subject contain it; with `?to=`, only those whose recipient's address ends
/// with it. With `?bodies=false`, each has its first words in place of its body and headers. `X-Total-Count` is the number of
/// all stored messages.
async fn all(State(messages): State<Messages>, Query(asked): Query<Asked>) -> impl IntoResponse {
    let Asked { limit, before, find, to, bodies } = asked;
    let (limit, find, to) = (limit.unwrap_or(usize::MAX), find.unwrap_or_default(), to.unwrap_or_default());
    let (total, newest) = messages.newest(&Wanted { limit, before, find, to });
    let total = [(TOTAL_COUNT, total.to_string())];
    if bodies == Some(false) {
        let listed: Vec<_> = newest.into_iter().map(Listed::from).collect();
        return (total, Json(listed)).into_response();
    }
    let newest: Vec<_> = newest.into_iter().map(Mail::from).collect();
    (total, Json(newest)).into_response()
}

/// The text messages that the emulator of AWS has recorded: `?limit=` of them, or all; with `?find=`, only those whose number or
/// text contains it. `X-Total-Count` is the number of all of them.
async fn sent_texts(
    State(texts): State<Texts>,
    Query(asked): Query<AskedTexts>,
) -> Result<impl IntoResponse, (StatusCode, String)> {
    let AskedTexts { limit, find } = asked;
    let sent = texts.sent(&find.unwrap_or_default(), limit.unwrap_or(usize::MAX)).await;
    let (total, sent) = sent.map_err(|error| (StatusCode::BAD_GATEWAY, format!("{error:#}")))?;
    Ok(([(TOTAL_COUNT, total.to_string())], Json::<Vec<SentText>>(sent)))
}

#[derive(Deserialize)]
struct AskedTexts {
    limit: Option<usize>,
    find: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    limit: Option<usize>,
    before: Option<u64>,
    find: Option<String>,
    to: Option<String>,
    bodies: Option<bool>,
}

async fn clear(State(messages): State<Messages>) -> StatusCode {
    messages.clear();
    StatusCode::NO_CONTENT
}

async fn html(State(messages): State<Messages>, Path(id): Path<u64>) -> impl IntoResponse {
    let mail = messages.get(id).ok_or(StatusCode::NOT_FOUND)?;
    Ok::<_, StatusCode>((MESSAGE_POLICY, Html(framed(&mail.html))))
}

async fn source(State(messages): State<Messages>, Path(id): Path<u64>) -> impl IntoResponse {
    let mail = messages.get(id).ok_or(StatusCode::NOT_FOUND)?;
    let text = String::from_utf8_lossy(&mail.entry.raw).into_owned();
    Ok::<_, StatusCode>(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text))
}

async fn conversation(State(messages): State<Messages>, Path(id): Path<u64>) -> impl IntoResponse {
    let mail = messages.get(id).ok_or(StatusCode::NOT_FOUND)?;
    Ok::<_, StatusCode>(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], mail.entry.transcript.text()))
}

/// Elements through which Chromium connects to a server although the policy refuses what they load, and others that do
/// nothing and are allowed in the same places.
const CONNECTING: [(&str, &str); 3] =
    [("<link", "<meta"), ("<iframe", "<removed-iframe"), ("<frame", "<removed-frame")];

/// The picture of the sample offer. No server has it: the one of this name is an example (RFC 2606).
const SAMPLE_PICTURE: (&str, &[u8]) = ("https://bank.example/cashback.jpg", include_bytes!("sample/cashback.jpg"));
/// Where the inbox has it.
const SAMPLE_PATH: &str = "/sample/cashback.jpg";

async fn sample_picture() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "image/jpeg"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], SAMPLE_PICTURE.1)
}

/// A message as the page frames it. Links open in a new tab: in the frame, the page that they lead to could not be used.
fn framed(html: &str) -> String {
    let html = html.replace(SAMPLE_PICTURE.0, SAMPLE_PATH);
    let html = CONNECTING.iter().fold(html, |html, (from, to)| with_elements_renamed(&html, from, to));
    let lower = html.to_ascii_lowercase();
    let end_of = |start: usize| lower[start..].find('>').map(|end| start + end + 1);
    let head = lower.match_indices("<head").map(|(start, _)| start).find(|start| {
        // Not `<header>`.
        lower[start + "<head".len()..].starts_with(|next: char| next == '>' || next.is_ascii_whitespace())
    });
    // What precedes the document type would change how the whole document is shown.
    let doctype = lower.trim_start().starts_with("<!doctype").then_some(0);
    let base_at = head.or(doctype).and_then(end_of).unwrap_or(0);

    let (start, rest) = html.split_at(base_at);
    format!(r#"{start}<base target="_blank">{rest}"#)
}

/// Replaces the starts of tags, in upper or lower case.
fn with_elements_renamed(html: &str, from: &str, to: &str) -> String {
    let lower = html.to_ascii_lowercase();
    let mut renamed = String::with_capacity(html.len());
    let mut done = 0;
    for (start, _) in lower.match_indices(from) {
        renamed.push_str(&html[done..start]);
        renamed.push_str(to);
        done = start + from.len();
    }
    renamed + &html[done..]
}

#[cfg(test)]
mod tests {
    use super::framed;

    #[test]
    fn links_open_in_a_new_tab_and_the_document_type_stays_first() {
        for (html, wanted) in [
            (
                "<!DOCTYPE html><html><HEAD dir=ltr><title>a</title>",
                "<!DOCTYPE html><html><HEAD dir=ltr>BASE<title>a</title>",
            ),
            ("<!doctype html>\n<header>é</header>", "<!doctype html>BASE\n<header>é</header>"),
            ("<p>İ</p>", "BASE<p>İ</p>"),
            ("<head", "BASE<head"),
            ("", "BASE"),
        ] {
            assert_eq!(framed(html), wanted.replace("BASE", r#"<base target="_blank">"#), "{html}");
        }
    }

    #[test]
    fn elements_that_would_connect_to_a_server_are_replaced() {
        let framed =
            framed("<html><head><Link rel=preconnect href=//a.example></head>é<IFRAME\nsrc=//b.example><frame/>");
        let wanted = "<meta rel=preconnect href=//a.example></head>é<removed-iframe\nsrc=//b.example><removed-frame/>";
        assert!(framed.ends_with(wanted), "{framed}");
    }
}
