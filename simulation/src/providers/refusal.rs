//! Why a provider refuses a message, and how each provider says so.
//!
//! The answers are those that the product tells apart: docs/guarantees.md, "Whose fault a refusal is".

use crate::network::Reply;
use crate::providers::mode::{Step, hash};
use crate::providers::sns_error;

/// Why a provider refuses a message. This is what is true; what the product makes of the answer is its own affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// The recipient's address does not exist.
    UnknownAddress,
    /// The recipient's address or number is of no use for another reason.
    Recipient,
    /// The message is too large, or of a wrong form.
    Message,
    /// It may pass.
    ForNow,
    /// The answer may be about the recipient, and about us. It comes before the message.
    Unclear,
    /// The answer may be about the recipient, the content, and us. It comes after the message.
    Content,
    /// Our sender's address is not accepted.
    Sender,
    /// Our password or role is not accepted.
    Login,
    /// We send too fast.
    TooFast,
    /// We have sent all that we may today.
    OverQuota,
    /// Nothing is accepted from anybody.
    Unavailable,
}

impl Refusal {
    pub const ALL: [Self; 11] = [
        Self::UnknownAddress,
        Self::Recipient,
        Self::Message,
        Self::ForNow,
        Self::Unclear,
        Self::Content,
        Self::Sender,
        Self::Login,
        Self::TooFast,
        Self::OverQuota,
        Self::Unavailable,
    ];

    /// Whether it says that this recipient or message will never be accepted: a customer may have failed at once.
    pub fn is_permanent(self) -> bool {
        matches!(self, Self::UnknownAddress | Self::Recipient | Self::Message)
    }

    /// Whether it may be about the recipient as well as about us: a customer has failed only if others are accepted.
    pub fn is_ambiguous(self) -> bool {
        matches!(self, Self::Unclear | Self::Content)
    }

    /// Whether it may pass, so that a customer has failed only after `RetryHours`. A mail server says [`Self::TooFast`]
    /// before it knows the recipient, so that no handover has it, and nobody may fail for it.
    pub fn is_for_now(self) -> bool {
        matches!(self, Self::ForNow | Self::TooFast)
    }

    /// Whether it is certainly not about a customer: nobody may fail for it.
    pub fn is_no_customers(self) -> bool {
        !(self.is_permanent() || self.is_ambiguous() || self.is_for_now())
    }

    /// How a mail server says it: at which step, and its reply. What an unclear answer is depends on the recipient.
    /// Codes: RFC 5321, 4.2.3; enhanced status codes: RFC 3463.
    pub fn of_smtp(self, recipient: &str) -> (Step, &'static str) {
        let one_of = |replies: &[&'static str]| {
            replies[usize::try_from(hash(recipient) / 1_000 % 64).unwrap_or(0) % replies.len()]
        };
        match self {
            Self::UnknownAddress => {
                (Step::Rcpt, one_of(&["550 5.1.1 no such mailbox", "550 5.1.10 null MX", "556 no mail"]))
            }
            Self::Recipient => (Step::Rcpt, one_of(&["550 5.2.1 mailbox disabled", "553 5.1.3 bad address"])),
            Self::Message => (Step::Message, one_of(&["552 5.3.4 too big", "554 5.6.0 malformed"])),
            Self::ForNow => {
                (Step::Rcpt, one_of(&["450 4.2.1 busy", "451 4.7.1 greylisted", "452 4.2.2 full", "552 5.2.2 full"]))
            }
            Self::Unclear => {
                (Step::Rcpt, one_of(&["550 5.7.1 refused", "554 refused", "550 5.4.1 refused", "550 5.1.0 rejected"]))
            }
            Self::Content => (Step::Message, "554 5.7.1 refused"),
            Self::Sender => (Step::Mail, "550 5.1.8 sender refused"),
            Self::Login => (Step::Auth, "535 5.7.8 authentication failed"),
            // The first closes the connection (RFC 5321, 3.8).
            Self::TooFast => (Step::Mail, "421 4.7.0 too many messages"),
            Self::OverQuota => (Step::Rcpt, "454 4.7.0 not now"),
            Self::Unavailable => (Step::Connect, "421 4.3.2 not in service"),
        }
    }

    /// How SES says it (API v2 reference, SendEmail, errors; developer guide, "Amazon SES email sending errors").
    pub fn of_ses(self, recipient: &str) -> Reply {
        let (status, code, message) = match self {
            Self::UnknownAddress | Self::Recipient if (hash(recipient) / 1_000).is_multiple_of(2) => {
                (400, "MessageRejected", "Address blacklisted.")
            }
            Self::UnknownAddress | Self::Recipient => (400, "BadRequestException", "Missing final '@domain'"),
            Self::Message => (413, "RequestEntityTooLargeException", "The request is too large."),
            Self::ForNow => (400, "ThrottlingException", "Rate exceeded"),
            Self::Unclear => (400, "BadRequestException", "The request was refused."),
            Self::Content => (400, "MessageRejected", "The message was refused."),
            Self::Sender => (400, "MessageRejected", "Email address is not verified."),
            Self::Login => (403, "AccessDeniedException", "Not authorized to perform ses:SendEmail"),
            Self::TooFast => (429, "TooManyRequestsException", "Maximum sending rate exceeded."),
            Self::OverQuota => (429, "TooManyRequestsException", "Daily message quota exceeded."),
            Self::Unavailable => (503, "ServiceUnavailable", "Service unavailable"),
        };
        ses_error(status, code, message)
    }

    /// How SNS says it (API reference, Publish, errors, and common errors).
    pub fn of_sns(self) -> Reply {
        let (status, code, message) = match self {
            Self::UnknownAddress | Self::Recipient => {
                (400, "InvalidParameter", "Invalid parameter: PhoneNumber Reason: not valid to publish to")
            }
            Self::Message => (400, "InvalidParameter", "Invalid parameter: Message too long"),
            Self::ForNow => (400, "KMSThrottling", "Rate exceeded"),
            Self::Unclear | Self::Content => (400, "InvalidParameter", "Invalid parameter: refused"),
            Self::Sender => (400, "InvalidParameter", "Invalid parameter: AWS.SNS.SMS.SenderID"),
            Self::Login => (403, "AuthorizationError", "Not authorized to perform SNS:Publish"),
            Self::TooFast => (400, "Throttling", "Rate exceeded"),
            // SNS drops what is over the spending limit in silence (developer guide, "Requesting increases to your
            // monthly SMS spending quota"); here it is as if the account's role were taken away.
            Self::OverQuota => (403, "AuthorizationError", "The account may send no more"),
            Self::Unavailable => (503, "ServiceUnavailable", "Service unavailable"),
        };
        sns_error(status, code, message)
    }
}

/// An error as SES reports it.
pub(super) fn ses_error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &serde_json::json!({"__type": code, "message": message}))
}
