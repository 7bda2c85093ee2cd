//! The envelope's sender of an e-mail, tagged so that a report of failure says which delivery it is about (variable
//! envelope return path, VERP): `bounces+TAG@bank.example`.
//!
//! A tag is the base32 form (RFC 4648, in lower case, since servers change the case) of a string of bits: the offer's id
//! (128), a check (30), and six bits for each character of the customer's id, as many as fit into a local part of 64
//! octets (RFC 5321, 4.5.3.1.1). The check is an HMAC-SHA256 (RFC 2104) over the offer's and the whole customer's id,
//! truncated: anyone may send mail to the return path, and only who received the offer can know its tag. Of a longer id,
//! a tag has the beginning, and the check says which of the customers whose ids begin so is meant.

use std::fmt;
use std::str::FromStr;

use crate::email_address::{EMAIL_LIMIT, InvalidEmailAddress};
use crate::unsubscribe::KeyRing;
use crate::{CustomerId, EmailAddress, OfferId};

/// Maximum length of a local part, in octets (RFC 5321, 4.5.3.1.1).
const LOCAL_PART_LIMIT: usize = 64;
/// Bits of an offer's id.
const OFFER_BITS: usize = 128;
/// Bits of the check.
const CHECK_BITS: usize = 30;
/// Bits of a character of a customer's id.
const CHARACTER_BITS: usize = 6;
/// Bits of a character of a tag.
const SYMBOL_BITS: usize = 5;
/// How many characters of a longer customer's id a tag has at least, so that few ids begin in the same way.
pub const MIN_PREFIX: usize = 8;
/// Maximum length of the return path's own local part: what a tag with [`MIN_PREFIX`] characters, and the `+`, leave.
const OWN_LIMIT: usize =
    LOCAL_PART_LIMIT - 1 - (OFFER_BITS + CHECK_BITS + CHARACTER_BITS * MIN_PREFIX).div_ceil(SYMBOL_BITS);

/// Maximum length of the domain: what the longest local part leaves of an address ([`EMAIL_LIMIT`]).
const DOMAIN_LIMIT: usize = EMAIL_LIMIT - LOCAL_PART_LIMIT - 1;

/// The symbols of a tag, in order.
const SYMBOLS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// The characters of a customer's id, in order.
const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The address that reports of failure are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnPath {
    local: String,
    domain: String,
}

/// Why a string is not a return path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidReturnPath {
    /// It is no address.
    #[error(transparent)]
    Address(#[from] InvalidEmailAddress),
    /// There is no room for a tag.
    #[error("has more than {OWN_LIMIT} characters before the @, which leaves no room for the tag of a delivery")]
    TooLong,
    /// With a tag, it would be longer than an address may be.
    #[error("has more than {DOMAIN_LIMIT} characters after the @, which leaves no room for the tag of a delivery")]
    DomainTooLong,
    /// There is a `+`, which begins the tag.
    #[error("has a + before the @, which begins the tag of a delivery")]
    HasTag,
}

impl ReturnPath {
    /// The return path of the e-mail that announces an offer to a customer.
    pub fn tagged(&self, ring: &KeyRing, offer: OfferId, customer: &CustomerId) -> String {
        let symbols = LOCAL_PART_LIMIT - 1 - self.local.len();
        let fitting = (SYMBOL_BITS * symbols - OFFER_BITS - CHECK_BITS) / CHARACTER_BITS;
        let prefix = &customer.as_str()[..fitting.min(customer.as_str().len())];
        let check = check(ring.mac(&signed(offer, prefix.len(), customer)));
        let tag = ReturnTag { offer, check, prefix: prefix.to_owned() };
        format!("{}+{tag}@{}", self.local, self.domain)
    }
}

impl FromStr for ReturnPath {
    type Err = InvalidReturnPath;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        let address: EmailAddress = string.parse()?;
        let (local, domain) = address.as_str().rsplit_once('@').ok_or(InvalidEmailAddress::NotAnAddress)?;
        if local.len() > OWN_LIMIT {
            return Err(InvalidReturnPath::TooLong);
        }
        if domain.len() > DOMAIN_LIMIT {
            return Err(InvalidReturnPath::DomainTooLong);
        }
        if local.contains('+') {
            return Err(InvalidReturnPath::HasTag);
        }
        Ok(Self { local: local.to_owned(), domain: domain.to_owned() })
    }
}

/// Without a tag, for mail that belongs to no delivery.
impl fmt::Display for ReturnPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

/// What the tag of a return path says, which is not verified.
#[derive(Clone, PartialEq, Eq)]
pub struct ReturnTag {
    /// The offer.
    pub offer: OfferId,
    check: u32,
    prefix: String,
}

impl fmt::Debug for ReturnTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReturnTag").field("offer", &self.offer).finish_non_exhaustive()
    }
}

impl ReturnTag {
    /// The tag in an address, in any case. `None` if it has none, or one that is not of this form.
    pub fn find(address: &str) -> Option<Self> {
        let (local, _domain) = address.rsplit_once('@')?;
        let (_, tag) = local.rsplit_once('+')?;
        Self::parse(tag)
    }

