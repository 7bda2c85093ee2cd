//! The links of offers: `https` only, to allowed domains, with customers' values only in the query.

use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::characters::{self, Lines};
use crate::text::{Part, RenderError, Text, Values};

/// Maximum length of a link as it is posted, in characters.
const URL_LIMIT: usize = 1_000;
/// Maximum length of a link as it is sent, in characters: what mail programs and browsers take.
const RENDERED_URL_LIMIT: usize = 2_000;

/// What is percent-encoded in a value: all but the unreserved characters of RFC 3986, 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The domains that links may lead to, with their subdomains; none: any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkDomains(Vec<String>);

impl FromStr for LinkDomains {
    type Err = String;

    /// Reads a list with commas.
    fn from_str(string: &str) -> Result<Self, String> {
        let domain = |domain: &str| match Host::parse(domain) {
            Ok(Host::Domain(domain)) => Ok(domain),
            _ => Err(format!(
                "has an entry that is no domain: {domain}; expected something like bank.example,shop.example"
            )),
        };
        entries(string).map(domain).collect::<Result<_, _>>().map(Self)
    }
}

impl LinkDomains {
    fn allow(&self, host: &str) -> bool {
        self.0.is_empty() || is_within_any(host, &self.0)
    }
}

/// The entries of a list with commas.
pub(crate) fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// Whether a host is one of these domains, or a subdomain of one. All are in their normal form.
pub(crate) fn is_within_any(host: &str, domains: &[String]) -> bool {
    let is_within =
        |domain: &String| host.strip_suffix(domain.as_str()).is_some_and(|sub| sub.is_empty() || sub.ends_with('.'));
    domains.iter().any(is_within)
}

/// A URL with placeholders, checked when the offer is posted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LinkUrl(Text);

impl LinkUrl {
    /// Parses a URL as callers post it.
    ///
    /// # Errors
    /// What is wrong, to follow the field's name.
    pub fn parse(source: &str, domains: &LinkDomains) -> Result<Self, String> {
        characters::check(source, Lines::One).map_err(|found| format!("must not contain {found}"))?;
        let text = Text::parse(source).map_err(|error| error.to_string())?;
        let parts = text.checked_parts().map_err(|error| error.to_string())?;
        check(&parts, domains)?;
        drop(parts);
        Ok(Self(text))
    }

    /// The URL as it was posted.
    pub fn source(&self) -> &str {
        self.0.source()
    }

    pub(crate) fn as_text(&self) -> &Text {
        &self.0
    }

    /// The URL with a customer's values: printable ASCII, percent-encoded.
    ///
    /// # Errors
    /// As [`Text::render`].
    pub fn render(&self, values: &Values<'_>) -> Result<String, RenderError> {
        render(&self.0.checked_parts()?, values)
    }
}

/// Checks the parts of a URL, and returns it with `x` for each value.
///
/// # Errors
/// What is wrong, to follow the field's name.
pub(crate) fn check(parts: &[Part<'_>], domains: &LinkDomains) -> Result<String, String> {
    let mut sample = String::new();
    let mut value_before_query = false;
    for part in parts {
        match part {
            Part::Plain(plain) => sample.push_str(plain),
            Part::Value(_) => {
                value_before_query |= !sample.contains('?') || sample.contains('#');
                sample.push('x');
            }
        }
    }
    let length = sample.chars().count();
    if length > URL_LIMIT {
        return Err(format!("must have at most {URL_LIMIT} characters, not {length}"));
    }
    if value_before_query {
        return Err("must have placeholders in the query only, after the question mark and before any #".to_owned());
    }
    // What `Url` would remove or replace: another parser might read it in another way.
    if sample.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("must have no space and no backslash; write a space as %20".to_owned());
    }
    let url =
        Url::parse(&sample).ok().filter(|url| url.scheme() == "https" && sample[..8].eq_ignore_ascii_case("https://"));
    let url = url.ok_or("must be an https:// URL, as in https://bank.example/offers")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must have no user and no password".to_owned());
    }
    let Some(Host::Domain(host)) = url.host() else {
        return Err("must have a domain, not an address of numbers".to_owned());
    };
    let length = url.as_str().len();
    if length > RENDERED_URL_LIMIT {
        return Err(format!(
            "must have at most {RENDERED_URL_LIMIT} characters when it is percent-encoded, not {length}"
        ));
    }
    if !domains.allow(host.trim_end_matches('.')) {
        return Err(format!("must lead to one of the domains in the parameter LinkDomains: {}", domains.0.join(", ")));
    }
    Ok(String::from(url))
}

