//! Enhanced status codes (RFC 3463 and the IANA registry of them).

use std::fmt;

/// An enhanced status code, as in `5.1.1`: class, subject and detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnhancedStatus {
    /// 2: success, 4: a temporary failure, 5: a permanent one.
    pub class: u8,
    /// What it is about: 1 the address, 2 the mailbox, 3 the system, 4 the network, 5 the protocol, 6 the content, 7
    /// security or policy.
    pub subject: u16,
    /// More precisely.
    pub detail: u16,
}

impl EnhancedStatus {
    /// The code `class.subject.detail`.
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// The code that a text starts with, and its length in bytes. Subject and detail have three digits at most (RFC
    /// 3463, 2). An address or a longer number that looks alike is no code.
    pub(crate) fn at_start_of(text: &[u8]) -> Option<(Self, usize)> {
        let (class, dot) = number(text, 0)?;
        let class = u8::try_from(class).ok().filter(|class| matches!(class, 2 | 4 | 5))?;
        let (subject, second_dot) = number(text, after_dot(text, dot)?)?;
        let (detail, end) = number(text, after_dot(text, second_dot)?)?;
        let is_over = match (text.get(end), text.get(end + 1)) {
            (Some(b'.'), Some(next)) => !next.is_ascii_alphanumeric(),
            (Some(next), _) => !next.is_ascii_alphanumeric(),
            (None, _) => true,
        };
        (dot == 1 && is_over).then_some((Self { class, subject, detail }, end))
    }
}

/// The number of one to three digits that starts here, and where it ends.
fn number(text: &[u8], start: usize) -> Option<(u16, usize)> {
    let digits = text[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = text[start..start + digits].iter().take(3).fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    (1..=3).contains(&digits).then_some((number, start + digits))
}

fn after_dot(text: &[u8], at: usize) -> Option<usize> {
    (text.get(at) == Some(&b'.')).then_some(at + 1)
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read_from_the_start_of_a_text() {
        for (text, expected) in [
            ("5.1.1 unknown", Some((5, 1, 1))),
            ("5.1.1", Some((5, 1, 1))),
            ("4.7.999\tx", Some((4, 7, 999))),
            ("5.7.606, Access denied", Some((5, 7, 606))),
            ("2.0.0: queued", Some((2, 0, 0))),
            ("5.1.1. Unknown", Some((5, 1, 1))),
            ("5.1.1 \u{e9}", Some((5, 1, 1))),
            ("", None),
            ("5", None),
            ("5.", None),
            ("5.1", None),
            ("5.1.", None),
            ("5.1.1.2 is an address", None),
            ("5.1.1example", None),
            ("5.1.1.example", None),
            ("5.1.1000 too long", None),
            ("5.1000.1 too long", None),
            ("55.1.1", None),
            ("3.1.1 no such class", None),
            ("1.1.1", None),
            (" 5.1.1", None),
            ("a 5.1.1", None),
            ("5 .1.1", None),
        ] {
            let expected = expected.map(|(class, subject, detail)| EnhancedStatus::new(class, subject, detail));
            assert_eq!(EnhancedStatus::at_start_of(text.as_bytes()).map(|(status, _)| status), expected, "{text}");
        }
    }
}
