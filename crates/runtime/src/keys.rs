//! The keys that unsubscribe links are signed with, read when they are first needed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::unsubscribe::KeyRing;
use tokio::sync::Mutex;

use crate::Aws;

/// How long a ring is used before it is read again: a key that was taken out of it is used no longer than that.
pub const RING_AGE: Duration = Duration::from_secs(300);
/// How soon it is tried again when none could be read.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// What came of reading it last.
#[derive(Debug, Default)]
struct Read {
    ring: Option<Arc<KeyRing>>,
    /// When it was tried, well or not.
    tried_at: Option<Instant>,
}

/// The ring of keys, as it was read last.
#[derive(Debug)]
pub struct Keys {
    aws: Aws,
    secret_arn: String,
    read: Mutex<Read>,
}

impl Keys {
    /// The ring that stands in a secret.
    pub fn new(aws: Aws, secret_arn: String) -> Self {
        Self { aws, secret_arn, read: Mutex::default() }
    }

    /// The ring, read at most `age` ago; or the one that is known, if it cannot be read again.
    ///
    /// # Errors
    /// If none is known and none can be read.
    pub async fn ring(&self, age: Duration) -> Result<Arc<KeyRing>, String> {
        let mut last = self.read.lock().await;
        let since = last.tried_at.map(|tried_at| tried_at.elapsed());
        match (&last.ring, since) {
            (Some(ring), Some(since)) if since < age => return Ok(ring.clone()),
            (None, Some(since)) if since < TRY_AGAIN => return Err("they could not be read a moment ago".to_owned()),
            _ => {}
        }
        let read = match self.aws.secret(&self.secret_arn).await {
            Ok(secret) => KeyRing::parse(&secret).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        // So that who comes next does not wait for the same failure.
        last.tried_at = Some(Instant::now());
        match (read, &last.ring) {
            (Ok(ring), _) => Ok(last.ring.insert(Arc::new(ring)).clone()),
            (Err(error), Some(ring)) => {
                tracing::warn!(error, "the signing keys cannot be read again; the known ones go on");
                Ok(ring.clone())
            }
            (Err(error), None) => Err(error),
        }
    }
}
