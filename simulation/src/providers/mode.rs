//! What a provider does for a while instead of accepting messages.

use domain::TransportId;
use serde::{Deserialize, Serialize};

use crate::chance::{Chance, FNV_BASIS, fnv1a};
use crate::providers::refusal::Refusal;

/// What a provider does instead of accepting messages. Durations are in milliseconds.
///
/// Those with a percentage concern that part of the recipients, and always the same ones: [`Mode::concerns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// It cannot be reached.
    Down,
    /// Each answer takes this much longer.
    Slow(u64),
    /// It accepts messages and never says so.
    Silent,
    /// It lets us connect, says nothing and accepts nothing.
    Unanswering,
    /// It accepts messages, and answers with an error of its own that does not say so.
    AcceptsWithErrors,
    /// It closes the connection at a step: the answer to that step never comes. An answer to the message is one to a
    /// message that it has accepted.
    Drops(Step),
    /// It knows the addresses of some as wrong, for good.
    RefusesRecipients { percent: u8 },
    /// It refuses some for good, with an answer that could be about us as well.
    RefusesUnclearly { percent: u8 },
    /// It refuses some for now: they are busy, or greylisted.
    RefusesForNow { percent: u8 },
    /// It refuses everyone before it has seen the message, with an answer that could be about the recipient as well.
    RefusesEveryone,
    /// It refuses everyone once it has seen the message, with an answer that could be about the recipient as well.
    RefusesContent,
    /// It refuses every message for its size or form.
    RefusesMessages,
    /// It does not know our sender's address.
    RefusesSender,
    /// It does not know our password, or our role.
    RefusesLogin,
    /// We send too fast.
    Throttles,
    /// We have sent all that we may today.
    OverQuota,
}

/// A step of handing a message over, as SMTP has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// Connecting, up to the server's greeting.
    Connect,
    Ehlo,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// The message, up to the reply to its end.
    Message,
    Rset,
    Quit,
}

/// What a mode makes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It is accepted.
    Accepted,
    /// It is accepted, but the sender does not learn that.
    AcceptedUnheard(Unheard),
    /// It is refused.
    Refused(Refusal),
    /// It is neither accepted nor refused.
    Ignored(Unheard),
}

/// How it is that a sender does not learn what became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheard {
    /// The connection closes.
    Closed,
    /// No answer comes.
    Silence,
    /// The answer is an error that does not say.
    Error,
}

impl Step {
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Ehlo,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Message,
        Self::Rset,
        Self::Quit,
    ];

    /// As the points of faults name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Ehlo => "EHLO",
            Self::Auth => "AUTH",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Message => "MESSAGE",
            Self::Rset => "RSET",
            Self::Quit => "QUIT",
        }
    }
}

impl Mode {
    /// Any mode, each as likely as the others.
    pub fn drawn(chance: &Chance) -> Self {
        let percent = *chance.pick(&[5, 20, 50, 90]);
        let drops = Self::Drops(*chance.pick(&Step::ALL));
        let slow = Self::Slow(*chance.pick(&[500, 3_000, 9_000, 25_000, 55_000]));
        *chance.pick(&[
            Self::Down,
            slow,
            Self::Silent,
            Self::Unanswering,
            Self::AcceptsWithErrors,
            drops,
            Self::RefusesRecipients { percent },
            Self::RefusesUnclearly { percent },
            Self::RefusesForNow { percent },
            Self::RefusesEveryone,
            Self::RefusesContent,
            Self::RefusesMessages,
            Self::RefusesSender,
            Self::RefusesLogin,
            Self::Throttles,
            Self::OverQuota,
        ])
    }

    /// Whether it concerns this recipient: an address or a number.
    pub fn concerns(self, recipient: &str) -> bool {
        match self {
            Self::RefusesRecipients { percent }
            | Self::RefusesUnclearly { percent }
            | Self::RefusesForNow { percent } => hash(recipient) % 100 < u64::from(percent),
            _ => true,
        }
    }

