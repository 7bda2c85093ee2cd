//! The signed tokens of unsubscribe links.
//!
//! A token names a customer and a channel, and authorises its holder to change the customer's subscription to that
//! channel. Its form is `key.payload.signature`, the latter two in base64url. The payload is the channel (one byte),
//! the hash of the address that the message was sent to (32 bytes) and the customer's id. The signature is HMAC-SHA256
//! (RFC 2104) over all before it, truncated to 16 bytes. Tokens do not expire: a link in an old message must work
//! (CAN-SPAM requires 30 days, and readers expect it to work without a limit).

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::{AddressHash, Channel, CustomerId};

/// Length of a truncated signature, in bytes: 128 bits.
const SIGNATURE_LENGTH: usize = 16;
/// Minimum length of a key, in bytes. The template generates 64 characters.
const MIN_KEY_LENGTH: usize = 32;
/// Maximum length of a token that is verified, in bytes. Ours have at most 32 + 130 + 22 and two dots.
const MAX_TOKEN_LENGTH: usize = 256;
/// Maximum length of a key's name, in bytes.
const MAX_KEY_NAME_LENGTH: usize = 32;

/// The subscription that an unsubscribe link changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub customer: CustomerId,
    pub channel: Channel,
    /// The hash of the address that the message was sent to, so that an operator finds the opt-out by address.
    pub address: AddressHash,
}

/// The keys of tokens: the current one, which signs, and older ones, whose links still work.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRing {
    current: String,
    keys: BTreeMap<String, String>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("current", &self.current).finish_non_exhaustive()
    }
}

/// Why a secret is not a key ring. Never repeats a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the signing keys {0}; expected {{\"current\": \"k2\", \"k1\": \"…\", \"k2\": \"…\"}}")]
pub struct InvalidKeyRing(&'static str);

/// Why a token was not accepted. Callers do not learn which reason it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvalidToken {
    /// It names a key that is not in the ring. The key may be newer than the ring.
    UnknownKey,
    /// It is forged, changed or truncated.
    Forged,
}

impl KeyRing {
    /// Parses a key ring: `{"current": "k2", "k1": "…", "k2": "…"}`.
    ///
    /// # Errors
    /// If the secret has another form.
    pub fn parse(secret: &str) -> Result<Self, InvalidKeyRing> {
        let Ok(Value::Object(fields)) = serde_json::from_str(secret) else {
            return Err(InvalidKeyRing("are not a JSON object"));
        };
        let mut current = None;
        let mut keys = BTreeMap::new();
        for (name, value) in fields {
            let Value::String(value) = value else {
                return Err(InvalidKeyRing("have a value that is not a string"));
            };
            if name == "current" {
                current = Some(value);
                continue;
            }
            if name.is_empty() {
                return Err(InvalidKeyRing("have a key without a name"));
            }
            if name.len() > MAX_KEY_NAME_LENGTH || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                return Err(InvalidKeyRing("have a name that is not at most 32 letters, digits and hyphens"));
            }
            if value.len() < MIN_KEY_LENGTH {
                return Err(InvalidKeyRing("have a key of fewer than 32 characters"));
            }
            keys.insert(name, value);
        }
        let current = current.ok_or(InvalidKeyRing("do not name the current one"))?;
        if !keys.contains_key(&current) {
            return Err(InvalidKeyRing("do not include the current one"));
        }
        Ok(Self { current, keys })
    }

    /// The token for a link, signed with the current key.
    pub fn sign(&self, subscription: &Subscription) -> String {
        let Subscription { customer, channel, address } = subscription;
        let mut payload = vec![code(*channel)];
        payload.extend(address.as_bytes());
        payload.extend(customer.as_str().bytes());
        let signed = format!("{}.{}", self.current, BASE64URL_NOPAD.encode(&payload));
        let signature = mac(&self.keys[&self.current], &signed).finalize().into_bytes();
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature[..SIGNATURE_LENGTH]))
    }

    /// The subscription that a token names.
    ///
    /// # Errors
    /// If no key of the ring signed it.
    pub fn verify(&self, token: &str) -> Result<Subscription, InvalidToken> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(InvalidToken::Forged);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(InvalidToken::Forged)?;
        let (key, payload) = signed.split_once('.').ok_or(InvalidToken::Forged)?;
        let key = self.keys.get(key).ok_or(InvalidToken::UnknownKey)?;
        let decoded = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| InvalidToken::Forged);
        let signature = decoded(signature)?;
        // A shorter signature would be easier to forge.
        if signature.len() != SIGNATURE_LENGTH {
            return Err(InvalidToken::Forged);
        }
        mac(key, signed).verify_truncated_left(&signature).map_err(|_| InvalidToken::Forged)?;
        parse_payload(&decoded(payload)?).ok_or(InvalidToken::Forged)
    }

    /// The HMAC-SHA256 of a message of another kind, with the current key. The message must contain a byte that no
    /// token has, so that it is none.
    pub(crate) fn mac(&self, message: &[u8]) -> [u8; 32] {
        mac(&self.keys[&self.current], message).finalize().into_bytes().into()
    }

    /// As [`KeyRing::mac`], with each key.
    pub(crate) fn macs(&self, message: &[u8]) -> impl Iterator<Item = [u8; 32]> {
        self.keys.values().map(move |key| mac(key, message).finalize().into_bytes().into())
    }
}

