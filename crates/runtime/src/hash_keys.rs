//! The key of the stack's hashes, read when it is first needed. It never changes, so it is read once.

use domain::HashKey;
use store::StoreError;
use tokio::sync::OnceCell;

use crate::Aws;

/// The key of the stack's hashes.
#[derive(Debug)]
pub struct HashKeys {
    /// Where to read it. `None` if it is known.
    secret: Option<(Aws, String)>,
    key: OnceCell<HashKey>,
}

impl HashKeys {
    /// The key in a secret.
    pub fn new(aws: Aws, secret_arn: String) -> Self {
        Self { secret: Some((aws, secret_arn)), key: OnceCell::new() }
    }

    /// A key that is known, for tests.
    pub fn known(key: HashKey) -> Self {
        Self { secret: None, key: OnceCell::new_with(Some(key)) }
    }

    /// The key.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it was never read and cannot be read now: without it nothing is found in the tables.
    pub async fn get(&self) -> Result<HashKey, StoreError> {
        let unavailable = |reason| {
            let (operation, table) = ("GetSecretValue", "HashKeySecret".to_owned());
            StoreError::Unavailable { operation, table, reason }
        };
        let read = async || {
            let (aws, secret_arn) = self.secret.as_ref().expect("a key that is known is not read");
            let secret = aws.secret(secret_arn).await.map_err(|error| unavailable(error.to_string()))?;
            HashKey::parse(&secret).map_err(|error| unavailable(error.to_string()))
        };
        self.key.get_or_try_init(read).await.cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_server::TestServer;

    #[tokio::test]
    async fn key_is_read_once() {
        let server = TestServer::start(200, r#"{"SecretString": "0123456789012345678901234567890123456789"}"#).await;
        let keys = HashKeys::new(server.aws(), "arn".to_owned());
        assert_eq!(keys.get().await.unwrap(), keys.get().await.unwrap());
        server.set_clock(90_000);
        keys.get().await.unwrap();
        assert_eq!(server.calls(), 1);
    }

    #[tokio::test]
    async fn key_that_cannot_be_read_is_tried_again() {
        let server = TestServer::start(400, r#"{"__type": "AccessDeniedException"}"#).await;
        let keys = HashKeys::new(server.aws(), "arn".to_owned());
        for reads in 1..=2 {
            assert!(keys.get().await.is_err());
            assert_eq!(server.calls(), reads);
        }
    }
}