    fn parse(tag: &str) -> Option<Self> {
        let mut bits = Bits::default();
        if tag.len() > LOCAL_PART_LIMIT {
            return None;
        }
        for symbol in tag.bytes() {
            let symbol = symbol.to_ascii_lowercase();
            let value = SYMBOLS.iter().position(|known| *known == symbol)?;
            bits.push(value as u128, SYMBOL_BITS);
        }
        let mut bits = bits.0.into_iter();
        let offer = OfferId::from_u128(take(&mut bits, OFFER_BITS)?);
        let check = u32::try_from(take(&mut bits, CHECK_BITS)?).ok()?;
        let mut prefix = String::new();
        while bits.len() >= CHARACTER_BITS {
            let character = usize::try_from(take(&mut bits, CHARACTER_BITS)?).ok()?;
            prefix.push(char::from(CHARACTERS[character]));
        }
        let parsed = Self { offer, check, prefix };
        // One form only: no other bits at the end, and a whole number of characters.
        let is_canonical = !parsed.prefix.is_empty() && parsed.to_string().eq_ignore_ascii_case(tag);
        is_canonical.then_some(parsed)
    }

    /// The beginning of the customer's id, or all of it.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether the tag was made for this customer, with any key of the ring.
    pub fn is_of(&self, customer: &CustomerId, ring: &KeyRing) -> bool {
        customer.as_str().starts_with(&self.prefix)
            && ring.macs(&signed(self.offer, self.prefix.len(), customer)).any(|mac| check(mac) == self.check)
    }
}

/// The text form, after the `+`.
impl fmt::Display for ReturnTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bits = Bits::default();
        bits.push(self.offer.to_u128(), OFFER_BITS);
        bits.push(u128::from(self.check), CHECK_BITS);
        for character in self.prefix.bytes() {
            let value = CHARACTERS.iter().position(|known| *known == character).ok_or(fmt::Error)?;
            bits.push(value as u128, CHARACTER_BITS);
        }
        bits.0.resize(bits.0.len().next_multiple_of(SYMBOL_BITS), false);
        let mut bits = bits.0.into_iter();
        while let Some(symbol) = take(&mut bits, SYMBOL_BITS).and_then(|symbol| usize::try_from(symbol).ok()) {
            write!(f, "{}", char::from(SYMBOLS[symbol]))?;
        }
        Ok(())
    }
}

/// What the check is computed from. The length of the prefix is a part of it, so that a tag that was cut is refused. A
/// token of an unsubscribe link has no NUL.
fn signed(offer: OfferId, prefix: usize, customer: &CustomerId) -> Vec<u8> {
    format!("return-path\0{offer}\0{prefix}\0{customer}").into_bytes()
}

/// The first bits of an HMAC.
fn check(mac: [u8; 32]) -> u32 {
    u32::from_be_bytes([mac[0], mac[1], mac[2], mac[3]]) >> (32 - CHECK_BITS)
}

/// Bits, the most significant of each value first.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn push(&mut self, value: u128, width: usize) {
        self.0.extend((0..width).rev().map(|bit| value >> bit & 1 == 1));
    }
}

