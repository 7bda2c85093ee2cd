//! Verification of unsubscribe links.

use std::time::Duration;

use domain::unsubscribe::{InvalidToken, Subscription};
use runtime::Keys;
use runtime::keys::RING_AGE;

/// Maximum age of the cached key ring when a link names a key that it lacks. Anyone can send such a link, and not every
/// one may cause a read of the secret.
const MAX_AGE_FOR_UNKNOWN_KEY: Duration = Duration::from_secs(2);

/// The subscription that a token names; `None` if none of our keys signed it.
///
/// # Errors
/// If the keys cannot be read.
pub(crate) async fn verify(keys: &Keys, token: &str) -> Result<Option<Subscription>, String> {
    match keys.ring(RING_AGE).await?.verify(token) {
        // The key may be newer than the cached ring.
        Err(InvalidToken::UnknownKey) => Ok(keys.ring(MAX_AGE_FOR_UNKNOWN_KEY).await?.verify(token).ok()),
        verified => Ok(verified.ok()),
    }
}
