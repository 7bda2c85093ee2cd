//! What a failure to deliver says of the address: by the enhanced status code (RFC 3463 and IANA's registry of them),
//! and by what SES makes of it.

use smtp::EnhancedStatus;
use store::deliveries::FeedbackKind;

/// What a failure says of the address, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Nothing: it may be no failure.
    Nothing,
    /// Nothing: this message was refused, or mail of ours.
    Refused,
    /// Mail cannot be delivered there for now. If that is repeated, the address is suppressed.
    Transient,
    /// No mail can be delivered there. The address is suppressed.
    Permanent,
}

impl Verdict {
    /// What is recorded on the delivery.
    pub(crate) const fn kind(self) -> FeedbackKind {
        match self {
            Self::Nothing | Self::Transient => FeedbackKind::Delayed,
            Self::Refused => FeedbackKind::Rejected,
            Self::Permanent => FeedbackKind::Bounced,
        }
    }
}

/// The verdict on a final failure with this status.
pub(crate) const fn of_status(status: EnhancedStatus) -> Verdict {
    match (status.class, status.subject, status.detail) {
        // The message is too long for the mailbox (2.3) or the system (3.4), or its content is at fault (6). Policy (7)
        // may be about the recipient, about the message or about us: no reason to give an address up.
        (_, 2, 3) | (_, 3, 4) | (_, 6 | 7, _) => Verdict::Refused,
        // The registered codes that are about the recipient's address, and a mailbox that is disabled.
        (5, 1, 1..=6 | 9 | 10) | (5, 2, 1) => Verdict::Permanent,
        // The sender's address, a quota of the sender (5.1.90 of Microsoft 365), or the protocol: about us, or not known.
        (_, 1, 0 | 7 | 8) | (5, 1, _) | (_, 5, _) => Verdict::Refused,
        // A full mailbox; systems and networks, which may be the bank's own relay's; and "undefined", which is what a relay
        // makes of a reply without a status. Repeated, they count.
        _ => Verdict::Transient,
    }
}

/// The verdict on a bounce that SES reports (SES developer guide, "Bounce types"), of a recipient with this status.
pub(crate) fn of_ses_bounce(bounce_type: &str, sub_type: &str, status: Option<EnhancedStatus>) -> Verdict {
    match (bounce_type, sub_type, status) {
        ("Permanent", ..) => Verdict::Permanent,
        // The time that the sender allows, which is ours to choose, has passed.
        (_, "MessageTooLarge" | "ContentRejected" | "AttachmentRejected" | "CustomTimeoutExceeded", _) => {
            Verdict::Refused
        }
        (_, "MailboxFull", _) => Verdict::Transient,
        // SES's own routing is in order: the domain is at fault.
        (_, _, Some(EnhancedStatus { class: 5, subject: 4, .. })) => Verdict::Permanent,
        (_, _, Some(status)) => of_status(status),
        // SES has a status if a server reported a failure. What has none is, as a rule, an out-of-office reply, which SES
        // reports as `Transient`, `General` or as `Undetermined`.
        (_, _, None) => Verdict::Nothing,
    }
}

/// The status in a `Status` or `status` field, as in `5.1.1 (unknown user)`, made more precise by the server's reply, as in
/// `smtp; 550 5.1.1 <…>: unknown user` (RFC 3464, 2.3.4 and 2.3.6): some servers write `5.0.0` whatever the reply says.
pub(crate) fn status(status: &str, diagnostic: &str) -> Option<EnhancedStatus> {
    let own = parse(status.trim_start());
    let reply = diagnostic.split_once(';').map_or(diagnostic, |(_type, reply)| reply).trim_start();
    let replied = match reply.as_bytes() {
        [a, b, c, b' ' | b'-', ..] if [a, b, c].into_iter().all(u8::is_ascii_digit) => parse(&reply[4..]),
        _ => None,
    };
    match (own, replied) {
        (Some(own), Some(replied)) if own.subject == 0 && own.class == replied.class => Some(replied),
        (own, replied) => own.or(replied),
    }
}