fn mac(key: &str, signed: impl AsRef<[u8]>) -> Hmac<Sha256> {
    Hmac::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length").chain_update(signed)
}

fn parse_payload(payload: &[u8]) -> Option<Subscription> {
    let (first, rest) = payload.split_first()?;
    let (address, customer) = rest.split_first_chunk()?;
    Some(Subscription {
        customer: std::str::from_utf8(customer).ok()?.parse().ok()?,
        channel: Channel::ALL.into_iter().find(|channel| code(*channel) == *first)?,
        address: AddressHash::from(*address),
    })
}

/// The code of a channel in a payload. Links that were sent contain it, so it never changes.
const fn code(channel: Channel) -> u8 {
    match channel {
        Channel::Email => b'e',
        Channel::Sms => b's',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = r#"{"current": "k1", "k1": "0123456789012345678901234567890123456789"}"#;
    const NEW: &str = r#"{"current": "k2", "k1": "0123456789012345678901234567890123456789",
                          "k2": "abcdefghijabcdefghijabcdefghijabcdefghij"}"#;

    fn subscription(customer: &str) -> Subscription {
        Subscription {
            customer: customer.parse().unwrap(),
            channel: Channel::Email,
            address: AddressHash::of(Channel::Email, "asha@example.com"),
        }
    }

    #[test]
    fn token_returns_the_signed_subscription() {
        let ring = KeyRing::parse(OLD).unwrap();
        let longest = subscription(&"x".repeat(64));
        let token = ring.sign(&longest);
        assert_eq!(ring.verify(&token), Ok(longest));
        assert!(token.len() <= MAX_TOKEN_LENGTH);
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "fit for a URL: {token}");
    }

    #[test]
    fn links_work_while_the_ring_has_their_key() {
        let (old, new) = (KeyRing::parse(OLD).unwrap(), KeyRing::parse(NEW).unwrap());
        let token = old.sign(&subscription("c-1"));
        assert_eq!(new.verify(&token), Ok(subscription("c-1")));
        assert_ne!(new.sign(&subscription("c-1")), token);
        assert_eq!(old.verify(&new.sign(&subscription("c-1"))), Err(InvalidToken::UnknownKey));
    }

    #[test]
    fn changed_or_truncated_token_is_refused() {
        let ring = KeyRing::parse(NEW).unwrap();
        let token = ring.sign(&subscription("c-1"));
        let other = ring.sign(&subscription("c-2"));
        for length in 0..token.len() {
            assert!(ring.verify(&token[..length]).is_err(), "truncated to {length}");
            let mut changed = token.clone().into_bytes();
            changed[length] = if changed[length] == b'A' { b'B' } else { b'A' };
            assert!(ring.verify(std::str::from_utf8(&changed).unwrap()).is_err(), "changed at {length}");
        }
        // One customer's signature under another's payload.
        let (signed, _) = other.rsplit_once('.').unwrap();
        let (_, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(ring.verify(&format!("{signed}.{signature}")), Err(InvalidToken::Forged));
        // The right payload under another key's name.
        assert_eq!(ring.verify(&token.replacen("k2", "k1", 1)), Err(InvalidToken::Forged));
        assert!(ring.verify(&format!("{token}A")).is_err());
    }

    #[test]
    fn invalid_key_ring_is_refused_without_repeating_it() {
        for secret in [
            "",
            "[]",
            r#"{"k1": "secret-secret-secret-secret-secret-secret"}"#,
            r#"{"current": "k1"}"#,
            r#"{"current": "k1", "k1": "secret"}"#,
            r#"{"current": "k.1", "k.1": "secret-secret-secret-secret-secret-secret"}"#,
            r#"{"current": "", "": "secret-secret-secret-secret-secret-secret"}"#,
        ] {
            let error = KeyRing::parse(secret).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
