//! The keys that links are signed with, read when they are first needed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::unsubscribe::{InvalidToken, KeyRing, Subscription};
use runtime::Aws;
use tokio::sync::Mutex;

/// How soon a ring is read again for a link whose key it does not hold. Anybody may come with such a link: the secret must
/// not be read once for each.
const READ_AGAIN: Duration = Duration::from_secs(2);
/// How long a ring is used before it is read again: a key that was taken out is honoured no longer than that.
const RING_AGE: Duration = Duration::from_secs(300);

/// The ring of keys.
pub(crate) struct Keys {
    aws: Aws,
    secret_arn: String,
    ring: Mutex<Option<(Instant, Arc<KeyRing>)>>,
}

/// The keys cannot be had.
#[derive(Debug)]
pub(crate) struct NoKeys;

impl Keys {
    pub(crate) fn new(aws: Aws, secret_arn: String) -> Self {
        Self { aws, secret_arn, ring: Mutex::default() }
    }

    /// What a token is about; `None` if no key signed it.
    pub(crate) async fn verify(&self, token: &str) -> Result<Option<Subscription>, NoKeys> {
        match self.ring(RING_AGE).await?.verify(token) {
            // It may be signed with a key that is younger than our ring.
            Err(InvalidToken::UnknownKey) => Ok(self.ring(READ_AGAIN).await?.verify(token).ok()),
            verified => Ok(verified.ok()),
        }
    }

    /// The ring, as it was read at most `age` ago if it can be read.
    async fn ring(&self, age: Duration) -> Result<Arc<KeyRing>, NoKeys> {
        let mut known = self.ring.lock().await;
        if let Some((read_at, ring)) = known.as_ref()
            && read_at.elapsed() < age
        {
            return Ok(ring.clone());
        }
        let read = match self.aws.secret(&self.secret_arn).await {
            Ok(secret) => KeyRing::parse(&secret).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match (read, known.as_ref()) {
            (Ok(ring), _) => {
                let ring = Arc::new(ring);
                *known = Some((Instant::now(), ring.clone()));
                Ok(ring)
            }
            (Err(error), Some((_, ring))) => {
                tracing::warn!(error, "the signing keys cannot be read again; the known ones go on");
                Ok(ring.clone())
            }
            (Err(error), None) => {
                tracing::error!(error, "the signing keys cannot be read");
                Err(NoKeys)
            }
        }
    }
}
