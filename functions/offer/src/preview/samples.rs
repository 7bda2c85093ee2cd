//! Which sample messages a preview shows: one in each language, and one for each kind of customer who tests the texts most.

use domain::{Channel, Offer};

use super::SIZE_LIMIT;
use super::sample::{Message, Sample, SampleComposer};
use super::sample_customers::{Case, SampleCustomers};

/// A message, and why it is shown.
pub(super) struct CaseSample {
    pub(super) channel: Channel,
    pub(super) case: Case,
    pub(super) sample: Sample,
    /// Whether it is the first of its channel: to the customer with the smallest id of all that the channel reaches,
    /// or in the offer's own language if there are none.
    pub(super) is_main: bool,
}

/// Composes the samples of an offer, the typical ones first. In a language that no customer gets, it is the message to a
/// placeholder. There are up to 88 of them, and the function has little memory: HTML for which a response never has room is
/// dropped at once, but never that of a main one.
pub(super) fn samples(offer: &Offer, composer: &SampleComposer, customers: &SampleCustomers) -> Vec<CaseSample> {
    let announcement = &offer.announcement;
    let languages = announcement.languages(&composer.default_language);
    let main_language = |channel| {
        let locale = customers.first(channel).and_then(|customer| customer.locale.as_deref());
        announcement.language_for(locale, &composer.default_language)
    };
    let each_channel = || offer.channels.iter().copied();
    let typical = languages.into_iter().flat_map(|language| {
        each_channel().map(move |channel| {
            let sample = match customers.typical(channel, language) {
                Some(customer) => composer.compose(channel, offer, customer),
                None => composer.compose_in(language, channel, offer, customers.first(channel)),
            };
            CaseSample { channel, case: Case::Typical, sample, is_main: language == main_language(channel) }
        })
    });
    let extreme = Case::EXTREMES.into_iter().flat_map(|case| {
        each_channel().filter_map(move |channel| {
            let customer = customers.extreme(channel, case)?;
            Some(CaseSample { channel, case, sample: composer.compose(channel, offer, customer), is_main: false })
        })
    });
    let mut left = SIZE_LIMIT;
    typical.chain(extreme).map(|sample| with_bounded_html(sample, &mut left)).collect()
}

fn with_bounded_html(mut sample: CaseSample, left: &mut usize) -> CaseSample {
    if let Ok(Message::Email { html, .. }) = &mut sample.sample.message {
        let size = html.as_ref().map_or(0, String::len);
        if size <= *left || sample.is_main {
            *left = left.saturating_sub(size);
        } else {
            *html = None;
        }
    }
    sample
}

#[cfg(test)]
mod tests {
    use domain::Customer;
    use language::Language;
    use serde_json::json;

    use super::*;
    use crate::preview::sample::tests::composer;
    use crate::preview::sample_customers::Traits;
    use crate::preview::view::fitting;

    #[test]
    fn html_for_which_there_is_no_room_takes_no_memory() {
        let tags = ["ar", "de", "fr", "es", "it", "nl", "pl", "pt", "hi", "de-CH", "de-AT", "fr-CA", "es-AR", "es-MX"];
        let regions = (0..25).map(|n| format!("de-{}{}", char::from(b'A' + n), char::from(b'A' + n)));
        let tags = tags.into_iter().map(str::to_owned).chain(regions);
        let translations: serde_json::Map<_, _> = tags.map(|tag| (tag, json!({}))).collect();
        let description = "{{ customer.x }}".repeat(9);
        let offer =
            json!({"code": "A", "description": description, "channels": ["email"], "translations": translations});
        let offer = testing::offer(offer);
        let composer = composer();
        let customer = json!({"name": "A", "channels": [], "attributes": {"x": "<".repeat(3_000)}});
        let customer = Customer::parse("c-1", customer).unwrap();
        let mut customers = SampleCustomers::default();
        let english = Language::english();
        customers
            .consider(&customer, &Traits { channel: Channel::Email, language: &english, defaults: 0, fails: false });
        let samples = samples(&offer, &composer, &customers);
        let html = |sample: &CaseSample| match &sample.sample.message {
            Ok(Message::Email { html, .. }) => html.as_ref().map_or(0, String::len),
            _ => panic!("an e-mail"),
        };
        let one = html(&samples[0]);
        let total: usize = samples.iter().map(html).sum();
        assert!(samples.len() * one > SIZE_LIMIT, "{} of {one} octets", samples.len());
        assert!(total <= SIZE_LIMIT && total > SIZE_LIMIT / 2, "{total}");
        let (views, omitted) = fitting(&samples, SIZE_LIMIT);
        let last = json!(views.last());
        assert_eq!((&last["htmlOmitted"], last["html"].is_null(), omitted), (&json!(true), true, 0));
    }

    #[test]
    fn test_recipients_get_the_whole_message_to_the_first_customer_of_their_channel() {
        let offer = testing::offer(json!({
            "code": "A", "description": "B", "translations": {"de": {}, "fr": {}}
        }));
        let german = "de".parse().unwrap();
        let english = Language::english();
        let mut customers = SampleCustomers::default();
        for (id, locale, language, channel) in [
            ("b", "en", &english, Channel::Email),
            ("a", "de-AT", &german, Channel::Email),
            ("c", "de", &german, Channel::Email),
        ] {
            let customer = Customer::parse(id, json!({"name": "A", "channels": [], "locale": locale})).unwrap();
            customers.consider(&customer, &Traits { channel, language, defaults: 0, fails: false });
        }
        let main: Vec<_> = samples(&offer, &composer(), &customers)
            .into_iter()
            .filter(|sample| sample.is_main)
            .map(|CaseSample { channel, sample, .. }| {
                (channel, sample.customer.map(|id| id.to_string()), sample.language.to_string())
            })
            .collect();
        // In the order of the languages. SMS reaches no customer.
        assert_eq!(
            main,
            [(Channel::Sms, None, "en".to_owned()), (Channel::Email, Some("a".to_owned()), "de".to_owned())]
        );
        let mut left = 0;
        for is_main in [true, false] {
            let message = Message::Email { subject: "S".into(), text: "T".into(), html: Some("H".into()) };
            let sample = Sample { customer: None, language: english.clone(), message: Ok(message) };
            let sample = CaseSample { channel: Channel::Email, case: Case::Typical, sample, is_main };
            let Ok(Message::Email { html, .. }) = with_bounded_html(sample, &mut left).sample.message else { panic!() };
            assert_eq!(html.is_some(), is_main);
        }
    }
}
