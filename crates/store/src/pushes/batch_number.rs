//! The number of a batch within its slice and generation. It contains the slice's version and the channel.
//!
//! Queued messages and stored slices hold these numbers, so what they mean must not change while any are in flight. The
//! highest bit shows which form a number has:
//!
//! | bits | 31 | 30–8 | 7–3 | 2–0 |
//! |---|---|---|---|---|
//! | | 1 | version | index within page and channel | channel |
//!
//! Numbers without that bit are of the form before, which had room for two channels: `version * 64 + index * 2 +
//! channel`. They can be dropped once no queue can hold one any more (14 days). A function of the release before counts
//! batches of either form, but takes none of this form for too early: then the sweep scans its slice again.

use std::fmt;

use domain::Channel;
use serde::Deserialize;

/// Maximum number of batches of one page and channel.
pub const PAGE_BATCHES: u32 = 1 << INDEX_BITS;
const INDEX_BITS: u32 = 5;
const CHANNEL_BITS: u32 = 3;
const _: () = assert!(Channel::ALL.len() <= 1 << CHANNEL_BITS);
/// The highest version: of some eight million pages and scanners of one slice.
const MAX_VERSION: u32 = (1 << (31 - INDEX_BITS - CHANNEL_BITS)) - 1;
/// Marks the present form.
const FORM: u32 = 1 << 31;

/// Numbers of one version in the form before.
const OLD_PER_VERSION: u32 = PAGE_BATCHES * OLD_CHANNELS;
const OLD_CHANNELS: u32 = 2;

/// The number of a batch. On the wire it is a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(super) struct BatchNumber(u32);

impl BatchNumber {
    /// The numbers of a page for batches of a channel, [`PAGE_BATCHES`] of them.
    pub(super) fn of_page(version: u32, channel: Channel) -> impl Iterator<Item = Self> {
        let first = FORM | version.min(MAX_VERSION) << (INDEX_BITS + CHANNEL_BITS) | code(channel);
        (0..PAGE_BATCHES).map(move |index| Self(first | index << CHANNEL_BITS))
    }

    /// The slice's version when the batch was queued.
    pub(super) const fn version(self) -> u32 {
        if self.has_form() { (self.0 & !FORM) >> (INDEX_BITS + CHANNEL_BITS) } else { self.0 / OLD_PER_VERSION }
    }

    /// The channel of the batch; `None` if only a later release knows it.
    pub(super) fn channel(self) -> Option<Channel> {
        let channels = if self.has_form() { 1 << CHANNEL_BITS } else { OLD_CHANNELS };
        Channel::ALL.into_iter().find(|channel| code(*channel) == self.0 % channels)
    }

    const fn has_form(self) -> bool {
        self.0 & FORM != 0
    }
}

/// The number of a channel in a batch's number.
const fn code(channel: Channel) -> u32 {
    match channel {
        Channel::Email => 0,
        Channel::Sms => 1,
    }
}

impl From<u32> for BatchNumber {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

impl From<BatchNumber> for u32 {
    fn from(number: BatchNumber) -> Self {
        number.0
    }
}

impl fmt::Display for BatchNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of_page(version: u32, channel: Channel) -> Vec<u32> {
        BatchNumber::of_page(version, channel).map(u32::from).collect()
    }

    fn channels() -> impl Strategy<Value = Channel> {
        prop::sample::select(Channel::ALL.to_vec())
    }

    /// Messages in flight hold these numbers.
    #[test]
    fn numbers_stay_what_they_are() {
        assert_eq!(of_page(0, Channel::Email)[..3], [FORM, FORM + 8, FORM + 16]);
        assert_eq!(of_page(0, Channel::Sms)[..2], [FORM + 1, FORM + 9]);
        assert_eq!(of_page(1, Channel::Email)[..2], [FORM + 256, FORM + 264]);
        assert_eq!(of_page(3, Channel::Sms)[31], FORM + 3 * 256 + 249);
        assert_eq!(MAX_VERSION, 8_388_607);
        for (number, version, channel) in [(0, 0, Channel::Email), (65, 1, Channel::Sms), (193, 3, Channel::Sms)] {
            let old = BatchNumber(number);
            assert_eq!((old.version(), old.channel()), (version, Some(channel)), "{number}");
        }
    }

    #[test]
    fn number_of_an_unknown_channel_has_none() {
        assert_eq!(BatchNumber(FORM | 7).channel(), None);
    }

    proptest! {
        #[test]
        fn number_contains_its_version_and_channel(version in 0..=MAX_VERSION, channel in channels()) {
            for number in BatchNumber::of_page(version, channel) {
                prop_assert_eq!((number.version(), number.channel()), (version, Some(channel)));
            }
        }

        #[test]
        fn no_number_is_given_twice(version in 0..MAX_VERSION) {
            let pages = [version, version + 1];
            let all = pages.iter().flat_map(|version| Channel::ALL.into_iter().flat_map(|channel| of_page(*version, channel)));
            let expected = pages.len() * Channel::ALL.len() * PAGE_BATCHES as usize;
            prop_assert_eq!(all.collect::<BTreeSet<_>>().len(), expected);
        }

        #[test]
        fn number_of_the_form_before_is_never_given_again(old in 0..FORM, version in 0..=MAX_VERSION, channel in channels()) {
            prop_assert!(!of_page(version, channel).contains(&old));
        }
    }
}
