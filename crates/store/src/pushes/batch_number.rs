//! The number of a batch within its slice and generation. It contains the slice's version and the channel.
//!
//! Queued messages carry these numbers, so the arithmetic must not change while any are queued.

use std::fmt;

use domain::Channel;
use serde::Deserialize;

/// Maximum number of batches of one page and channel.
pub const PAGE_BATCHES: u32 = 32;
const CHANNELS: u32 = 2;
const _: () = assert!(Channel::ALL.len() == CHANNELS as usize);
/// Numbers of one version: those of one page.
const PER_VERSION: u32 = PAGE_BATCHES * CHANNELS;

/// The number of a batch. On the wire it is a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(super) struct BatchNumber(u32);

impl BatchNumber {
    /// The numbers of a page for batches of a channel, [`PAGE_BATCHES`] of them.
    pub(super) fn of_page(version: u32, channel: Channel) -> impl Iterator<Item = Self> {
        let first = version * PER_VERSION;
        (first..first + PER_VERSION).map(Self).filter(move |number| number.channel() == channel)
    }

    /// The slice's version when the batch was queued.
    pub(super) const fn version(self) -> u32 {
        self.0 / PER_VERSION
    }

    /// The channel of the batch.
    pub(super) const fn channel(self) -> Channel {
        Channel::ALL[(self.0 % CHANNELS) as usize]
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

    use super::*;

    fn of_page(version: u32, channel: Channel) -> Vec<u32> {
        BatchNumber::of_page(version, channel).map(u32::from).collect()
    }

    /// Messages in flight hold these numbers.
    #[test]
    fn numbers_stay_what_they_are() {
        assert_eq!(of_page(0, Channel::Email)[..3], [0, 2, 4]);
        assert_eq!(of_page(0, Channel::Sms)[..3], [1, 3, 5]);
        assert_eq!(of_page(1, Channel::Email)[..2], [64, 66]);
        assert_eq!(of_page(3, Channel::Sms)[31], 3 * 64 + 63);
        assert_eq!((BatchNumber(193).version(), BatchNumber(193).channel()), (3, Channel::Sms));
    }

    #[test]
    fn a_number_contains_its_version_and_channel() {
        for version in (0..2_000).chain([u32::MAX / PER_VERSION - 1]) {
            for channel in Channel::ALL {
                let numbers = BatchNumber::of_page(version, channel);
                assert!(numbers.into_iter().all(|number| (number.version(), number.channel()) == (version, channel)));
                assert_eq!(BatchNumber::of_page(version, channel).count(), PAGE_BATCHES as usize);
            }
        }
    }

    #[test]
    fn no_number_is_given_twice() {
        let all =
            (0..200).flat_map(|version| Channel::ALL.into_iter().flat_map(move |channel| of_page(version, channel)));
        assert_eq!(all.collect::<BTreeSet<_>>(), (0..200 * PER_VERSION).collect());
    }
}
