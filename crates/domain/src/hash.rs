//! Keyed hashes: what replaces an address or a customer's id in tables other than Customers.
//!
//! An unkeyed hash hides nothing: all phone numbers of a country are hashed within seconds. So a hash is HMAC-SHA256
//! (RFC 2104) with a key that belongs to the stack, over the unkeyed hash that earlier releases stored. This makes it
//! possible to key what they stored without knowing the address.
//!
//! Channels are hashed as well: the same address or customer on another channel has another hash.

use std::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::{Channel, CustomerId};

/// Minimum length of a key, in bytes. The template generates 64 characters.
const MIN_KEY_LENGTH: usize = 32;

/// The key of a stack's hashes. It never changes: with another one, no suppression would be found.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey(String);

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(…)")
    }
}

/// The secret is no key. Never repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key of the hashes has fewer than 32 characters, or a space or a line break")]
pub struct InvalidHashKey;

#[derive(Clone, Copy)]
struct Keyed {
    keyed: [u8; 32],
    /// What earlier releases stored in its place. `None` if the hash was read from where only the keyed one is.
    unkeyed: Option<[u8; 32]>,
}

/// The hash of an address on a channel.
#[derive(Clone, Copy)]
pub struct AddressHash(Keyed);

/// The hash of a customer's id on a channel.
#[derive(Clone, Copy)]
pub struct CustomerHash(Keyed);

impl HashKey {
    /// Parses the key as the secret has it.
    ///
    /// # Errors
    /// If it is too short, or has a space or a line break.
    pub fn parse(secret: &str) -> Result<Self, InvalidHashKey> {
        // A line break at the end, as a file has it, would make another key.
        let is_key = secret.len() >= MIN_KEY_LENGTH && secret.bytes().all(|b| b.is_ascii_graphic());
        is_key.then(|| Self(secret.to_owned())).ok_or(InvalidHashKey)
    }

    /// The hash of an address, without regard to case: no mail server in use distinguishes it.
    pub fn address(&self, channel: Channel, address: &str) -> AddressHash {
        self.address_of(unkeyed(channel, &address.to_ascii_lowercase()))
    }

    /// The hash of a customer's id.
    pub fn customer(&self, channel: Channel, customer: &CustomerId) -> CustomerHash {
        CustomerHash(self.key(unkeyed(channel, customer.as_str())))
    }

    /// The hash of an address of which an earlier release stored the unkeyed one, or signed it into a link.
    pub fn address_of(&self, unkeyed: [u8; 32]) -> AddressHash {
        AddressHash(self.key(unkeyed))
    }

    /// The hash that a table holds as text: keyed, or as an earlier release stored it. `None` if it is neither.
    pub fn stored_address(&self, stored: &str) -> Option<AddressHash> {
        if let Some(unkeyed) = parse_unkeyed(stored) {
            return Some(self.address_of(unkeyed));
        }
        let keyed = BASE64URL_NOPAD.decode(stored.as_bytes()).ok()?.try_into().ok()?;
        Some(AddressHash::from_keyed(keyed))
    }

    /// As text: the hash of an address or a customer's id of which an earlier release stored the unkeyed one, as text.
    pub fn rekey(&self, stored: &str) -> Option<String> {
        parse_unkeyed(stored).map(|unkeyed| self.address_of(unkeyed).to_string())
    }

    fn key(&self, unkeyed: [u8; 32]) -> Keyed {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("HMAC takes keys of any length");
        Keyed { keyed: mac.chain_update(unkeyed).finalize().into_bytes().into(), unkeyed: Some(unkeyed) }
    }
}

impl AddressHash {
    pub(crate) const fn from_keyed(keyed: [u8; 32]) -> Self {
        Self(Keyed { keyed, unkeyed: None })
    }

    /// The bytes of the keyed hash.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0.keyed
    }

    /// What an earlier release stored in its place, as text.
    pub fn unkeyed(&self) -> Option<String> {
        self.0.unkeyed.map(|unkeyed| HEXLOWER.encode(&unkeyed))
    }

    /// Whether this text, as a table holds it, is this hash, keyed or not.
    pub fn is_stored_as(&self, stored: &str) -> bool {
        stored == self.to_string() || self.unkeyed().is_some_and(|unkeyed| stored == unkeyed)
    }
}

