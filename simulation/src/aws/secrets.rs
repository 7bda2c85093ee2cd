//! Secrets Manager: the key of hashes, the keys of links (which operators rotate), the URL of the mail server.

use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::HashKey;
use domain::unsubscribe::KeyRing;
use serde_json::{Map, Value, json};

use crate::aws::call::Call;
use crate::network::Reply;
use crate::scenario::Scenario;
use crate::world::World;

/// The key of hashes, which never changes.
const HASH_KEY: &str = "the-key-of-all-hashes-in-the-simulation";
/// The user of the mail server.
const SMTP_USER: &str = "offercast";

/// The secrets `HashKey`, `UnsubscribeKeys` and `SmtpUrl`. Those names are also the ARNs that functions have.
#[derive(Debug)]
pub struct Secrets(Mutex<Versions>);

/// How often each was changed, the first value included.
#[derive(Debug)]
struct Versions {
    link_keys: u32,
    smtp_password: u32,
}

impl Secrets {
    pub fn new(_scenario: &Scenario) -> Self {
        Self(Mutex::new(Versions { link_keys: 1, smtp_password: 1 }))
    }

    /// `GetSecretValue` (Secrets Manager API reference).
    ///
    /// # Panics
    /// If it is another operation, or there is no such secret.
    pub fn serve(&self, _world: &World, call: &Call) -> Reply {
        assert_eq!(call.operation, "GetSecretValue", "no model of the operation");
        let (value, version) = match call.target.as_str() {
            "HashKey" => (HASH_KEY.to_owned(), 1),
            "UnsubscribeKeys" => (self.link_keys(), self.versions().link_keys),
            "SmtpUrl" => (self.smtp_url(), self.versions().smtp_password),
            other => panic!("there is no secret {other}"),
        };
        let body = json!({
            "ARN": call.target, "Name": call.target, "SecretString": value, "VersionId": format!("version-{version}"),
            "VersionStages": ["AWSCURRENT"],
        });
        Reply::json(200, &body)
    }

    /// Adds a key of links and makes it the current one. The links of the others still work.
    pub fn rotate_links(&self) {
        self.versions().link_keys += 1;
    }

    /// Changes the password of the mail server: there, and in the secret.
    pub fn change_smtp_password(&self) {
        self.versions().smtp_password += 1;
    }

    /// The key of hashes, for those who look at tables.
    pub fn hash_key(&self) -> HashKey {
        HashKey::parse(HASH_KEY).expect("it is long enough")
    }

    /// The present keys of links, for those who open links.
    pub fn ring(&self) -> KeyRing {
        KeyRing::parse(&self.link_keys()).expect("it is a key ring")
    }

    /// The user that the mail server accepts, and the password.
    pub fn smtp_user(&self) -> (&'static str, String) {
        (SMTP_USER, format!("password-{}", self.versions().smtp_password))
    }

    fn link_keys(&self) -> String {
        let newest = self.versions().link_keys;
        let name = |number: u32| format!("k{number}");
        let keys = (1..=newest).map(|number| (name(number), format!("{number:0>32}").into()));
        let mut ring: Map<String, Value> = keys.collect();
        ring.insert("current".to_owned(), name(newest).into());
        Value::Object(ring).to_string()
    }

    /// A password is sent unencrypted to this machine only.
    fn smtp_url(&self) -> String {
        let (user, password) = self.smtp_user();
        format!("smtp://{user}:{password}@127.0.0.1:1025")
    }

    fn versions(&self) -> MutexGuard<'_, Versions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use domain::Channel;
    use domain::unsubscribe::Subscription;

    use super::*;
    use crate::providers::tests::scenario;

    #[test]
    fn a_link_of_a_key_that_was_rotated_still_works() {
        let secrets = Secrets::new(&scenario());
        let hash_key = secrets.hash_key();
        let subscription = Subscription {
            customer: "c-1".parse().unwrap(),
            channel: Channel::Email,
            address: hash_key.address(Channel::Email, "asha@example.com"),
        };
        let old = secrets.ring().link_token(&subscription);
        secrets.rotate_links();
        let new = secrets.ring().link_token(&subscription);
        assert_ne!(old, new);
        for token in [old, new] {
            assert_eq!(secrets.ring().verify_link(&token, &hash_key), Ok(subscription.clone()));
        }
    }
}
