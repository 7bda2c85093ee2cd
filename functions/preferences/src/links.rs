//! Verification of unsubscribe links, and of the form on their page.

use std::sync::Arc;
use std::time::Duration;

use domain::unsubscribe::{InvalidToken, KeyRing, Subscription};
use domain::{HashKey, Sources};
use jiff::SignedDuration;
use runtime::Keys;
use runtime::keys::RING_AGE;

/// Maximum age of the cached key ring when a link names a key that it lacks. Anyone can send such a link, and not every
/// one may cause a read of the secret.
const MAX_AGE_FOR_UNKNOWN_KEY: Duration = Duration::from_secs(2);
/// How long the form on a page works.
pub(crate) const FORM_LIFETIME: SignedDuration = SignedDuration::from_mins(30);

/// A link of ours.
pub(crate) struct Link {
    pub(crate) subscription: Subscription,
    ring: Arc<KeyRing>,
}

impl Link {
    /// Verifies a link's token. Returns `None` if it is not one of ours.
    ///
    /// # Errors
    /// If the keys cannot be read.
    pub(crate) async fn verify(keys: &Keys, token: &str, hash_key: &HashKey) -> Result<Option<Self>, String> {
        let mut ring = keys.ring(RING_AGE).await?;
        let mut verified = ring.verify_link(token, hash_key);
        if verified == Err(InvalidToken::UnknownKey) {
            // The key may be newer than the cached ring.
            ring = keys.ring(MAX_AGE_FOR_UNKNOWN_KEY).await?;
            verified = ring.verify_link(token, hash_key);
        }
        Ok(verified.ok().map(|subscription| Self { subscription, ring }))
    }

    /// A token for the form on the link's page.
    pub(crate) fn form_token(&self, sources: &Sources) -> String {
        self.ring.form_token(&self.subscription, sources.now() + FORM_LIFETIME)
    }

    /// Whether the page of this link showed a form with this token, not too long ago.
    pub(crate) fn showed(&self, form_token: &str, sources: &Sources) -> bool {
        self.ring.verify_form(form_token, &self.subscription, sources.now()).is_ok()
    }
}