/// The next value of this many bits. `None` if fewer are left.
fn take(bits: &mut impl ExactSizeIterator<Item = bool>, width: usize) -> Option<u128> {
    (bits.len() >= width).then(|| bits.take(width).fold(0, |value, bit| value << 1 | u128::from(bit)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = r#"{"current": "k1", "k1": "0123456789012345678901234567890123456789"}"#;
    const NEW: &str = r#"{"current": "k2", "k1": "0123456789012345678901234567890123456789",
                          "k2": "abcdefghijabcdefghijabcdefghijabcdefghij"}"#;
    const OTHER: &str = r#"{"current": "k1", "k1": "another-key-another-key-another-key-12345"}"#;

    fn ring(secret: &str) -> KeyRing {
        KeyRing::parse(secret).unwrap()
    }

    fn path(path: &str) -> ReturnPath {
        path.parse().unwrap()
    }

    fn customer(id: &str) -> CustomerId {
        id.parse().unwrap()
    }

    fn offer() -> OfferId {
        "01980000-0000-7000-8000-000000000001".parse().unwrap()
    }

    proptest! {
        #[test]
        fn the_tag_of_any_delivery_is_read_again_in_any_case(
            offer in any::<u128>(), id in "[A-Za-z0-9_-]{1,64}", local in "[a-z]{1,9}([.][a-z]{1,11})?", other in "[A-Za-z0-9_-]{1,64}",
        ) {
            let (offer, customer, ring) = (OfferId::from_u128(offer), customer(&id), ring(OLD));
            let address = path(&format!("{local}@bank.example")).tagged(&ring, offer, &customer);
            prop_assert!(address.parse::<EmailAddress>().is_ok(), "{address}");
            prop_assert!(address.rsplit_once('@').unwrap().0.len() <= LOCAL_PART_LIMIT, "{address}");
            for address in [address.clone(), address.to_ascii_lowercase(), address.to_ascii_uppercase()] {
                let tag = ReturnTag::find(&address).unwrap();
                prop_assert_eq!(tag.offer, offer);
                prop_assert!(tag.prefix() == id || tag.prefix().len() >= MIN_PREFIX);
                prop_assert!(tag.is_of(&customer, &ring));
                let other: CustomerId = other.parse().unwrap();
                prop_assert!(!tag.is_of(&other, &ring) || other == customer);
            }
        }

        #[test]
        fn a_changed_tag_is_refused(id in "[A-Za-z0-9_-]{1,64}", at in any::<prop::sample::Index>(), to in 0..32_usize) {
            let (customer, ring) = (customer(&id), ring(OLD));
            let address = path("bounces@bank.example").tagged(&ring, offer(), &customer);
            let (start, end) = ("bounces+".len(), address.find('@').unwrap());
            let mut changed = address.clone().into_bytes();
            let at = start + at.index(end - start);
            changed[at] = SYMBOLS[to];
            let changed = String::from_utf8(changed).unwrap();
            let found = ReturnTag::find(&changed);
            let is_accepted = found.is_some_and(|tag| tag.offer == offer() && tag.is_of(&customer, &ring));
            prop_assert_eq!(is_accepted, changed == address);
            // What is cut at either end.
            for cut in start..end {
                for tag in [&address[start..cut], &address[cut + 1..end]] {
                    let tag = ReturnTag::parse(tag);
                    prop_assert!(!tag.is_some_and(|tag| tag.is_of(&customer, &ring)), "cut at {}", cut);
                }
            }
        }

        #[test]
        fn no_address_makes_the_parser_fail(address in ".*") {
            let _ = ReturnTag::find(&address);
        }
    }

    #[test]
    fn a_tag_holds_for_as_long_as_its_key() {
        let asha = customer("asha-1");
        let old = ReturnTag::find(&path("bounces@bank.example").tagged(&ring(OLD), offer(), &asha)).unwrap();
        assert!(old.is_of(&asha, &ring(OLD)) && old.is_of(&asha, &ring(NEW)));
        assert!(!old.is_of(&asha, &ring(OTHER)));
        let new = ReturnTag::find(&path("bounces@bank.example").tagged(&ring(NEW), offer(), &asha)).unwrap();
        assert_ne!(old, new, "the current key signs");
        assert!(new.is_of(&asha, &ring(NEW)) && !new.is_of(&asha, &ring(OLD)));
    }

    #[test]
    fn a_long_id_is_told_by_the_check() {
        let (one, two) = (customer(&format!("{}1", "x".repeat(40))), customer(&format!("{}2", "x".repeat(40))));
        let tag = ReturnTag::find(&path("bounces@bank.example").tagged(&ring(OLD), offer(), &one)).unwrap();
        assert_eq!(tag.prefix(), "x".repeat(20));
        assert!(tag.is_of(&one, &ring(OLD)) && !tag.is_of(&two, &ring(OLD)));
        assert!(!tag.is_of(&customer(&"x".repeat(20)), &ring(OLD)), "the prefix is not the id");
    }

    #[test]
    fn addresses_without_a_tag_of_ours_have_none() {
        for address in [
            "",
            "bounces@bank.example",
            "bounces+@bank.example",
            "bounces+tag@bank.example",
            "asha+offers@example.com",
            "bounces+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@bank.example",
            "bounces+01980000000070008000000000000001@bank.example",
        ] {
            assert_eq!(ReturnTag::find(address), None, "{address}");
        }
    }

    #[test]
    fn a_return_path_leaves_room_for_the_tag() {
        assert_eq!(path("bounces@bank.example").to_string(), "bounces@bank.example");
        let longest = format!("{}@bank.example", "x".repeat(OWN_LIMIT));
        let address = path(&longest).tagged(&ring(OLD), offer(), &customer(&"c".repeat(64)));
        assert_eq!(ReturnTag::find(&address).unwrap().prefix().len(), MIN_PREFIX);
        for (bad, error) in [
            ("bounces", InvalidReturnPath::Address(InvalidEmailAddress::NotAnAddress)),
            ("Bounces <bounces@bank.example>", InvalidReturnPath::Address(InvalidEmailAddress::NotAnAddress)),
            ("a+b@bank.example", InvalidReturnPath::HasTag),
            ("bounces-of-a-long-name@bank.example", InvalidReturnPath::TooLong),
            (
                &format!("b@{}.example", ["x".repeat(60), "y".repeat(60), "z".repeat(60)].join(".")),
                InvalidReturnPath::DomainTooLong,
            ),
        ] {
            assert_eq!(bad.parse::<ReturnPath>(), Err(error), "{bad}");
        }
        assert!(InvalidReturnPath::TooLong.to_string().contains(&format!("more than {OWN_LIMIT} characters")));
    }
}
