//! The numbers of batches.

use domain::Channel;

/// Most batches of one page and channel.
pub const PAGE_BATCHES: u32 = 32;
pub(super) const CHANNELS: u32 = 2;
const _: () = assert!(Channel::ALL.len() == CHANNELS as usize);

/// Which walk of its slice a batch's number comes from.
pub(super) fn version_of(number: u32) -> u32 {
    number / (PAGE_BATCHES * CHANNELS)
}

/// Which channel a batch's number is of.
pub(super) fn channel_of(number: u32) -> Channel {
    Channel::ALL[(number % CHANNELS) as usize]
}
