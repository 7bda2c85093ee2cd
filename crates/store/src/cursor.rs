//! The cursor with which a caller continues a list: opaque to the caller, and checked when it comes back.

use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;

use crate::StoreError;
use crate::attributes::{Item, text};

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// The cursor of the next page; `None` on the last page.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// The page with `read` applied to its items.
    pub(crate) fn try_map<U, E>(self, read: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        Ok(Page { items: self.items.into_iter().map(read).collect::<Result<_, _>>()?, next: self.next })
    }

    /// The items of all pages, which `read` returns one by one.
    ///
    /// # Errors
    /// The first error of `read`.
    pub async fn read_all(
        mut read: impl AsyncFnMut(Option<Cursor>) -> Result<Self, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut items = Vec::new();
        let mut after = None;
        loop {
            let page = read(after).await?;
            items.extend(page.items);
            after = page.next;
            if after.is_none() {
                return Ok(items);
            }
        }
    }
}

/// The start of the next page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(Vec<(String, String)>);

impl Cursor {
    /// From DynamoDB's last evaluated key. All keys and index keys are strings.
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

    /// The cursor with one more part.
    pub(crate) fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.0.push((name.to_owned(), value.to_string()));
        self
    }

    /// The cursor without a part.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(have, _)| have != name);
        self
    }

    /// The text form for callers.
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

/// Why a string is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a cursor that this list returned; leave it out to start from the beginning")]
pub struct InvalidCursor;

/// Whether a cursor has exactly these attributes. DynamoDB would reject any others.
pub(crate) fn fits(cursor: &Cursor, names: &[&str]) -> bool {
    cursor.0.len() == names.len() && names.iter().all(|name| cursor.part(name).is_some_and(|value| !value.is_empty()))
}
