//! Composing: from an offer and a customer to the message of a channel.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the layout of an e-mail | [`letterhead`], `templates/offer.html` |
//! | how its body becomes HTML or plain text | `html`, [`plain_text`] |
//! | its colours, and which of them are readable | [`colour`] |
//! | its parts, and what every message must be like on the wire | [`mime`] |
//! | how its headers are encoded | `headers`, [`mailbox`] |
//! | the e-mail of an offer | [`email`] |
//! | its unsubscribe link | [`links`] |
//! | the text message of an offer | [`sms`] |
//! | its alphabet, and what replaces characters outside of it | [`alphabet`] |
//! | what it costs, and how it is cut to fit | [`segments`] |

use std::future::Future;

use domain::{AddressHash, Channel, Customer, Offer};

pub mod alphabet;
pub mod colour;
pub mod email;
mod headers;
mod html;
pub mod letterhead;
pub mod links;
pub mod mailbox;
pub mod mime;
pub mod plain_text;
pub mod segments;
pub mod sms;

/// Composes the messages of one channel.
pub trait Compose: Send + Sync {
    /// The message that the channel's transports send.
    type Message: Send + Sync;

    /// What composing needs and must be loaded, such as the keys that sign links.
    type Keys: Send + Sync;

    /// The channel.
    fn channel(&self) -> Channel;

    /// The customer's address on this channel.
    fn address<'c>(&self, customer: &'c Customer) -> Option<&'c str>;

    /// Loads the keys. Called before each batch.
    ///
    /// # Errors
    /// If they are not available: then no message can be composed for now.
    fn prepare(&self) -> impl Future<Output = Result<Self::Keys, String>> + Send;

    /// Composes the message of an offer to one customer, whose address on this channel has this hash.
    ///
    /// # Errors
    /// Says why the message cannot be composed, without the customer's address or name.
    fn compose(
        &self,
        keys: &Self::Keys,
        offer: &Offer,
        customer: &Customer,
        address: &AddressHash,
    ) -> Result<Self::Message, String>;
}
