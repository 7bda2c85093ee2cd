//! What a refusing SMTP reply means: one table from its stage, its code and its enhanced status code.
//!
//! The text of a reply decides nothing: servers word it as they like. `docs/guarantees.md` shows the table to operators,
//! and a test compares the two.

use smtp::{EnhancedStatus, Stage};

use self::Answer::{Any, Codes, FirstDigit, NoRefusal, Statuses, Subjects};
use self::Fault::{Ambiguous, Message, NoCustomer, Recipient, Temporary, Unclear, UnknownAddress};
use crate::transport::{RefusalKind, Suspect};

#[cfg(test)]
mod tests;

/// Whose fault a refusal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Verdict {
    /// No customer's: the server accepts no messages of ours at all.
    Unreachable,
    /// No customer's, as far as is known: the reply does not say what became of the message that was handed over.
    Unanswered,
    /// The refusal may concern this message alone.
    Refused(RefusalKind),
}

/// Classifies a reply that refuses, at `stage`, with the reply code `code` (RFC 5321, 4.2.1).
///
/// An enhanced status code whose class contradicts the reply code is ignored (RFC 2034, 4: they have to agree). Total:
/// a code that refuses nothing (2xx after `DATA`) or that does not exist (099, 600) means that client and server are out
/// of step, which is no customer's fault. After the message it does not say whether the server has accepted that.
pub(super) fn classify(stage: Stage, code: u16, enhanced: Option<EnhancedStatus>) -> Verdict {
    let kind = match rule_for(stage, code, enhanced).fault {
        NoCustomer => return Verdict::Unreachable,
        Unclear => return Verdict::Unanswered,
        UnknownAddress => RefusalKind::UnknownAddress,
        Recipient => RefusalKind::Recipient,
        Message => RefusalKind::Message,
        Temporary => RefusalKind::Temporary,
        // Once the server has read the message, what it refuses may be the content. Before, it knows only us and the
        // recipient.
        Ambiguous if stage == Stage::Message => RefusalKind::Ambiguous(Suspect::Content),
        Ambiguous => RefusalKind::Ambiguous(Suspect::Sender),
    };
    Verdict::Refused(kind)
}

/// The first rule that matches.
fn rule_for(stage: Stage, code: u16, enhanced: Option<EnhancedStatus>) -> &'static Rule {
    let enhanced = enhanced.filter(|status| u16::from(status.class) == code / 100);
    let mut rules = RULES.iter();
    rules.find(|rule| rule.at.includes(stage) && rule.answer.matches(code, enhanced)).expect("one for each first digit")
}

/// A row of the table.
#[derive(Debug)]
struct Rule {
    at: At,
    answer: Answer,
    fault: Fault,
    /// Where the meaning of the answer is defined.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the reader; a test checks that each rule has one"))]
    source: &'static str,
}

/// The stages that a rule applies to.
#[derive(Debug, Clone, Copy)]
enum At {
    /// At `MAIL FROM` only.
    Mail,
    /// Before `RCPT TO`, and at `RSET`: no recipient is concerned.
    NoRecipient,
    /// At `RCPT TO` only.
    Rcpt,
    /// After the end of the message only.
    Message,
    /// Everywhere.
    Anywhere,
}

impl At {
    fn includes(self, stage: Stage) -> bool {
        match self {
            Self::Mail => stage == Stage::Mail,
            Self::NoRecipient => stage < Stage::Rcpt || stage == Stage::Reset,
            Self::Rcpt => stage == Stage::Rcpt,
            Self::Message => stage == Stage::Message,
            Self::Anywhere => true,
        }
    }
}

