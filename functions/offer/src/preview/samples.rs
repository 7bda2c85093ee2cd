//! Which sample messages a preview shows: one in each language, and one for each kind of customer who tests the texts most.

use domain::{Channel, Offer};

use super::readers::{Case, Readers};
use super::sample::{Sample, SampleComposer};

/// A message, and why it is shown.
pub(super) struct CaseSample {
    pub(super) channel: Channel,
    pub(super) case: Case,
    pub(super) sample: Sample,
}

/// Composes the samples of an offer, the typical ones first. In a language that no customer gets, it is the message to a
/// placeholder.
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
    typical.chain(extreme).collect()
}
