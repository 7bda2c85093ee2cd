//! Random numbers that are the same in each run.

use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;

/// A source of random numbers. The same seed gives the same numbers; clones take from the same sequence.
pub fn seeded(seed: u64) -> impl Fn() -> u64 + Send + Sync + Clone + 'static {
    let rng = Arc::new(Mutex::new(Rng::with_seed(seed)));
    move || rng.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_numbers() {
        let numbers = |seed| {
            let next = seeded(seed);
            [next(), next(), next.clone()()]
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
        assert_ne!(numbers(1)[1], numbers(1)[2]);
    }
}
