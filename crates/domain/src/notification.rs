//! The states and outcomes of one notification.

use std::str::FromStr;

use crate::wire::UnknownName;
use crate::wire_enum;

wire_enum! {
    /// How a notification ended. `Sent` is permanent; a later push may replace every other outcome.
    pub enum Outcome {
        /// The transport accepted it.
        Sent = "sent",
        /// The provider rejected it, or it could not be composed. The delivery has the reason.
        Failed = "failed",
        /// Its address is suppressed.
        Suppressed = "suppressed",
        /// The customer opted out of the channel, was deleted, or has no address for the channel any longer.
        OptedOut = "optedOut",
        /// The offer had expired before it could be sent.
        Expired = "expired",
        /// The push was cancelled before it was sent.
        Cancelled = "cancelled",
    }
}

wire_enum! {
    /// Why a notification was not sent, or not yet. The reason in words, which is stored with it, may change; these
    /// names do not.
    pub enum ReasonCode {
        /// The push was cancelled.
        PushCancelled = "pushCancelled",
        /// The offer had expired.
        OfferExpired = "offerExpired",
        /// The customer's record cannot be read.
        CustomerUnreadable = "customerUnreadable",
        /// The customer was deleted.
        CustomerDeleted = "customerDeleted",
        /// The customer's consent to the channel, or the address, was removed.
        NotReachable = "notReachable",
        /// The customer opted out.
        OptedOut = "optedOut",
        /// The address bounced before.
        AddressBounced = "addressBounced",
        /// A complaint came from the address before.
        AddressComplained = "addressComplained",
        /// The message cannot be composed.
        NotComposable = "notComposable",
        /// The provider says that the address does not exist.
        AddressUnknown = "addressUnknown",
        /// The provider refuses the recipient for another reason.
        RecipientRefused = "recipientRefused",
        /// The provider refuses the message: its size or its content.
        MessageRefused = "messageRefused",
        /// The provider refuses for a reason that may be the recipient's, the message's or ours.
        Refused = "refused",
        /// The provider does not accept the message for now.
        RefusedForNow = "refusedForNow",
        /// The message was handed over, and the provider did not respond.
        NoResponse = "noResponse",
        /// The provider cannot be reached, or accepts no mail of ours.
        ProviderUnavailable = "providerUnavailable",
    }
}

impl ReasonCode {
    /// The outcome of a notification that was not sent for this reason.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::PushCancelled => Outcome::Cancelled,
            Self::OfferExpired => Outcome::Expired,
            Self::CustomerDeleted | Self::NotReachable | Self::OptedOut => Outcome::OptedOut,
            Self::AddressBounced | Self::AddressComplained => Outcome::Suppressed,
            Self::CustomerUnreadable
            | Self::NotComposable
            | Self::AddressUnknown
            | Self::RecipientRefused
            | Self::MessageRefused
            | Self::Refused
            | Self::RefusedForNow
            | Self::NoResponse
            | Self::ProviderUnavailable => Outcome::Failed,
        }
    }

    /// The reason in words, for people.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::PushCancelled => "the push was cancelled",
            Self::OfferExpired => "the offer has expired",
            Self::CustomerUnreadable => "the customer's record cannot be read",
            Self::CustomerDeleted => "the customer no longer exists",
            Self::NotReachable => "the customer's consent or address was removed",
            Self::OptedOut => "the customer unsubscribed",
            Self::AddressBounced => "the address bounced",
            Self::AddressComplained => "a complaint came from the address",
            Self::NotComposable => "the message cannot be composed",
            Self::AddressUnknown => "the provider says that the address does not exist",
            Self::RecipientRefused => "the provider refuses the recipient",
            Self::MessageRefused => "the provider refuses the message",
            Self::Refused => "the provider refuses, for an unclear reason",
            Self::RefusedForNow => "the provider refused for too long",
            Self::NoResponse => "handed over twice without a response",
            Self::ProviderUnavailable => "the provider cannot be reached",
        }
    }
}

wire_enum! {
    /// What a refusal may be about, if it need not be the recipient's fault. Only how other messages fare shows it.
    pub enum Suspect {
        /// Us: our address, domain or reputation. Then every message through the transport is refused.
        Sender = "sender",
        /// The content, which the provider has read. Then every message of the push is refused.
        Content = "content",
    }
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// An invocation holds, or held, a lease; its result is unknown.
    Claimed,
    /// It was tried and may be tried again.
    Retry,
    /// It has its outcome.
    Final(Outcome),
}

impl DeliveryState {
    /// The name used in JSON, in tables and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Retry => "retry",
            Self::Final(outcome) => outcome.as_str(),
        }
    }
}

impl FromStr for DeliveryState {
    type Err = UnknownName;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        const KNOWN: [&str; 2 + Outcome::ALL.len()] = known();
        match string {
            "claimed" => Ok(Self::Claimed),
            "retry" => Ok(Self::Retry),
            outcome => outcome.parse().map(Self::Final).map_err(|_| UnknownName::new(&KNOWN)),
        }
    }
}

/// The names of all states.
const fn known() -> [&'static str; 2 + Outcome::ALL.len()] {
    let mut known = [DeliveryState::Claimed.as_str(), DeliveryState::Retry.as_str(), "", "", "", "", "", ""];
    let mut at = 0;
    while at < Outcome::ALL.len() {
        known[2 + at] = Outcome::ALL[at].as_str();
        at += 1;
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_read_by_its_own_name() {
        let finals = Outcome::ALL.map(DeliveryState::Final);
        for state in [DeliveryState::Claimed, DeliveryState::Retry].into_iter().chain(finals) {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert_eq!(
            "done".parse::<DeliveryState>().unwrap_err().to_string(),
            "must be one of: claimed, retry, sent, failed, suppressed, optedOut, expired, cancelled"
        );
    }

    #[test]
    fn api_describes_every_reason() {
        let description = include_str!("../../../docs/openapi.yaml");
        let (_, schema) = description.split_once("    ReasonCode:\n").unwrap();
        let (names, _) = schema.split_once("enum: [").unwrap().1.split_once(']').unwrap();
        let names: Vec<_> = names.split(',').map(str::trim).collect();
        assert_eq!(names, ReasonCode::ALL.map(ReasonCode::as_str));
    }
}
