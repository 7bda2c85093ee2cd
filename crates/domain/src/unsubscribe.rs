//! The tokens of unsubscribe links, and of the form by which the page subscribes again.
//!
//! A link's token names a customer and a channel, and authorises its holder to end the customer's subscription to that
//! channel. Its form is `key.sealed`, the latter in base64url: the channel (one byte), the hash of the address that the
//! message was sent to (32 bytes) and the customer's id, encrypted and authenticated with AES-256-GCM-SIV (RFC 8452). So
//! it discloses neither id nor hash. It needs no nonce: each message has a token of its own, which stays the same when the
//! message is sent again. Tokens do not expire: a link in an old message must work (CAN-SPAM requires 30 days, and
//! readers expect it to work without a limit).
//!
//! Earlier releases sent `key.payload.signature`, with the unkeyed hash, the signature being HMAC-SHA256 (RFC 2104) over
//! all before it, truncated to 16 bytes. Those links work as well.
//!
//! A form's token is sealed in the same way, with a key of its own and the time at which it expires. The holder of a
//! message can open the page; but only the page subscribes again, not a link by itself.

use std::collections::BTreeMap;

use aes_gcm_siv::aead::{Aead, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::Value;
use sha2::Sha256;

use crate::{AddressHash, Channel, CustomerId, HashKey};

/// Length of the truncated signature of an earlier release's token, in bytes: 128 bits.
const SIGNATURE_LENGTH: usize = 16;
/// Minimum length of a key, in bytes. The template generates 64 characters.
const MIN_KEY_LENGTH: usize = 32;
/// Maximum length of a token that is verified, in bytes. Ours have at most 32 + 162 and a dot.
const MAX_TOKEN_LENGTH: usize = 256;
/// Maximum length of a key's name, in bytes.
const MAX_KEY_NAME_LENGTH: usize = 32;

/// The parameter in a link's query that names the language of its message, and so of its page. Links of messages in the
/// stack's default language have none. It is not part of the token, so that a release that does not know it accepts the
/// link.
pub const LANGUAGE_PARAMETER: &str = "lang";

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
#[error("the keys of links {0}; expected {{\"current\": \"k2\", \"k1\": \"…\", \"k2\": \"…\"}}")]
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

    /// The token of a link, sealed with the current key.
    pub fn link_token(&self, subscription: &Subscription) -> String {
        self.seal(Purpose::Link, &payload(subscription))
    }

    /// The subscription that a link's token names. `hash_key` keys the hash in a token of an earlier release.
    ///
    /// # Errors
    /// If no key of the ring sealed or signed it.
    pub fn verify_link(&self, token: &str, hash_key: &HashKey) -> Result<Subscription, InvalidToken> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(InvalidToken::Forged);
        }
        if let Some((signed, signature)) = token.rsplit_once('.').filter(|(signed, _)| signed.contains('.')) {
            let payload = self.verify_signature(signed, signature)?;
            return parse_payload(&payload, |unkeyed| hash_key.address_of(unkeyed)).ok_or(InvalidToken::Forged);
        }
        parse_payload(&self.unseal(Purpose::Link, token)?, AddressHash::from_keyed).ok_or(InvalidToken::Forged)
    }

    /// The token of the form by which the page that this subscription's link opens subscribes again, until it expires.
    pub fn form_token(&self, subscription: &Subscription, expires_at: Timestamp) -> String {
        let mut content = expires_at.as_second().to_be_bytes().to_vec();
        content.extend(payload(subscription));
        self.seal(Purpose::Form, &content)
    }

    /// Checks the token of a form for this subscription.
    ///
    /// # Errors
    /// If it was made for another one, has expired at `now`, or no key of the ring sealed it.
    pub fn verify_form(&self, token: &str, subscription: &Subscription, now: Timestamp) -> Result<(), InvalidToken> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(InvalidToken::Forged);
        }
        let content = self.unseal(Purpose::Form, token)?;
        let (expires_at, content) = content.split_first_chunk().ok_or(InvalidToken::Forged)?;
        let is_for_it = content == payload(subscription);
        if is_for_it && now.as_second() < i64::from_be_bytes(*expires_at) { Ok(()) } else { Err(InvalidToken::Forged) }
    }

    fn seal(&self, purpose: Purpose, content: &[u8]) -> String {
        let key = &self.current;
        let sealed = purpose.cipher(&self.keys[key]).encrypt(&Nonce::default(), Payload { msg: content, aad: &[] });
        let sealed = sealed.expect("a token is far shorter than what the cipher takes");
        format!("{key}.{}", BASE64URL_NOPAD.encode(&sealed))
    }

    fn unseal(&self, purpose: Purpose, token: &str) -> Result<Vec<u8>, InvalidToken> {
        let (key, sealed) = token.split_once('.').ok_or(InvalidToken::Forged)?;
        let key = self.keys.get(key).ok_or(InvalidToken::UnknownKey)?;
        let sealed = BASE64URL_NOPAD.decode(sealed.as_bytes()).map_err(|_| InvalidToken::Forged)?;
        let opened = purpose.cipher(key).decrypt(&Nonce::default(), Payload { msg: &sealed, aad: &[] });
        opened.map_err(|_| InvalidToken::Forged)
    }

    /// The payload of an earlier release's token.
    fn verify_signature(&self, signed: &str, signature: &str) -> Result<Vec<u8>, InvalidToken> {
        let (key, payload) = signed.split_once('.').ok_or(InvalidToken::Forged)?;
        let key = self.keys.get(key).ok_or(InvalidToken::UnknownKey)?;
        let decoded = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| InvalidToken::Forged);
        let signature = decoded(signature)?;
        // A shorter signature would be easier to forge.
        if signature.len() != SIGNATURE_LENGTH {
            return Err(InvalidToken::Forged);
        }
        mac(key, signed).verify_truncated_left(&signature).map_err(|_| InvalidToken::Forged)?;
        decoded(payload)
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

