//! Keeps the web pages that a developer opens away from the servers on this machine. They listen on loopback, but a
//! page in the browser reaches loopback too.
//!
//! A browser says what a page cannot change: in `Host` the name in the URL, in `Origin` and `Sec-Fetch-Site` which page
//! makes the request (Fetch standard, "Origin header"; W3C Fetch Metadata Request Headers). Other programs send no
//! `Origin` and no `Sec-Fetch-Site`, and are answered.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the decision | `refusal`; `only_from_here.py` is the same for the emulators, which are Python |
//! | the cases that both must decide alike | `cases.json` |
//! | headers of all responses | `only_from_here` |

use std::net::Ipv4Addr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Serves a request, or refuses it if another page makes it. Pages elsewhere may lead to the paths of `entries`: a link
/// may be followed, but what it leads to is neither read nor framed by the page that has the link.
pub async fn only_from_here(State(entries): State<&'static [&'static str]>, request: Request, next: Next) -> Response {
    let is_entry = entries.contains(&request.uri().path());
    let mut response = match refusal(request.method(), request.headers(), is_entry) {
        Some((status, reason)) => (status, reason).into_response(),
        None => next.run(request).await,
    };
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    // A policy of the page's own says more.
    let alone = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    response.headers_mut().entry(header::CONTENT_SECURITY_POLICY).or_insert(alone);
    response
}

/// Why a request is refused; `None` for one that is answered.
pub fn refusal(method: &Method, headers: &HeaderMap, is_entry: bool) -> Option<(StatusCode, &'static str)> {
    let Ok(host) = only_value(headers, "host") else {
        return Some((StatusCode::MISDIRECTED_REQUEST, NOT_LOOPBACK));
    };
    // Prevents DNS rebinding: another site may point its own name at this machine, and the browser sends that name.
    let Some(host) = host.filter(|host| is_loopback(host)) else {
        return Some((StatusCode::MISDIRECTED_REQUEST, NOT_LOOPBACK));
    };
    let other_page = Some((StatusCode::FORBIDDEN, OTHER_PAGE));
    // Only a browser asks, and only for a page of another origin.
    if headers.contains_key("access-control-request-method") {
        return other_page;
    }
    let (Ok(origin), Ok(site)) = (only_value(headers, "origin"), only_value(headers, "sec-fetch-site")) else {
        return other_page;
    };
    let is_own_origin = match origin {
        None => true,
        // A page with the referrer policy `no-referrer`, such as the unsubscribe page, sends its form this way.
        Some("null") => site == Some("same-origin"),
        Some(origin) => origin.strip_prefix("http://").is_some_and(|origin| origin.eq_ignore_ascii_case(host)),
    };
    let is_own_site = match site {
        // `none`: the person typed the address, or opened a bookmark.
        None | Some("same-origin" | "none") => true,
        Some(_) => {
            let is = |name, value| only_value(headers, name) == Ok(Some(value));
            let is_followed_link = is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document");
            is_entry && method == Method::GET && is_followed_link
        }
    };
    if is_own_origin && is_own_site { None } else { other_page }
}

const NOT_LOOPBACK: &str = "This server answers only at http://127.0.0.1 or http://localhost, with its port.\n";
const OTHER_PAGE: &str = "This server does not answer pages of other origins.\n";

/// The value of a header that must not be repeated.
fn only_value<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().map(|value| value.to_str().map_err(drop)).transpose()?;
    if values.next().is_none() { Ok(first) } else { Err(()) }
}

/// Whether a `Host` names this machine's loopback, on any port. No page chooses the port that its browser sends; a
/// tunnel from another machine changes it. `*.localhost` never leaves the machine (RFC 6761, section 6.3).
fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !name.ends_with(':') && !port.ends_with(']') => (name, port),
        _ => (host, "0"),
    };
    let name = name.to_ascii_lowercase();
    let is_name = name == "localhost" || name.strip_suffix(".localhost").is_some_and(is_domain);
    let is_address = name == "[::1]" || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback());
    (is_name || is_address) && port.parse::<u16>().is_ok()
}

fn is_domain(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::process::Command;

    use axum::http::HeaderName;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        what: String,
        #[serde(default = "get")]
        method: String,
        /// A list where a header comes several times.
        headers: BTreeMap<String, Values>,
        #[serde(default)]
        entry: bool,
        /// The status of the refusal; 0 for a request that is answered.
        refused: u16,
    }

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Values {
        One(String),
        Several(Vec<String>),
    }

    fn get() -> String {
        "GET".to_owned()
    }

    #[test]
    fn only_programs_of_this_machine_and_own_pages_are_answered() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../cases.json")).unwrap();
        for case in cases {
            let mut headers = HeaderMap::new();
            for (name, values) in case.headers {
                let name: HeaderName = name.parse().unwrap();
                let values = match values {
                    Values::One(value) => vec![value],
                    Values::Several(values) => values,
                };
                for value in values {
                    headers.append(&name, value.parse().unwrap());
                }
            }
            let refused = refusal(&case.method.parse().unwrap(), &headers, case.entry);
            assert_eq!(refused.map_or(0, |(status, _)| status.as_u16()), case.refused, "{}", case.what);
        }
    }

    #[test]
    fn the_check_of_the_emulators_decides_alike() {
        let folder = env!("CARGO_MANIFEST_DIR");
        let python = std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into());
        let checked = Command::new(python).arg("-B").arg("only_from_here.py").current_dir(folder).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(said.contains("cases decided as expected"), "{said}");
    }
}
