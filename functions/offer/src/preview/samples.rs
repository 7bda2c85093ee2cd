//! Which sample messages a preview shows: one in each language, and one for each kind of customer who tests the texts most.

use domain::{Channel, Offer};

use super::SIZE_LIMIT;
use super::readers::{Case, Readers};
use super::sample::{Message, Sample, SampleComposer};

/// A message, and why it is shown.
pub(super) struct CaseSample {
    pub(super) channel: Channel,
    pub(super) case: Case,
    pub(super) sample: Sample,
}

/// Composes the samples of an offer, the typical ones first. In a language that no customer gets, it is the message to a
/// placeholder. There are up to 88 of them, and the function has little memory: HTML for which a response never has room is
/// dropped at once.
pub(super) fn samples(offer: &Offer, composer: &SampleComposer, readers: &Readers) -> Vec<CaseSample> {
    let languages = offer.announcement.languages(&composer.default_language);
    let each_channel = || offer.channels.iter().copied();
    let typical = languages.into_iter().flat_map(|language| {
        each_channel().map(move |channel| {
            let sample = match readers.typical(channel, language) {
                Some(customer) => composer.compose(channel, offer, Some(customer)),
                None => composer.compose_in(language, channel, offer, readers.first(channel)),
            };
            CaseSample { channel, case: Case::Typical, sample }
        })
    });
    let extreme = Case::EXTREMES.into_iter().flat_map(|case| {
        each_channel().filter_map(move |channel| {
            let customer = readers.extreme(channel, case)?;
            Some(CaseSample { channel, case, sample: composer.compose(channel, offer, Some(customer)) })
        })
    });
    let mut left = SIZE_LIMIT;
    typical.chain(extreme).map(|sample| with_bounded_html(sample, &mut left)).collect()
}

fn with_bounded_html(mut sample: CaseSample, left: &mut usize) -> CaseSample {
    if let Ok(Message::Email(content)) = &mut sample.sample.message {
        match left.checked_sub(content.html.len()) {
            Some(rest) => *left = rest,
            None => content.html = String::new(),
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
    use crate::preview::readers::Traits;
    use crate::preview::sample::tests::composer;
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
        let mut readers = Readers::default();
        let english = Language::english();
        readers.consider(&customer, &Traits { channel: Channel::Email, language: &english, defaults: 0, fails: false });
        let samples = samples(&offer, &composer, &readers);
        let html = |sample: &CaseSample| match &sample.sample.message {
            Ok(Message::Email(content)) => content.html.len(),
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
}
