//! Sample messages: an offer as one customer of each channel would receive it.

use delivery::SmsComposer;
use delivery::compose::letterhead::{Content, Letterhead};
use delivery::compose::sms::SmsText;
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
    /// The customer it is composed for; `None` for the placeholder, if no customer gets this language.
    pub(super) customer: Option<CustomerId>,
    /// The language of the message.
    pub(super) language: Language,
    /// The message, or why it cannot be composed.
    pub(super) message: Result<Message, String>,
}

/// The content of a sample, by channel.
pub(super) enum Message {
    Email {
        subject: String,
        text: String,
        /// `None` if the response has no room for it.
        html: Option<String>,
    },
    Sms(SmsText),
}

impl SampleComposer {
    /// Composes the message on a channel for a customer.
    pub(super) fn compose(&self, channel: Channel, offer: &Offer, customer: &Customer) -> Sample {
        Sample { customer: Some(customer.id.clone()), ..self.compose_for(channel, offer, customer) }
    }

    /// Composes the message on a channel in a language that no customer gets. Its values are those of `model`, so that
    /// there are any.
    pub(super) fn compose_in(
        &self,
        language: &Language,
        channel: Channel,
        offer: &Offer,
        model: Option<&Customer>,
    ) -> Sample {
        self.compose_for(channel, offer, &placeholder(language, offer, model))
    }

    fn compose_for(&self, channel: Channel, offer: &Offer, reader: &Customer) -> Sample {
        let message = match channel {
            Channel::Email => offer
                .render(reader, channel, &self.default_language)
                .and_then(|rendered| self.letterhead.write_offer(&rendered, PLACEHOLDER_LINK))
                .map(|Content { subject, text, html, .. }| Message::Email { subject, text, html: Some(html) }),
            Channel::Sms => self.sms.text(offer, reader).map(Message::Sms),
        };
        let language = offer.announcement.language_for(reader.locale.as_deref(), &self.default_language).clone();
        Sample { customer: None, language, message }
    }
}

/// Takes the place of a customer in a language that none gets. It has the values of `model`, except its name.
fn placeholder(language: &Language, offer: &Offer, model: Option<&Customer>) -> Customer {
    Customer {
        id: "customer".parse().expect("letters are a valid id"),
        name: "Customer".to_owned(),
        email: None,
        mobile: None,
        channels: offer.channels.clone(),
        locale: Some(language.to_string()),
        time_zone: model.and_then(|model| model.time_zone.clone()),
        attributes: model.map_or_else(Map::default, |model| model.attributes.clone()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use delivery::compose::alphabet::SmsAlphabet;
    use delivery::compose::sms::{DltIds, SmsSettings};

    use super::*;

    /// As in a stack with the parameters' defaults.
    pub(in crate::preview) fn composer() -> SampleComposer {
        SampleComposer {
            letterhead: Letterhead {
                brand_name: "A Bank".into(),
                postal_address: "1 High Street".into(),
                logo_url: None,
                brand_colours: "#1d4fa8".parse().unwrap(),
            },
            sms: SmsComposer::new(SmsSettings {
                brand_name: "A Bank".into(),
                opt_out: None,
                segments: 2,
                alphabet: SmsAlphabet::Gsm,
                default_language: Language::english(),
                dlt: DltIds::default(),
            })
            .unwrap(),
            default_language: Language::english(),
        }
    }
}
