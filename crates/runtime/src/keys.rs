//! The keys that unsubscribe links are signed with, read when they are first needed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::unsubscribe::KeyRing;
use tokio::sync::Mutex;

use crate::Aws;

/// How long a ring is used before it is read again: a key that was taken out of it is used no longer than that.
pub const RING_AGE: Duration = Duration::from_secs(300);

/// The ring of keys, as it was read last.
#[derive(Debug)]
pub struct Keys {
    aws: Aws,
    secret_arn: String,
    ring: Mutex<Option<(Instant, Arc<KeyRing>)>>,
}

impl Keys {
    /// The ring that stands in a secret.
    pub fn new(aws: Aws, secret_arn: String) -> Self {
        Self { aws, secret_arn, ring: Mutex::default() }
    }

    /// The ring, read at most `age` ago; or the one that is known, if it cannot be read again.
    ///
    /// # Errors
    /// If none is known and none can be read.
    pub async fn ring(&self, age: Duration) -> Result<Arc<KeyRing>, String> {
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
            (Err(error), None) => Err(error),
        }
    }
}
