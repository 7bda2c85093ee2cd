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
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}
