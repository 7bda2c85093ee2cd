//! The name under which we introduce ourselves to SMTP servers.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use url::Host;

/// Our name in `EHLO`: a domain, or an address in brackets (RFC 5321, 4.1.1.1 and 4.1.3). Some servers refuse clients
/// that say a domain without an address record, or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelloName(String);

/// Why a text is not a name for `EHLO`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name for EHLO; expected a domain such as mail.bank.example, or an address such as [192.0.2.1]")]
pub struct InvalidHelloName(String);

impl FromStr for HelloName {
    type Err = InvalidHelloName;

    fn from_str(name: &str) -> Result<Self, InvalidHelloName> {
        let invalid = || InvalidHelloName(name.to_owned());
        if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let address = match address.strip_prefix("IPv6:") {
                Some(address) => address.parse::<Ipv6Addr>().map(IpAddr::from),
                None => address.parse::<Ipv4Addr>().map(IpAddr::from),
            };
            return address.map(|_| Self(name.to_owned())).map_err(|_| invalid());
        }
        match Host::parse(name) {
            // An international domain is in punycode now.
            Ok(Host::Domain(domain)) if is_domain(&domain) => Ok(Self(domain)),
            _ => Err(invalid()),
        }
    }
}

/// Whether this is a domain of RFC 5321, 4.1.2, of at most 255 characters (4.5.3.1.2).
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    domain.len() <= 255 && domain.split('.').all(is_label)
}

impl fmt::Display for HelloName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_name_is_a_domain_or_an_address() {
        for (name, expected) in [
            ("mail.bank.example", "mail.bank.example"),
            ("Mail.Bank.example", "mail.bank.example"),
            ("banco-\u{e1}gil.example", "xn--banco-gil-51a.example"),
            ("localhost", "localhost"),
            ("[192.0.2.1]", "[192.0.2.1]"),
            ("[IPv6:2001:db8::1]", "[IPv6:2001:db8::1]"),
        ] {
            assert_eq!(name.parse::<HelloName>().map(|name| name.to_string()), Ok(expected.to_owned()), "{name}");
        }
        let long = format!("{}.example", "a".repeat(64));
        for name in [
            "",
            ".",
            "bank..example",
            "bank.example.",
            "-bank.example",
            "bank_1.example",
            "bank example",
            "bank.example\r\nMAIL",
            "192.0.2.1",
            "[192.0.2]",
            "[2001:db8::1]",
            "[IPv6:192.0.2.1]",
            "[bank.example]",
            "a@bank.example",
            &long,
        ] {
            let error = name.parse::<HelloName>().unwrap_err().to_string();
            assert!(error.contains("expected a domain such as mail.bank.example"), "{error}");
        }
    }
}
