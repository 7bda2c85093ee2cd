//! The customer whose message test recipients get: invented, so that no real customer's values leave with it.

use domain::offer::Announcement;
use domain::text::Reads;
use domain::{Customer, Offer};
use language::Language;
use serde_json::{Map, Value};

const NAME: &str = "Alex Example";
const ID: &str = "example-customer";
const TIME_ZONE: &str = "UTC";
const NUMBER: u32 = 1_250;
const DATE: &str = "2026-12-24";

/// A customer who gets the offer in its own language, with a value for each attribute that its texts read.
pub(super) fn example_customer(offer: &Offer, default_language: &Language) -> Customer {
    let language = offer.announcement.language(default_language);
    Customer {
        id: ID.parse().expect("letters and - are a valid id"),
        name: NAME.to_owned(),
        email: None,
        mobile: None,
        channels: offer.channels.clone(),
        locale: Some(language.to_string()),
        time_zone: Some(TIME_ZONE.to_owned()),
        attributes: attributes(&offer.announcement, language),
    }
}

fn attributes(announcement: &Announcement, language: &Language) -> Map<String, Value> {
    let texts = announcement.texts_in(language);
    let mut attributes = Map::new();
    for (name, reads) in texts.all().flat_map(domain::Text::fields) {
        let value = match reads {
            Reads::Text => in_words(name).into(),
            Reads::Number => NUMBER.into(),
            Reads::Date => DATE.into(),
        };
        // A value that is read as it is in one place may be a number in another.
        if reads != Reads::Text || !attributes.contains_key(name) {
            attributes.insert(name.to_owned(), value);
        }
    }
    attributes
}

/// `monthly_spend` as `Example monthly spend`: a reader sees what will be in its place.
fn in_words(attribute: &str) -> String {
    format!("Example {}", attribute.replace('_', " "))
}

#[cfg(test)]
mod tests {
    use domain::Channel;
    use serde_json::json;

    use super::*;
    use crate::preview::sample::Message;
    use crate::preview::sample::tests::composer;

    #[test]
    fn each_placeholder_of_the_offer_gets_a_value() {
        let offer = testing::offer(json!({
            "code": "A", "subject": "For {{ customer.name }}, {{ customer.tier }}",
            "description": "{{ customer.home_city }} {{ customer.spend }} {{ customer.spend | money: \"EUR\" }} until \
                            {{ customer.renewal | date: \"long\" }}, {{ customer.points | number }} {{ customer.locale }}",
            "link": {"url": "https://bank.example/?c={{ customer.id }}&x={{ customer.x }}", "label": "Go"},
            "language": "pt-PT", "translations": {"en": {"description": "{{ customer.other }}"}},
        }));
        let customer = example_customer(&offer, &Language::english());
        assert!(!customer.attributes.contains_key("other"), "only in a translation");
        let message = composer().compose(Channel::Email, &offer, &customer).message;
        let Ok(Message::Email { subject, text, .. }) = message else { panic!("an e-mail") };
        assert_eq!(subject, "For Alex Example, Example tier");
        let text = text.replace('\u{a0}', " ");
        for part in ["Example home city 1250", "24 de dezembro de 2026", "pt-PT", "x=Example%20x"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(composer().compose(Channel::Sms, &offer, &customer).message.is_ok());
    }
}
