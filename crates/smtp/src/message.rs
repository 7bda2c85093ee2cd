//! A message and its envelope, as they go over the wire.

use std::fmt;

/// The line that ends a message.
pub(crate) const END: &[u8] = b".\r\n";

/// A message ready to be sent: its envelope, and its bytes as `DATA` wants them.
pub struct Message {
    pub(crate) from: String,
    pub(crate) to: String,
    /// With line ends, doubled dots, and the line with a dot that ends it.
    pub(crate) encoded: Vec<u8>,
    /// The octets that RFC 1870, 5, counts: with line ends, without the doubled dots and the end.
    pub(crate) size: u64,
    /// Whether an address has characters above 127.
    pub(crate) has_utf8_address: bool,
    /// Whether a header has bytes above 127.
    pub(crate) has_utf8_headers: bool,
    /// Whether the message has bytes above 127.
    pub(crate) is_8bit: bool,
}

/// An address cannot be part of a command. The text does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address of the envelope has a character that ends it")]
pub struct InvalidAddress;

impl Message {
    /// A message for one recipient. `from` may be empty: then nothing is returned to anybody.
    ///
    /// # Errors
    /// If an address has a character that would end it in a command.
    pub fn new(from: &str, to: &str, raw: &[u8]) -> Result<Self, InvalidAddress> {
        if !is_path(from) || !is_path(to) {
            return Err(InvalidAddress);
        }
        let (encoded, size) = encode(raw);
        let headers = memchr::memmem::find(raw, b"\r\n\r\n").map_or(raw, |end| &raw[..end]);
        Ok(Self {
            from: from.to_owned(),
            to: to.to_owned(),
            size,
            has_utf8_address: !(from.is_ascii() && to.is_ascii()),
            has_utf8_headers: !headers.is_ascii(),
            is_8bit: !raw.is_ascii(),
            encoded,
        })
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("size", &self.size).finish_non_exhaustive()
    }
}

/// Whether an address stays between its angle brackets. Only a quoted part may have brackets and spaces.
fn is_path(address: &str) -> bool {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for c in address.chars() {
        if c.is_control() || (!is_quoted && matches!(c, '<' | '>' | ' ')) {
            return false;
        }
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
    }
    !is_quoted
}

/// The bytes for `DATA`, and the message's size. Every line end becomes CRLF: a bare CR or LF is one line end to one
/// server and none to the next, so that a text could hold a second message (RFC 5321, 2.3.8). A dot at the start of a
/// line is doubled (RFC 5321, 4.5.2).
fn encode(raw: &[u8]) -> (Vec<u8>, u64) {
    let mut encoded = Vec::with_capacity(raw.len() + raw.len() / 32 + 16);
    let mut doubled = 0;
    let mut rest = raw;
    while !rest.is_empty() {
        if rest[0] == b'.' {
            encoded.push(b'.');
            doubled += 1;
        }
        let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        encoded.extend_from_slice(&rest[..end]);
        encoded.extend_from_slice(b"\r\n");
        let line_end = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = rest.get(end + line_end..).unwrap_or_default();
    }
    let size = u64::try_from(encoded.len() - doubled).unwrap_or(u64::MAX);
    encoded.extend_from_slice(END);
    (encoded, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_ends_with_crlf_and_none_is_a_lone_dot() {
        for (raw, encoded, size) in [
            ("", ".\r\n", 0),
            ("a", "a\r\n.\r\n", 3),
            ("a\r\n", "a\r\n.\r\n", 3),
            ("a\r\n\r\nb\r\n", "a\r\n\r\nb\r\n.\r\n", 8),
            (".", "..\r\n.\r\n", 3),
            ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n", 9),
            ("a\r.\r\nb", "a\r\n..\r\nb\r\n.\r\n", 9),
            ("a\n\r.b", "a\r\n\r\n..b\r\n.\r\n", 9),
            ("\r\r\n\n", "\r\n\r\n\r\n.\r\n", 6),
            ("a.\r\n..b", "a.\r\n...b\r\n.\r\n", 9),
        ] {
            assert_eq!(encode(raw.as_bytes()), (encoded.as_bytes().to_vec(), size), "{raw:?}");
        }
    }

    #[test]
    fn address_cannot_end_its_command() {
        for valid in ["", "a@b.example", "\"a b>\"@b.example", "\"a\\\"b c\"@b.example", "\u{e9}@b.example"] {
            assert!(Message::new("x@y.example", valid, b"").is_ok(), "{valid}");
        }
        for invalid in
            ["a@b.example>", "a@b.example> SIZE=1", "a\r\nDATA", "a b@c", "<a@b", "\"a@b", "\"a\\\" b@c", "a\0"]
        {
            assert!(Message::new("x@y.example", invalid, b"").is_err(), "{invalid}");
            assert!(Message::new(invalid, "x@y.example", b"").is_err(), "{invalid}");
        }
    }

    #[test]
    fn address_headers_and_body_are_told_apart() {
        for (to, raw, address, headers, body) in [
            ("a@b.example", "Subject: a\r\n\r\nb", false, false, false),
            ("a@b.example", "Subject: a\r\n\r\n\u{e9}", false, false, true),
            ("a@b.example", "Subject: \u{e9}\r\n\r\nb", false, true, true),
            ("\u{e9}@b.example", "Subject: a\r\n\r\nb", true, false, false),
        ] {
            let message = Message::new("x@y.example", to, raw.as_bytes()).unwrap();
            let is = (message.has_utf8_address, message.has_utf8_headers, message.is_8bit);
            assert_eq!(is, (address, headers, body), "{to} {raw}");
        }
    }
}
