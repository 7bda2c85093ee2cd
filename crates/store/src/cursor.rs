//! Where a list goes on, as callers see it: opaque, and checked when it comes back.

use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;

use crate::attributes::{Item, text};

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// What the page holds.
    pub items: Vec<T>,
    /// Where the next page begins; `None` after the last.
    pub next: Option<Cursor>,
}

/// Where the next page of a list begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Vec<(String, String)>);

impl Cursor {
    /// From DynamoDB's last evaluated key. Our keys and index keys are all strings.
    pub(crate) fn from_key(key: &Item) -> Self {
        let mut parts: Vec<_> =
            key.iter().filter_map(|(name, value)| Some((name.clone(), value.as_s().ok()?.clone()))).collect();
        parts.sort();
        Self(parts)
    }

    pub(crate) fn into_key(self) -> Item {
        self.0.into_iter().map(|(name, value)| (name, text(value))).collect::<Item>()
    }

    pub(crate) fn part(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// The form in which it is handed to callers.
    pub fn encode(&self) -> String {
        let json = serde_json::to_vec(&self.0).expect("a list of strings is JSON");
        BASE64URL_NOPAD.encode(&json)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(string: &str) -> Result<Self, Self::Err> {
        let json = BASE64URL_NOPAD.decode(string.as_bytes()).map_err(|_| InvalidCursor)?;
        serde_json::from_slice(&json).map(Self).map_err(|_| InvalidCursor)
    }
}

/// Why a string is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor that this list gave out; leave it out to begin anew")]
pub struct InvalidCursor;

/// The attributes of an index or table key, to check a cursor against before DynamoDB refuses it.
pub(crate) fn fits(cursor: &Cursor, names: &[&str]) -> bool {
    cursor.0.len() == names.len() && names.iter().all(|name| cursor.part(name).is_some_and(|value| !value.is_empty()))
}