/// A status at the beginning of a text. Its class is 2, 4 or 5, and it is followed by no other digit or letter.
fn parse(text: &str) -> Option<EnhancedStatus> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (status, rest) = text.split_at(end);
    if rest.starts_with(|c: char| c.is_alphanumeric()) {
        return None;
    }
    let mut numbers = status.trim_end_matches('.').split('.').map(|number| {
        let is_short = (1..=3).contains(&number.len());
        is_short.then(|| number.parse::<u16>().ok()).flatten()
    });
    let (class, subject, detail) = (numbers.next()??, numbers.next()??, numbers.next()??);
    let class = u8::try_from(class).ok().filter(|class| [2, 4, 5].contains(class))?;
    numbers.next().is_none().then(|| EnhancedStatus::new(class, subject, detail))
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Nothing, Permanent, Refused, Transient};
    use super::*;

    fn code(text: &str) -> EnhancedStatus {
        parse(text).unwrap()
    }

    #[test]
    fn only_what_is_about_the_address_counts_against_it() {
        for (status, expected) in [
            ("5.0.0", Transient),
            ("5.1.0", Refused),
            ("5.1.1", Permanent),
            ("5.1.2", Permanent),
            ("5.1.6", Permanent),
            ("5.1.7", Refused),
            ("5.1.8", Refused),
            ("5.1.10", Permanent),
            ("5.1.90", Refused),
            ("5.2.0", Transient),
            ("5.2.1", Permanent),
            ("5.2.2", Transient),
            ("5.2.3", Refused),
            ("5.3.0", Transient),
            ("5.3.4", Refused),
            ("5.4.1", Transient),
            ("5.4.4", Transient),
            ("5.4.6", Transient),
            ("5.5.0", Refused),
            ("5.6.0", Refused),
            ("5.6.1", Refused),
            ("5.7.0", Refused),
            ("5.7.1", Refused),
            ("5.7.124", Refused),
            ("4.0.0", Transient),
            ("4.1.8", Refused),
            ("4.2.1", Transient),
            ("4.2.2", Transient),
            ("4.2.3", Refused),
            ("4.3.1", Transient),
            ("4.3.4", Refused),
            ("4.4.1", Transient),
            ("4.4.7", Transient),
            ("4.6.1", Refused),
            ("4.7.1", Refused),
        ] {
            assert_eq!(of_status(code(status)), expected, "{status}");
        }
    }

    #[test]
    fn a_bounce_of_ses_counts_by_its_type_and_status() {
        for (bounce_type, sub_type, status, expected) in [
            ("Permanent", "General", Some("5.1.1"), Permanent),
            ("Permanent", "General", None, Permanent),
            ("Permanent", "NoEmail", Some("5.7.1"), Permanent),
            ("Permanent", "OnAccountSuppressionList", None, Permanent),
            ("Transient", "General", Some("5.4.4"), Permanent),
            ("Transient", "General", Some("5.1.1"), Permanent),
            ("Transient", "General", Some("5.7.1"), Refused),
            ("Transient", "General", Some("5.2.2"), Transient),
            ("Transient", "General", Some("4.4.7"), Transient),
            // An out-of-office reply.
            ("Transient", "General", None, Nothing),
            ("Undetermined", "Undetermined", None, Nothing),
            ("Undetermined", "Undetermined", Some("5.1.1"), Permanent),
            ("Undetermined", "Undetermined", Some("4.3.0"), Transient),
            ("Transient", "MailboxFull", Some("5.2.2"), Transient),
            ("Transient", "MailboxFull", Some("5.0.0"), Transient),
            ("Transient", "MailboxFull", None, Transient),
            ("Transient", "MessageTooLarge", Some("5.0.0"), Refused),
            ("Transient", "CustomTimeoutExceeded", Some("4.4.7"), Refused),
            ("Transient", "ContentRejected", Some("5.5.0"), Refused),
            ("Transient", "AttachmentRejected", None, Refused),
            ("Transient", "SomethingNew", Some("4.2.1"), Transient),
        ] {
            let verdict = of_ses_bounce(bounce_type, sub_type, status.map(code));
            assert_eq!(verdict, expected, "{bounce_type} {sub_type} {status:?}");
        }
    }

    #[test]
    fn a_status_is_read_as_servers_write_it() {
        for (text, diagnostic, expected) in [
            ("5.1.1", "", Some("5.1.1")),
            ("5.1.1 (bad destination mailbox address)", "", Some("5.1.1")),
            (" 4.4.7", "X-Postfix; delivery temporarily suspended", Some("4.4.7")),
            ("5.7.606", "", Some("5.7.606")),
            ("5.0.0", "smtp; 550 5.1.1 <asha@example.com>: unknown user", Some("5.1.1")),
            ("5.0.0", "smtp; 550-5.1.1 The email account\n 550 5.1.1 does not exist", Some("5.1.1")),
            ("5.0.0", "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found", Some("5.1.10")),
            ("5.0.0", "smtp; 550 No such user here", Some("5.0.0")),
            ("5.0.0", "smtp; 450 4.7.1 try later", Some("5.0.0")),
            ("5.4.4", "smtp; 550 5.1.1 unknown user", Some("5.4.4")),
            ("", "smtp; 550 5.1.1 unknown user", Some("5.1.1")),
            ("", "550 5.1.1 unknown user", Some("5.1.1")),
            ("", "smtp; 5.1.1", None),
            ("", "é55 5.1.1", None),
            ("5.1", "", None),
            ("5.1.1.1", "", None),
            ("5.1.1234", "", None),
            ("5.1.1x", "", None),
            ("6.1.1", "", None),
            ("192.0.2", "", None),
            ("5..1", "", None),
            ("", "", None),
        ] {
            assert_eq!(status(text, diagnostic), expected.map(code), "{text:?} {diagnostic:?}");
        }
    }
}
