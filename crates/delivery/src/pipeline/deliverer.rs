//! The parts that deliver the batches of one channel. Each step of the pipeline implements its methods in its own file.

use std::num::NonZeroU32;

use super::rate::FullLine;
use domain::Sources;
use jiff::SignedDuration;
use runtime::HashKeys;
use store::{Customers, Deliveries, PushedOffers, Pushes, Suppressions, TransportLimits};

/// Delivers batches of one channel.
#[derive(Debug)]
pub struct Deliverer<C, T> {
    /// The customers' addresses and consent.
    pub customers: Customers,
    /// Addresses and customers that get no messages.
    pub suppressions: Suppressions,
    pub deliveries: Deliveries,
    /// What the messages of the queue are about: pushes with their offers.
    pub pushed_offers: PushedOffers,
    /// Pushes, and the reports of their batches.
    pub pushes: Pushes,
    /// Rates and circuit breakers of the transports.
    pub limits: TransportLimits,
    /// What this process knows of the rate.
    pub full_line: FullLine,
    /// The clock and the random numbers.
    pub sources: Sources,
    /// The key of the hashes in the tables.
    pub hash_keys: HashKeys,
    pub composer: C,
    /// The transport to prefer.
    pub primary: RateLimited<T>,
    /// How long a recipient who is refused for now is tried again (`RetryHours`).
    pub retry_for: SignedDuration,
    /// The transport to use while the circuit breaker of the primary is open.
    pub fallback: Option<RateLimited<T>>,
}

/// A transport with its rate limit.
#[derive(Debug)]
pub struct RateLimited<T> {
    pub transport: T,
    /// Sends per second, of all functions together.
    pub rate: NonZeroU32,
}
