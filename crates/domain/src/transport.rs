//! The transports that carry notifications.

use std::str::FromStr;

use crate::channel::Channel;
use crate::wire::UnknownName;
use crate::wire_enum;

wire_enum! {
    /// What carries a channel's notifications.
    pub enum TransportId {
        /// Amazon SES, for e-mail.
        Ses = "ses",
        /// An SMTP server, for e-mail.
        Smtp = "smtp",
        /// Amazon SNS, for text messages.
        Sns = "sns",
    }
}

impl TransportId {
    /// The channel it carries.
    pub const fn channel(self) -> Channel {
        match self {
            Self::Ses | Self::Smtp => Channel::Email,
            Self::Sns => Channel::Sms,
        }
    }
}

/// A setting that names a transport, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionalTransport(pub Option<TransportId>);

impl FromStr for OptionalTransport {
    type Err = UnknownName;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        const KNOWN: [&str; 4] =
            ["none", TransportId::Ses.as_str(), TransportId::Smtp.as_str(), TransportId::Sns.as_str()];
        if string == "none" {
            return Ok(Self(None));
        }
        string.parse().map(|id| Self(Some(id))).map_err(|_| UnknownName::new(&KNOWN))
    }
}
