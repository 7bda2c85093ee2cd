//! The system's clock and its random numbers.

use domain::Sources;
use jiff::Timestamp;

/// The system's clock, and the random numbers of its kernel.
pub fn system() -> Sources {
    // Without random numbers two invocations could hold the same lease token.
    Sources::new(Timestamp::now, || getrandom::u64().expect("the kernel has random numbers"))
}
