//! Whether a link is one of ours.

use std::time::Duration;

use domain::unsubscribe::{InvalidToken, Subscription};
use runtime::Keys;
use runtime::keys::RING_AGE;

/// How soon a ring is read again for a link whose key it does not hold. Anybody may come with such a link: the secret must
/// not be read once for each.
const MAX_AGE_FOR_UNKNOWN_KEY: Duration = Duration::from_secs(2);

/// What a token is about; `None` if no key signed it.
///
/// # Errors
/// If there are no keys to tell by.
pub(crate) async fn verify(keys: &Keys, token: &str) -> Result<Option<Subscription>, String> {
    match keys.ring(RING_AGE).await?.verify(token) {
        // It may be signed with a key that is younger than our ring.
        Err(InvalidToken::UnknownKey) => Ok(keys.ring(MAX_AGE_FOR_UNKNOWN_KEY).await?.verify(token).ok()),
        verified => Ok(verified.ok()),
    }
}
