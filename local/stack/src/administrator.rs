//! The access key that deploys to an emulator.

use anyhow::Result;
use aws_credential_types::Credentials;
use data_encoding::{BASE32, HEXLOWER};
use serde::{Deserialize, Serialize};

/// The access key that may do everything in an emulator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Administrator {
    pub(crate) key_id: String,
    pub(crate) secret: String,
}

/// The account's root in emulators that check no signature of it.
impl Default for Administrator {
    fn default() -> Self {
        Self { key_id: "test".to_owned(), secret: "any".to_owned() }
    }
}

impl Administrator {
    /// A new key, in the form of AWS's: an id of 20 letters and digits, and a secret of 40.
    pub(crate) fn random() -> Result<Self> {
        let (mut id, mut secret) = ([0; 10], [0; 20]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        Ok(Self { key_id: format!("AKIA{}", BASE32.encode(&id)), secret: HEXLOWER.encode(&secret) })
    }

    pub(crate) fn credentials(&self) -> Credentials {
        Credentials::new(&self.key_id, &self.secret, None, None, "the local stack's administrator")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stack_has_its_own_key() {
        let (one, other) = (Administrator::random().unwrap(), Administrator::random().unwrap());
        assert!(one.key_id != other.key_id && one.secret != other.secret);
        assert_eq!((one.key_id.len(), one.secret.len()), (20, 40));
        assert!(one.key_id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{one:?}");
    }
}
