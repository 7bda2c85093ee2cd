//! What a server says it can do, in its reply to `EHLO` (RFC 5321, 4.1.1.1).

use crate::auth::Mechanism;

/// The extensions that a server offers, as far as we use them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Several commands may be sent at once (RFC 2920).
    pub pipelining: bool,
    /// `MAIL` may name the size of the message (RFC 1870); the number is the most octets that the server accepts, 0 if
    /// it does not say.
    pub size: Option<u64>,
    /// Messages may have bytes above 127 (RFC 6152).
    pub eight_bit_mime: bool,
    /// Addresses and headers may have bytes above 127 (RFC 6531).
    pub smtp_utf8: bool,
    /// The connection can be encrypted (RFC 3207).
    pub start_tls: bool,
    /// Replies start with an enhanced status code (RFC 2034). They are read in any case.
    pub enhanced_status_codes: bool,
    /// The ways to send a password that the server has and we know (RFC 4954).
    pub(crate) mechanisms: Vec<Mechanism>,
}

impl Capabilities {
    /// Reads the lines of a reply to `EHLO`. The first one is the server's name. Names are in any case, and what we do
    /// not know is ignored.
    pub(crate) fn of<'l>(lines: impl Iterator<Item = &'l [u8]>) -> Self {
        let mut offered = Self::default();
        for line in lines.skip(1) {
            let line = String::from_utf8_lossy(line).to_ascii_uppercase();
            let mut words = line.split_whitespace();
            match words.next().unwrap_or_default() {
                "PIPELINING" => offered.pipelining = true,
                "8BITMIME" => offered.eight_bit_mime = true,
                "SMTPUTF8" => offered.smtp_utf8 = true,
                "STARTTLS" => offered.start_tls = true,
                "ENHANCEDSTATUSCODES" => offered.enhanced_status_codes = true,
                "SIZE" => offered.size = Some(words.next().and_then(|limit| limit.parse().ok()).unwrap_or(0)),
                "AUTH" => offered.add_mechanisms(words),
                // The form of servers from before RFC 2554, which many still send besides.
                old => {
                    if let Some(first) = old.strip_prefix("AUTH=") {
                        offered.add_mechanisms(std::iter::once(first).chain(words));
                    }
                }
            }
        }
        offered
    }

    fn add_mechanisms<'w>(&mut self, words: impl Iterator<Item = &'w str>) {
        for mechanism in words.filter_map(Mechanism::named) {
            if !self.mechanisms.contains(&mechanism) {
                self.mechanisms.push(mechanism);
            }
        }
        self.mechanisms.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_in_any_form() {
        let of = |text: &str| Capabilities::of(text.split('\n').map(str::as_bytes));
        assert_eq!(of("PIPELINING"), Capabilities::default(), "the first line is a name");
        assert_eq!(of(""), Capabilities::default());
        let all =
            of("mx.example\npipelining\nSIZE 1000\n8BitMime\nSMTPUTF8\nSTARTTLS\nENHANCEDSTATUSCODES\nDSN\n\nX \u{e9}");
        assert!(all.pipelining && all.eight_bit_mime && all.smtp_utf8 && all.start_tls && all.enhanced_status_codes);
        for (line, size) in [
            ("SIZE 1000", Some(1_000)),
            ("SIZE", Some(0)),
            ("SIZE 0", Some(0)),
            ("SIZE=5", None),
            ("SIZE lots", Some(0)),
            ("SIZE 99999999999999999999", Some(0)),
            ("SIZES 5", None),
        ] {
            assert_eq!(of(&format!("mx\n{line}")).size, size, "{line}");
        }
        for (lines, mechanisms) in [
            ("AUTH LOGIN PLAIN", vec![Mechanism::Plain, Mechanism::Login]),
            ("AUTH=LOGIN", vec![Mechanism::Login]),
            ("AUTH=LOGIN PLAIN", vec![Mechanism::Plain, Mechanism::Login]),
            ("AUTH PLAIN\nAUTH=PLAIN", vec![Mechanism::Plain]),
            ("auth xoauth2 plain", vec![Mechanism::Plain]),
            ("AUTH", vec![]),
            ("AUTH CRAM-MD5", vec![]),
        ] {
            assert_eq!(of(&format!("mx\n{lines}")).mechanisms, mechanisms, "{lines}");
        }
    }
}