    /// What this provider makes of a message to this recipient.
    pub fn treats(self, provider: TransportId, recipient: &str) -> Treatment {
        if !self.concerns(recipient) {
            return Treatment::Accepted;
        }
        let refused = |refusal| Treatment::Refused(refusal);
        match self {
            Self::Slow(_) => Treatment::Accepted,
            Self::Down => refused(Refusal::Unavailable),
            Self::Silent => Treatment::AcceptedUnheard(Unheard::Silence),
            Self::Unanswering => Treatment::Ignored(Unheard::Silence),
            Self::AcceptsWithErrors => Treatment::AcceptedUnheard(Unheard::Error),
            Self::Drops(Step::Message) => Treatment::AcceptedUnheard(Unheard::Closed),
            // These come between two messages.
            Self::Drops(Step::Rset | Step::Quit) => Treatment::Accepted,
            Self::Drops(_) => Treatment::Ignored(Unheard::Closed),
            // Only mail servers name an unknown mailbox at once.
            Self::RefusesRecipients { .. }
                if provider == TransportId::Smtp && (hash(recipient) / 100).is_multiple_of(2) =>
            {
                refused(Refusal::UnknownAddress)
            }
            Self::RefusesRecipients { .. } => refused(Refusal::Recipient),
            Self::RefusesUnclearly { .. } | Self::RefusesEveryone => refused(Refusal::Unclear),
            Self::RefusesForNow { .. } => refused(Refusal::ForNow),
            Self::RefusesContent => refused(Refusal::Content),
            Self::RefusesMessages => refused(Refusal::Message),
            Self::RefusesSender => refused(Refusal::Sender),
            Self::RefusesLogin => refused(Refusal::Login),
            Self::Throttles => refused(Refusal::TooFast),
            Self::OverQuota => refused(Refusal::OverQuota),
        }
    }

    /// Whether a provider in this mode says that this recipient or message will never be accepted, so that the customer
    /// deserves to be recorded as failed.
    pub fn is_permanent_refusal_of(self, provider: TransportId, recipient: &str) -> bool {
        matches!(self.treats(provider, recipient), Treatment::Refused(refusal) if refusal.is_permanent())
    }

    /// How much longer each answer takes, in milliseconds.
    pub fn delay(self) -> u64 {
        match self {
            Self::Slow(millis) => millis,
            _ => 0,
        }
    }
}

/// FNV-1a, mixed so that similar texts have hashes that are far apart.
pub(super) fn hash(text: &str) -> u64 {
    let hash = fnv1a(FNV_BASIS, text.bytes());
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_concerns_that_part_of_the_recipients_and_always_the_same_ones() {
        let addresses: Vec<_> = (0..1_000).map(|n| format!("customer-{n}@example.com")).collect();
        for percent in [0, 5, 50, 100] {
            let mode = Mode::RefusesForNow { percent };
            let concerned = addresses.iter().filter(|address| mode.concerns(address)).count();
            let expected = usize::from(percent) * 10;
            assert!(concerned.abs_diff(expected) <= 50, "{concerned} of 1000 at {percent} %");
            assert!(addresses.iter().all(|address| mode.concerns(address) == mode.concerns(address)));
        }
    }

    #[test]
    fn only_what_is_certainly_the_recipients_or_the_messages_fault_is_permanent() {
        let address = "asha@example.com";
        for (mode, expected) in [
            (Mode::RefusesRecipients { percent: 100 }, true),
            (Mode::RefusesRecipients { percent: 0 }, false),
            (Mode::RefusesMessages, true),
            (Mode::RefusesForNow { percent: 100 }, false),
            (Mode::RefusesEveryone, false),
            (Mode::RefusesContent, false),
            (Mode::RefusesSender, false),
            (Mode::Down, false),
            (Mode::Silent, false),
            (Mode::Throttles, false),
        ] {
            for provider in [TransportId::Ses, TransportId::Smtp, TransportId::Sns] {
                assert_eq!(mode.is_permanent_refusal_of(provider, address), expected, "{mode:?} {provider}");
            }
        }
    }

    #[test]
    fn a_mode_is_the_same_after_it_was_written_and_read() {
        let chance = Chance::of(1, "modes");
        for _ in 0..200 {
            let mode = Mode::drawn(&chance);
            let json = serde_json::to_string(&mode).unwrap();
            assert_eq!(serde_json::from_str::<Mode>(&json).unwrap(), mode, "{json}");
        }
    }
}
