//! What a transport is, and what its answers mean.

use std::future::Future;

use domain::{Channel, Customer, Offer, TransportId};
use jiff::Timestamp;

/// Writes an offer's message to one customer.
pub trait Compose: Send + Sync {
    /// What the channel's transports carry.
    type Message: Send + Sync;

    /// The channel it writes for.
    fn channel(&self) -> Channel;

    /// Where the customer is reached on this channel.
    fn address<'c>(&self, customer: &'c Customer) -> Option<&'c str>;

    /// Makes sure that it has what it writes with, before each batch.
    ///
    /// # Errors
    /// If it has not: then nobody can be written to for now.
    fn prepare(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// The message.
    ///
    /// # Errors
    /// Says why this customer cannot be written to, without her address or name.
    fn compose(&self, offer: &Offer, customer: &Customer) -> Result<Self::Message, String>;
}

/// Carries messages to a provider. Each call is one attempt: trying again is the pipeline's business.
pub trait Transport: Send + Sync {
    /// What it carries.
    type Message: Send + Sync;

    /// Its name, under which it is blocked when it is out of reach.
    fn id(&self) -> TransportId;

    /// Hands one message over, before `until` or not at all: afterwards somebody else may send it.
    fn send(
        &self,
        message: &Self::Message,
        until: Timestamp,
    ) -> impl Future<Output = Result<Accepted, SendError>> + Send;
}

/// The provider took the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The provider's id of the message, or ours where it gives none.
    pub message_id: String,
}

/// The provider did not take the message, sorted by what that means for the customer.
///
/// The texts are the provider's, cleared of addresses: they are stored and logged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It refuses this recipient or this message, whenever asked.
    #[error("refused: {0}")]
    Rejected(String),
    /// The recipient has told the provider that she wants no messages: nothing was handed over.
    #[error("not wanted: {0}")]
    OptedOut(String),
    /// The message was handed over, but the answer was lost: the customer may or may not have it.
    #[error("handed over, but the answer was lost: {0}")]
    Unanswered(String),
    /// The provider is there, but does not take this message now: too many at once, a mailbox that is busy.
    #[error("not taken for now: {0}")]
    Throttled(String),
    /// The time was over before the message was handed over.
    #[error("not handed over in time")]
    TooLate,
    /// The provider takes no messages at all: no connection, no greeting, no TLS, wrong credentials, account paused.
    #[error("out of reach: {0}")]
    Unreachable(String),
}

/// A provider's words, cleared of addresses and numbers, which many providers repeat, and no longer than a record should hold.
pub(crate) fn words(said: &str) -> String {
    said.split(' ')
        .map(|word| match word.contains('@') {
            true => "(address)",
            false if is_number(word) => "(number)",
            false => word,
        })
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .filter(|c| !c.is_control())
        .take(500)
        .collect()
}

/// Whether a phone number in E.164 stands in it.
fn is_number(word: &str) -> bool {
    let after_plus = word.split('+').skip(1);
    after_plus.map(|rest| rest.bytes().take_while(u8::is_ascii_digit).count()).any(|digits| digits >= 7)
}
