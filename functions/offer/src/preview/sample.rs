//! How an offer would read.

use delivery::SmsComposer;
use delivery::email::{Content, Letterhead};
use domain::{Channel, Customer, CustomerId, Offer};

/// Where the unsubscribe link of a preview leads: nowhere (RFC 2606). A customer's own would work for whoever clicks it.
pub(super) const PLACEHOLDER_LINK: &str = "https://unsubscribe.invalid/each-customer-has-her-own-link";

/// Writes samples.
pub struct SampleComposer {
    pub letterhead: Letterhead,
    pub sms: SmsComposer,
}

/// One channel's message as one customer would read it.
pub(super) struct Sample {
    /// Whom it is written to; nobody in particular, if it reaches nobody.
    pub(super) customer: Option<CustomerId>,
    pub(super) message: Result<Message, String>,
}

pub(super) enum Message {
    Email {
        content: Content,
        /// The description alone, without what surrounds it.
        description: String,
    },
    Sms {
        text: String,
    },
}

impl SampleComposer {
    /// Writes a channel's message as that customer would read it.
    pub(super) fn compose(&self, channel: Channel, offer: &Offer, customer: Option<&Customer>) -> Sample {
        let placeholder = Customer {
            id: "somebody".parse().expect("letters are an id"),
            name: "Somebody".to_owned(),
            email: None,
            mobile: None,
            channels: offer.channels.clone(),
            locale: None,
            time_zone: None,
            attributes: serde_json::Map::default(),
        };
        let reader = customer.unwrap_or(&placeholder);
        let message = match channel {
            Channel::Email => self.letterhead.write_offer(offer, reader, PLACEHOLDER_LINK).and_then(|content| {
                let description = offer.description.render(reader).map_err(|error| error.to_string())?;
                Ok(Message::Email { content, description })
            }),
            Channel::Sms => self.sms.text(offer, reader).map(|text| Message::Sms { text }),
        };
        Sample { customer: customer.map(|customer| customer.id.clone()), message }
    }
}
