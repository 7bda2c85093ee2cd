//! Identifiers of offers, customers and pushes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::sources::Sources;

/// An offer's id: a UUIDv7, so that ids sort by time of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OfferId(Uuid);

impl OfferId {
    /// A new id.
    pub fn generate(sources: &Sources) -> Self {
        Self(sources.uuid())
    }

    pub(crate) const fn to_u128(self) -> u128 {
        self.0.as_u128()
    }

    pub(crate) const fn from_u128(value: u128) -> Self {
        Self(Uuid::from_u128(value))
    }
}

impl fmt::Display for OfferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for OfferId {
    type Err = uuid::Error;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(string).map(Self)
    }
}

/// A customer's id, chosen by the bank: `[A-Za-z0-9_-]{1,64}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CustomerId(String);

impl CustomerId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CustomerId {
    type Err = InvalidCustomerId;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        let valid = (1..=64).contains(&string.len())
            && string.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if valid { Ok(Self(string.to_owned())) } else { Err(InvalidCustomerId) }
    }
}

impl TryFrom<String> for CustomerId {
    type Error = InvalidCustomerId;

    fn try_from(string: String) -> Result<Self, Self::Error> {
        string.parse()
    }
}

impl From<CustomerId> for String {
    fn from(id: CustomerId) -> Self {
        id.0
    }
}

impl fmt::Display for CustomerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The string is not a customer id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 64 of the characters A-Z, a-z, 0-9, _ and -")]
pub struct InvalidCustomerId;

/// A push's id: the offer and the number of the push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PushId {
    /// The offer that is pushed.
    pub offer: OfferId,
    /// The first push has number 1.
    pub number: u32,
}

impl fmt::Display for PushId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{:04}", self.offer, self.number)
    }
}

impl FromStr for PushId {
    type Err = InvalidPushId;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        let (offer, number) = string.split_once('#').ok_or(InvalidPushId)?;
        Ok(Self {
            offer: offer.parse().map_err(|_| InvalidPushId)?,
            number: number.parse().map_err(|_| InvalidPushId)?,
        })
    }
}

/// The string is not a push id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not of the form <offer id>#<push number>")]
pub struct InvalidPushId;
