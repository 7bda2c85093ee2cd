//! The keys that sign unsubscribe links, read when they are first needed.

use std::sync::Arc;
use std::time::Duration;

use domain::unsubscribe::KeyRing;
use jiff::Timestamp;
use tokio::sync::Mutex;

use crate::Aws;

/// How long a key ring is used before it is read again. A key that was removed from the secret is used no longer than
/// this.
pub const RING_AGE: Duration = Duration::from_secs(300);
/// How long a failure to read is remembered while no key ring is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The result of the last read.
#[derive(Debug, Default)]
struct LastRead {
    ring: Option<Arc<KeyRing>>,
    /// When it was tried, successfully or not.
    tried_at: Option<Timestamp>,
}

/// The key ring, as it was last read.
#[derive(Debug)]
pub struct Keys {
    aws: Aws,
    secret_arn: String,
    last: Mutex<LastRead>,
}

impl Keys {
    /// The key ring in a secret.
    pub fn new(aws: Aws, secret_arn: String) -> Self {
        Self { aws, secret_arn, last: Mutex::default() }
    }

    /// The key ring, read at most `age` ago. If it cannot be read again, the last one that was read.
    ///
    /// # Errors
    /// If no key ring was ever read and none can be read now.
    pub async fn ring(&self, age: Duration) -> Result<Arc<KeyRing>, String> {
        let mut last = self.last.lock().await;
        let since = last.tried_at.map(|tried_at| self.aws.sources().age_of(tried_at));
        match (&last.ring, since) {
            (Some(ring), Some(since)) if since < age => return Ok(ring.clone()),
            (None, Some(since)) if since < RETRY_AFTER => {
                return Err("the keys of links could not be read less than a second ago; not retrying yet".to_owned());
            }
            _ => {}
        }
        let read = match self.aws.secret(&self.secret_arn).await {
            Ok(secret) => KeyRing::parse(&secret).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        // Set after a failure as well, so that the next caller does not wait for the same failure.
        last.tried_at = Some(self.aws.sources().now());
        match (read, &last.ring) {
            (Ok(ring), _) => Ok(last.ring.insert(Arc::new(ring)).clone()),
            (Err(error), Some(ring)) => {
                tracing::warn!(error, "keys of links could not be read again; the known ones stay in use");
                Ok(ring.clone())
            }
            (Err(error), None) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_server::TestServer;

    const SECRET: &str =
        r#"{"SecretString": "{\"current\": \"k1\", \"k1\": \"0123456789012345678901234567890123456789\"}"}"#;

    /// While Lambda freezes a process, only the wall clock shows how old the keys are.
    #[tokio::test]
    async fn keys_are_read_again_when_the_wall_clock_says_that_they_are_old() {
        let server = TestServer::start(200, SECRET).await;
        let keys = Keys::new(server.aws(), "arn".to_owned());
        for (second, reads) in [(0, 1), (299, 1), (300, 2), (599, 2), (90_000, 3), (89_000, 4)] {
            server.set_clock(second);
            keys.ring(RING_AGE).await.unwrap();
            assert_eq!(server.calls(), reads, "at {second} s");
        }
        // A link with an unknown key accepts only a fresh ring.
        keys.ring(Duration::ZERO).await.unwrap();
        assert_eq!(server.calls(), 5);
    }

    #[tokio::test]
    async fn a_failure_is_remembered_for_a_second() {
        let server = TestServer::start(400, r#"{"__type": "AccessDeniedException"}"#).await;
        let keys = Keys::new(server.aws(), "arn".to_owned());
        for (second, reads) in [(10, 1), (10, 1), (11, 2), (11, 2)] {
            server.set_clock(second);
            assert!(keys.ring(RING_AGE).await.is_err());
            assert_eq!(server.calls(), reads, "at {second} s");
        }
    }
}
