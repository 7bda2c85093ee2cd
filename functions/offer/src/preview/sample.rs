//! Sample messages: an offer as one customer of each channel would receive it.

use delivery::SmsComposer;
use delivery::compose::letterhead::{Content, Letterhead};
use delivery::compose::plain_text::plain_text;
use domain::{Channel, Customer, CustomerId, Offer};
use language::Language;
use serde_json::Map;

/// The unsubscribe link in a preview. It leads nowhere (RFC 2606), because a customer's real link would unsubscribe
/// them, no matter who opens it.
pub(super) const PLACEHOLDER_LINK: &str = "https://unsubscribe.invalid/each-customer-has-their-own-link";

/// Composes samples.
pub struct SampleComposer {
    pub letterhead: Letterhead,
    pub sms: SmsComposer,
    pub default_language: Language,
}

/// One channel's message, as one customer would receive it.
pub(super) struct Sample {
    /// The customer it is composed for; `None` for the placeholder, if the channel reaches no customer.
    pub(super) customer: Option<CustomerId>,
    /// The message, or why it cannot be composed.
    pub(super) message: Result<Message, String>,
}

/// The content of a sample, by channel.
pub(super) enum Message {
    Email {
        content: Content,
        /// The description alone, without the letterhead.
        description: String,
    },
    Sms {
        text: String,
    },
}

impl SampleComposer {
    /// Composes the message on a channel for `customer`, or for a placeholder.
    pub(super) fn compose(&self, channel: Channel, offer: &Offer, customer: Option<&Customer>) -> Sample {
        let placeholder = placeholder(offer);
        let reader = customer.unwrap_or(&placeholder);
        let message = match channel {
            Channel::Email => offer.render(reader, &self.default_language).and_then(|rendered| {
                let content = self.letterhead.write_offer(&rendered, PLACEHOLDER_LINK)?;
                Ok(Message::Email { content, description: plain_text(&rendered.description) })
            }),
            Channel::Sms => self.sms.text(offer, reader).map(|sms| Message::Sms { text: sms.text }),
        };
        Sample { customer: customer.map(|customer| customer.id.clone()), message }
    }
}

/// Stands in for a real customer when a channel reaches none.
fn placeholder(offer: &Offer) -> Customer {
    Customer {
        id: "customer".parse().expect("letters are a valid id"),
        name: "Customer".to_owned(),
        email: None,
        mobile: None,
        channels: offer.channels.clone(),
        locale: None,
        time_zone: None,
        attributes: Map::default(),
    }
}
