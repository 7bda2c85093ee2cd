//! What messages say.

use std::future::Future;

use domain::{Channel, Customer, Offer};

pub mod email;
pub mod letterhead;
pub mod mime;
pub mod segments;
pub mod sms;

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
