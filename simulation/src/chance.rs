//! What a seed decides while a simulation runs: every random choice outside the functions comes from here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;

/// What [`fnv1a`] begins with.
pub(crate) const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a, continued from a hash: the hash of the standard library may change from release to release.
pub(crate) fn fnv1a(hash: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A sequence of random choices. The same seed and name give the same sequence; clones take from one sequence.
///
/// Each part of the simulation has its own, so that one more choice in one part changes none in another.
#[derive(Debug, Clone)]
pub struct Chance(Arc<Mutex<Rng>>);

impl Chance {
    /// The sequence of this name.
    pub fn of(seed: u64, name: &str) -> Self {
        let hash = fnv1a(FNV_BASIS, name.bytes());
        let mut mixed = Rng::with_seed(seed ^ hash);
        Self(Arc::new(Mutex::new(Rng::with_seed(mixed.u64(..)))))
    }

    /// Any number.
    pub fn number(&self) -> u64 {
        self.rng().u64(..)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&self, end: usize) -> usize {
        self.rng().usize(..end)
    }

    /// Whether something of this probability, from 0 to 1, happens.
    pub fn happens(&self, probability: f64) -> bool {
        self.rng().f64() < probability
    }

    /// A time between two, in whole microseconds.
    pub fn between(&self, least: Duration, most: Duration) -> Duration {
        let micros = |time: Duration| u64::try_from(time.as_micros()).expect("it is less than a century");
        Duration::from_micros(self.rng().u64(micros(least)..=micros(most)))
    }

    /// One of these, of which there is at least one.
    pub fn pick<'a, T>(&self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }

    fn rng(&self) -> MutexGuard<'_, Rng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