/// A URL with a customer's values, which are percent-encoded.
pub(crate) fn render(parts: &[Part<'_>], values: &Values<'_>) -> Result<String, RenderError> {
    let mut url = String::new();
    for part in parts {
        match part {
            Part::Plain(plain) => url.push_str(plain),
            Part::Value(placeholder) => {
                url.extend(utf8_percent_encode(&values.fill(placeholder)?, RESERVED));
            }
        }
        if url.len() > RENDERED_URL_LIMIT {
            return Err(RenderError::TooLong { limit: RENDERED_URL_LIMIT });
        }
    }
    let url = Url::parse(&url).map_err(|_| RenderError::InvalidMarkup("has a link that is no URL".to_owned()))?;
    let url = String::from(url);
    if url.len() > RENDERED_URL_LIMIT { Err(RenderError::TooLong { limit: RENDERED_URL_LIMIT }) } else { Ok(url) }
}

#[cfg(test)]
mod tests {
    use language::{Formats, Language};
    use serde_json::json;

    use super::*;
    use crate::Customer;

    fn parse(url: &str, domains: &str) -> Result<LinkUrl, String> {
        LinkUrl::parse(url, &domains.parse().unwrap())
    }

    #[test]
    fn link_is_https_with_values_in_the_query_only() {
        for good in [
            "https://bank.example",
            "https://bank.example/a/b?c={{ customer.id }}&d={{customer.name | default: \"you\"}}#end",
            "HTTPS://Bank.Example:8443/%20",
            "https://b\u{e4}nk.example/\u{fc}",
        ] {
            assert!(parse(good, "").is_ok(), "{good}");
        }
        for (bad, why) in [
            ("http://bank.example", "must be an https:// URL"),
            ("bank.example", "must be an https:// URL"),
            ("https:bank.example", "must be an https:// URL"),
            ("https:/bank.example/a", "must be an https:// URL"),
            ("javascript:alert(1)", "must be an https:// URL"),
            ("", "must be an https:// URL"),
            ("https://{{ customer.host }}/", "query only"),
            ("https://{{ customer.host }}.bank.example/?a", "query only"),
            ("https://bank.example/{{ customer.id }}", "query only"),
            ("https://bank.example{{ customer.id }}?a", "query only"),
            ("https://bank.example/?a#{{ customer.id }}", "query only"),
            ("https://user@bank.example/", "no user"),
            ("https://user:password@bank.example/", "no user"),
            ("https://bank.example\\@evil.example/", "no backslash"),
            ("https://bank.example/a b", "no space"),
            ("https://127.0.0.1/", "not an address"),
            ("https://0x7f000001/", "not an address"),
            ("https://[::1]/", "not an address"),
            ("https://bank.example/?{{ customer.id | upper }}", "unknown filter"),
            ("https://bank.example/\u{202e}", "must not contain"),
            ("https://bank.example/\n", "must not contain"),
            (&format!("https://bank.example/{}", "x".repeat(1_000)), "must have at most 1000 characters, not"),
            (&format!("https://bank.example/{}", "ü".repeat(400)), "must have at most 2000 characters when"),
        ] {
            let error = parse(bad, "").unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn link_leads_to_an_allowed_domain() {
        let domains = "bank.example, Shop.example,b\u{e4}nk.example";
        for good in [
            "https://bank.example",
            "https://www.bank.example/x",
            "https://SHOP.example",
            "https://xn--bnk-qla.example",
            "https://bank.example./",
        ] {
            assert!(parse(good, domains).is_ok(), "{good}");
        }
        for bad in [
            "https://evilbank.example",
            "https://bank.example.evil.example",
            "https://example",
            "https://evil.example/bank.example",
        ] {
            assert!(parse(bad, domains).unwrap_err().contains("LinkDomains"), "{bad}");
        }
        assert!("bank.example,1.2.3.4".parse::<LinkDomains>().is_err());
        assert!("https://bank.example".parse::<LinkDomains>().is_err());
    }

    #[test]
    fn values_are_percent_encoded_and_cannot_change_the_link() {
        let customer = json!({"name": "A&b=c#d/é? \u{1f381}", "channels": [], "attributes": {"empty": ""}});
        let customer = Customer::parse("c-1", customer).unwrap();
        let formats = Formats::new(&Language::english(), None);
        let values = Values::new(&customer, &formats);
        let link = parse(
            "https://bank.example/?n={{ customer.name }}&e={{ customer.empty }}&x={{ customer.x | default: \"a b\" }}&i={{ customer.id }}",
            "",
        )
        .unwrap();
        assert_eq!(
            link.render(&values).unwrap(),
            "https://bank.example/?n=A%26b%3Dc%23d%2F%C3%A9%3F%20%F0%9F%8E%81&e=&x=a%20b&i=c-1"
        );
        let link = parse("https://bank.example/?n={{ customer.none }}", "").unwrap();
        assert!(matches!(link.render(&values), Err(RenderError::Missing { .. })));
    }
}