/// What a token is for. Each has a cipher key of its own.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Link,
    Form,
}

impl Purpose {
    fn cipher(self, key: &str) -> Aes256GcmSiv {
        // Nothing else that is authenticated with the ring's keys begins with a NUL.
        let info: &[u8] = match self {
            Self::Link => b"\0unsubscribe link",
            Self::Form => b"\0unsubscribe form",
        };
        Aes256GcmSiv::new(&mac(key, info).finalize().into_bytes())
    }
}

fn payload(Subscription { customer, channel, address }: &Subscription) -> Vec<u8> {
    let mut payload = vec![code(*channel)];
    payload.extend(address.as_bytes());
    payload.extend(customer.as_str().bytes());
    payload
}

fn parse_payload(payload: &[u8], address: impl FnOnce([u8; 32]) -> AddressHash) -> Option<Subscription> {
    let (first, rest) = payload.split_first()?;
    let (hash, customer) = rest.split_first_chunk()?;
    Some(Subscription {
        customer: std::str::from_utf8(customer).ok()?.parse().ok()?,
        channel: Channel::ALL.into_iter().find(|channel| code(*channel) == *first)?,
        address: address(*hash),
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

    /// A link that an earlier release sent to asha@example.com, signed with the key of `OLD`.
    const SIGNED: &str = "k1.ZTS1mE7Ep6Pju5X5ZGXOo2oQZjpvR1QsCzeAu29ruSPaYy0x._zy9iwc7MnFjwgPMKVpoBg";

    fn hash_key() -> HashKey {
        HashKey::parse("the-key-of-all-hashes-of-this-stack").unwrap()
    }

    fn subscription(customer: &str) -> Subscription {
        Subscription {
            customer: customer.parse().unwrap(),
            channel: Channel::Email,
            address: hash_key().address(Channel::Email, "asha@example.com"),
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn link_returns_the_subscription() {
        let ring = KeyRing::parse(OLD).unwrap();
        let longest = subscription(&"x".repeat(64));
        let token = ring.link_token(&longest);
        assert_eq!(ring.verify_link(&token, &hash_key()), Ok(longest.clone()));
        assert_eq!(ring.link_token(&longest), token, "the same whenever the message is sent");
        assert!(token.len() <= MAX_TOKEN_LENGTH);
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "fit for a URL: {token}");
    }

    #[test]
    fn link_discloses_neither_the_customer_nor_the_hash() {
        let token = KeyRing::parse(OLD).unwrap().link_token(&subscription("customer-1"));
        let sealed = BASE64URL_NOPAD.decode(token.split_once('.').unwrap().1.as_bytes()).unwrap();
        let holds = |part: &[u8]| sealed.windows(part.len()).any(|window| window == part);
        assert!(!holds(b"customer") && !holds(&subscription("c").address.as_bytes()[..4]));
    }

    #[test]
    fn links_of_earlier_releases_work() {
        let ring = KeyRing::parse(NEW).unwrap();
        assert_eq!(ring.verify_link(SIGNED, &hash_key()), Ok(subscription("c-1")));
    }

    #[test]
    fn links_work_while_the_ring_has_their_key() {
        let (old, new) = (KeyRing::parse(OLD).unwrap(), KeyRing::parse(NEW).unwrap());
        let token = old.link_token(&subscription("c-1"));
        assert_eq!(new.verify_link(&token, &hash_key()), Ok(subscription("c-1")));
        let newer = new.link_token(&subscription("c-1"));
        assert_ne!(newer, token);
        assert_eq!(old.verify_link(&newer, &hash_key()), Err(InvalidToken::UnknownKey));
    }

    #[test]
    fn changed_or_truncated_token_is_refused() {
        let ring = KeyRing::parse(NEW).unwrap();
        for token in [ring.link_token(&subscription("c-1")), SIGNED.to_owned()] {
            let verify = |token: &str| ring.verify_link(token, &hash_key());
            for length in 0..token.len() {
                assert!(verify(&token[..length]).is_err(), "truncated to {length}");
                let mut changed = token.clone().into_bytes();
                changed[length] = if changed[length] == b'A' { b'B' } else { b'A' };
                assert!(verify(std::str::from_utf8(&changed).unwrap()).is_err(), "changed at {length}");
            }
            // The right content under another key's name.
            let (from, to) = if token.starts_with("k1") { ("k1", "k2") } else { ("k2", "k1") };
            assert_eq!(verify(&token.replacen(from, to, 1)), Err(InvalidToken::Forged));
            assert!(verify(&format!("{token}A")).is_err());
        }
    }

    #[test]
    fn form_works_for_its_subscription_until_it_expires() {
        let ring = KeyRing::parse(NEW).unwrap();
        let asha = subscription("c-1");
        let token = ring.form_token(&asha, at(100));
        assert_eq!(ring.verify_form(&token, &asha, at(99)), Ok(()));
        assert!(ring.verify_form(&token, &asha, at(100)).is_err());
        assert!(ring.verify_form(&token, &subscription("c-2"), at(99)).is_err());
        let elsewhere =
            Subscription { address: hash_key().address(Channel::Email, "ines@example.com"), ..asha.clone() };
        assert!(ring.verify_form(&token, &elsewhere, at(99)).is_err());
        let by_text = Subscription { channel: Channel::Sms, ..asha.clone() };
        assert!(ring.verify_form(&token, &by_text, at(99)).is_err());
    }

    #[test]
    fn link_is_no_form_and_form_is_no_link() {
        let ring = KeyRing::parse(NEW).unwrap();
        let asha = subscription("c-1");
        assert!(ring.verify_form(&ring.link_token(&asha), &asha, at(0)).is_err());
        assert!(ring.verify_link(&ring.form_token(&asha, at(100)), &hash_key()).is_err());
        assert!(ring.verify_form(SIGNED, &asha, at(0)).is_err());
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
