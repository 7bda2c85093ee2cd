//! The unsubscribe links of e-mails, and the URL that they begin with.

use std::str::FromStr;
use std::sync::Arc;

use domain::unsubscribe::{KeyRing, LANGUAGE_PARAMETER, Subscription};
use futures::future::BoxFuture;
use language::Language;
use url::{Host, Url};

use super::mime::UNSUBSCRIBE_URL_LIMIT;

/// Returns the ring of keys, or why it is not available. Called before each batch.
pub type RingSource = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<KeyRing>, String>> + Send + Sync>;

/// The URL at which customers reach the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// Maximum length of the public URL, in characters.
const PUBLIC_URL_LIMIT: usize = 500;
/// Length that a token may have, in characters.
const TOKEN_LIMIT: usize = 300;
const PATH: &str = "/unsubscribe/";
/// Length that the query with a language may have, in characters.
const QUERY_LIMIT: usize = 1 + LANGUAGE_PARAMETER.len() + 1 + language::tag::LENGTH_LIMIT;
const _: () = assert!(PUBLIC_URL_LIMIT + PATH.len() + TOKEN_LIMIT + QUERY_LIMIT <= UNSUBSCRIBE_URL_LIMIT);

/// Why a text cannot be the beginning of links.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; expected something like https://offers.bank.example")]
pub struct InvalidPublicUrl(&'static str);

/// Whether what is fetched cannot be read or changed on the way: with `https`, or from this machine.
pub(super) fn is_confidential(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_here)
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        let url = Url::parse(string).map_err(|_| InvalidPublicUrl("is not a URL"))?;
        if !is_confidential(&url) {
            return Err(InvalidPublicUrl("must begin with https://, except on this machine"));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidPublicUrl("must have no user, no ? and no #"));
        }
        if string.contains(['{', '}']) {
            return Err(InvalidPublicUrl("has a brace that is not part of {api}"));
        }
        // Percent-encoded and in punycode, so that it can stand in a header.
        let url = String::from(url);
        let url = url.trim_end_matches('/');
        if url.len() > PUBLIC_URL_LIMIT {
            return Err(InvalidPublicUrl("is too long: links must fit into a line, which leaves it 500 characters"));
        }
        Ok(Self(url.to_owned()))
    }
}

/// Makes the unsubscribe links of e-mails.
pub struct Links {
    base: PublicUrl,
    pub(super) source: RingSource,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Links {
    /// Makes links to the API at `base`, signed with the keys that `source` returns.
    pub fn new(base: PublicUrl, source: RingSource) -> Self {
        Self { base, source }
    }

    /// The link in a message in this language; `None` for the stack's default language.
    pub(super) fn to(&self, subscription: &Subscription, ring: &KeyRing, language: Option<&Language>) -> String {
        let link = format!("{}{PATH}{}", self.base.0, ring.link_token(subscription));
        match language {
            Some(language) => format!("{link}?{LANGUAGE_PARAMETER}={language}"),
            None => link,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_url_leaves_room_for_the_longest_token() {
        let url = |url: &str| url.parse::<PublicUrl>().map(|url| url.0);
        assert_eq!(url("https://offers.bank.example/v1/").unwrap(), "https://offers.bank.example/v1");
        assert_eq!(url("https://b\u{e4}nk.example").unwrap(), "https://xn--bnk-qla.example");
        assert!(
            url("http://127.0.0.1:4566/a").is_ok() && url("http://localhost").is_ok() && url("http://[::1]").is_ok()
        );
        assert_eq!(url(&format!("https://b.example/{}", "u".repeat(482))).unwrap().len(), PUBLIC_URL_LIMIT);
        let long = format!("https://offers.bank.example/{}", "u".repeat(900));
        for (bad, what) in [
            (&*long, "is too long"),
            ("offers.bank.example", "is not a URL"),
            ("http://bank.example", "must begin with https://"),
            ("ftp://127.0.0.1", "must begin with https://"),
            ("https://bank.example?a", "no ?"),
            ("https://bank.example#a", "no ?"),
            ("https://user@bank.example", "no user"),
            ("https://bank.example/{stage}", "has a brace"),
        ] {
            let error = url(bad).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("https://offers.bank.example"), "{error}");
        }
    }
}
