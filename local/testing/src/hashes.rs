//! Hashes of addresses and customers, with a key of the tests.

use domain::{AddressHash, Channel, CustomerHash, HashKey};

/// The key of hashes in all tests.
pub fn hash_key() -> HashKey {
    HashKey::parse("the-key-of-all-hashes-in-these-tests").expect("it is long enough")
}

/// The hash of an address.
pub fn address_hash(channel: Channel, address: &str) -> AddressHash {
    hash_key().address(channel, address)
}

/// The hash of a customer's id.
///
/// # Panics
/// If it is no id.
pub fn customer_hash(channel: Channel, customer: &str) -> CustomerHash {
    hash_key().customer(channel, &customer.parse().expect("an id"))
}
