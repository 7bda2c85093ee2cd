//! Hashes of addresses.

use std::fmt;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::Channel;

/// The SHA-256 of a channel and an address. Tables other than Customers, and unsubscribe links, hold this in place of
/// the address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AddressHash([u8; 32]);

impl AddressHash {
    /// The hash of an address, without regard to case: no mail server in use distinguishes it.
    pub fn of(channel: Channel, address: &str) -> Self {
        Self(Sha256::digest(format!("{channel}#{}", address.to_ascii_lowercase())).into())
    }

    /// The bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for AddressHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// As 64 hexadecimal digits.
impl fmt::Display for AddressHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}