/// The replies that a rule applies to.
#[derive(Debug, Clone, Copy)]
enum Answer {
    /// Each.
    Any,
    /// These reply codes.
    Codes(&'static [u16]),
    /// A reply code that is neither 4xx nor 5xx.
    NoRefusal,
    /// A reply code with this first digit.
    FirstDigit(u16),
    /// 5xx with one of these enhanced status codes: subject and detail.
    Statuses(&'static [(u16, u16)]),
    /// 5xx with an enhanced status code of one of these subjects; no subject: of any.
    Subjects(&'static [u16]),
}

impl Answer {
    fn matches(self, code: u16, enhanced: Option<EnhancedStatus>) -> bool {
        let permanent = enhanced.filter(|status| status.class == 5);
        match self {
            Any => true,
            Codes(codes) => codes.contains(&code),
            NoRefusal => !matches!(code / 100, 4 | 5),
            FirstDigit(digit) => code / 100 == digit,
            Statuses(statuses) => permanent.is_some_and(|status| statuses.contains(&(status.subject, status.detail))),
            Subjects(&[]) => permanent.is_some(),
            Subjects(subjects) => permanent.is_some_and(|status| subjects.contains(&status.subject)),
        }
    }
}

/// Whose fault an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Fault {
    /// No customer's: ours, or the server's.
    NoCustomer,
    /// No customer's, and the message may have been accepted.
    Unclear,
    /// The recipient's: the address does not exist.
    UnknownAddress,
    /// The recipient's, for another reason.
    Recipient,
    /// The message's.
    Message,
    /// Not known, but it may pass.
    Temporary,
    /// The recipient's, the content's or ours.
    Ambiguous,
}

const fn rule(at: At, answer: Answer, fault: Fault, source: &'static str) -> Rule {
    Rule { at, answer, fault, source }
}

/// The table. Each rule is for what the ones before it leave.
static RULES: &[Rule] = &[
    // We announce the size there. A bare 552 may also be about what we may send in all.
    rule(At::Mail, Statuses(&[(2, 3), (3, 4)]), Message, "RFC 1870, 6.1, with RFC 3463, 3.3 and 3.4: it is too big"),
    rule(At::NoRecipient, Any, NoCustomer, "RFC 5321, 3.3: the recipient is not named before `RCPT TO`"),
    rule(
        At::Anywhere,
        Codes(&[421]),
        NoCustomer,
        "RFC 5321, 3.8 and 4.2.3: the server is shutting down the connection",
    ),
    rule(
        At::Anywhere,
        Codes(&[454, 530, 535]),
        NoCustomer,
        "RFC 4954, 6, and RFC 3207, 4: authentication or TLS is missing or failed",
    ),
    rule(At::Message, NoRefusal, Unclear, "RFC 5321, 4.2.1: it neither accepts nor refuses the message"),
    // Also where our own commands and the server's replies are shifted against each other.
    rule(At::Anywhere, NoRefusal, NoCustomer, "RFC 5321, 4.2.1 and 4.3.2: no such reply is expected here"),
    // Greylisting, a busy server, a mailbox that is locked, too many messages at a time.
    rule(At::Anywhere, FirstDigit(4), Temporary, "RFC 5321, 4.2.1: the command may succeed later"),
    rule(
        At::Anywhere,
        Statuses(&[(1, 1), (1, 2), (1, 10)]),
        UnknownAddress,
        "RFC 3463, 3.2: no such mailbox or system; RFC 7505: the domain accepts no mail",
    ),
    // Many servers check the sender only at RCPT TO. Postfix says 5.1.0 there for an unknown sender (smtpd_dsn_fix.c).
    rule(
        At::Anywhere,
        Statuses(&[(1, 0), (1, 7), (1, 8)]),
        Ambiguous,
        "RFC 3463, 3.2: the sender's address (5.1.7, 5.1.8), or either (5.1.0, as Postfix says for an unknown sender)",
    ),
    // Only what is registered: Microsoft 365 says 5.1.90 for the daily limit of the sender.
    rule(
        At::Anywhere,
        Statuses(&[(1, 3), (1, 4), (1, 5), (1, 6), (1, 9)]),
        Recipient,
        "RFC 3463, 3.2, and RFC 3886, 3.3.4: the recipient's address",
    ),
    rule(At::Anywhere, Statuses(&[(2, 1)]), Recipient, "RFC 3463, 3.3: the mailbox is disabled"),
    rule(At::Anywhere, Statuses(&[(2, 2)]), Temporary, "RFC 3463, 3.3: the mailbox is full, until it is emptied"),
    rule(At::Anywhere, Statuses(&[(2, 3), (3, 4)]), Message, "RFC 3463, 3.3 and 3.4: the message is too big"),
    rule(At::Anywhere, Subjects(&[6]), Message, "RFC 3463, 3.7, and RFC 6531: content or media"),
    // Microsoft 365 says 5.4.1 for an unknown user and 5.7.1xx for a closed mailbox; a relay says 5.7.1 for its client.
    rule(
        At::Anywhere,
        Subjects(&[]),
        Ambiguous,
        "RFC 3463, 3.1 to 3.8, and RFC 7372: mailbox, system, network, policy, or a status that is not registered",
    ),
    rule(
        At::Rcpt,
        Codes(&[552]),
        Temporary,
        "RFC 5321, 4.2.3 (storage of the mailbox is exceeded) and 4.5.3.1.10 (to be treated as 452)",
    ),
    rule(At::Anywhere, Codes(&[556]), UnknownAddress, "RFC 7504, 4: the recipient's domain accepts no mail"),
    // 550 and 554 name the mailbox as well as policy, 551 and 553 are also what a relay says that does not know us, 552
    // after the message is its size as well as the mailbox's.
    rule(At::Anywhere, FirstDigit(5), Ambiguous, "RFC 5321, 4.2.3 and 4.3.2: each has several meanings"),
];