impl CustomerHash {
    /// What an earlier release stored in its place, as text.
    pub fn unkeyed(&self) -> Option<String> {
        self.0.unkeyed.map(|unkeyed| HEXLOWER.encode(&unkeyed))
    }
}

/// The unkeyed hash of an address, as text: for records of addresses that are no secret, such as those of tests, by a function
/// without the key.
pub fn unkeyed_address(channel: Channel, address: &str) -> String {
    HEXLOWER.encode(&unkeyed(channel, &address.to_ascii_lowercase()))
}

fn unkeyed(channel: Channel, of: &str) -> [u8; 32] {
    Sha256::digest(format!("{channel}#{of}")).into()
}

fn parse_unkeyed(stored: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(stored.as_bytes()).ok()?.try_into().ok()
}

macro_rules! keyed {
    ($($hash:ident,)+) => {
        $(
            impl PartialEq for $hash {
                fn eq(&self, other: &Self) -> bool {
                    self.0.keyed == other.0.keyed
                }
            }

            impl Eq for $hash {}

            impl std::hash::Hash for $hash {
                fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                    self.0.keyed.hash(state);
                }
            }

            /// Without the unkeyed hash, which would let a guess of the address be confirmed.
            impl fmt::Debug for $hash {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "{}({self})", stringify!($hash))
                }
            }

            /// The keyed hash in base64url, 43 characters.
            impl fmt::Display for $hash {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&BASE64URL_NOPAD.encode(&self.0.keyed))
                }
            }
        )+
    };
}

keyed! {
    AddressHash,
    CustomerHash,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &str) -> HashKey {
        HashKey::parse(&secret.repeat(32)).unwrap()
    }

    #[test]
    fn hash_depends_on_key_channel_and_address_but_not_on_case() {
        let asha = key("a").address(Channel::Email, "asha@example.com");
        assert_eq!(key("a").address(Channel::Email, "Asha@EXAMPLE.com"), asha);
        assert_ne!(key("b").address(Channel::Email, "asha@example.com"), asha);
        assert_ne!(key("a").address(Channel::Sms, "asha@example.com"), asha);
        assert_ne!(key("a").address(Channel::Email, "ines@example.com"), asha);
    }

    #[test]
    fn what_earlier_releases_stored_has_the_same_hash() {
        let asha = key("a").address(Channel::Email, "asha@example.com");
        let unkeyed = asha.unkeyed().unwrap();
        assert_eq!(unkeyed, HEXLOWER.encode(&Sha256::digest("email#asha@example.com")));
        assert_eq!(unkeyed, unkeyed_address(Channel::Email, "Asha@example.com"));
        assert_eq!(key("a").stored_address(&unkeyed), Some(asha));
        assert_eq!(key("a").stored_address(&asha.to_string()), Some(asha));
        assert_eq!(key("a").rekey(&unkeyed), Some(asha.to_string()));
        assert!(asha.is_stored_as(&unkeyed) && asha.is_stored_as(&asha.to_string()) && !asha.is_stored_as("x"));
        for other in ["", "x", &unkeyed[1..], &asha.to_string()[1..]] {
            assert_eq!(key("a").stored_address(other), None, "{other}");
        }
        let customer = key("a").customer(Channel::Email, &"c-1".parse().unwrap());
        assert_eq!(key("a").rekey(&customer.unkeyed().unwrap()), Some(customer.to_string()));
    }

    #[test]
    fn short_key_is_refused_and_no_key_is_shown() {
        assert_eq!(HashKey::parse(&"a".repeat(31)), Err(InvalidHashKey));
        assert_eq!(HashKey::parse(&format!("{}\n", "a".repeat(64))), Err(InvalidHashKey));
        assert_eq!(format!("{:?}", key("a")), "HashKey(…)");
    }
}
