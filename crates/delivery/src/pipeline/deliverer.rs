//! What delivers the batches of a channel.

use std::num::NonZeroU32;

use store::{Customers, Deliveries, Pushes, Suppressions, TransportLimits};

/// Delivers batches of one channel.
#[derive(Debug)]
pub struct Deliverer<C, T> {
    /// Where customers are read.
    pub customers: Customers,
    /// Where it stands who must not be written to.
    pub suppressions: Suppressions,
    /// Where claims and outcomes stand.
    pub deliveries: Deliveries,
    /// Where batches report.
    pub pushes: Pushes,
    /// Where a transport that is out of reach is blocked.
    pub limits: TransportLimits,
    /// Writes the messages.
    pub composer: C,
    /// Carries them.
    pub first: RateLimited<T>,
    /// Carries them while the first is out of reach.
    pub fallback: Option<RateLimited<T>>,
}

/// A transport, and how fast it may be called.
#[derive(Debug)]
pub struct RateLimited<T> {
    /// What carries messages.
    pub transport: T,
    /// Sends a second, of all functions together.
    pub rate: NonZeroU32,
}
