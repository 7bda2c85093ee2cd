//! How lists are paged: `limit` and `cursor` in the query.

use std::collections::HashMap;

use domain::Faults;
use store::{Cursor, InvalidCursor};

/// Items of a page if the caller does not say.
pub const DEFAULT_LIMIT: u16 = 25;
/// Most items of a page.
pub const MAX_LIMIT: u16 = 100;

/// Which page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// Most items it may have.
    pub limit: u16,
    /// Where it begins; `None` for the first page.
    pub cursor: Option<Cursor>,
}

impl Paging {
    /// Reads `limit` and `cursor`, and refuses any parameter that is neither one of them nor in `others`.
    ///
    /// # Errors
    /// Names every fault.
    pub fn parse(
        query: &HashMap<String, String>,
        others: &[&str],
        check: impl FnOnce(&Cursor) -> Result<(), InvalidCursor>,
    ) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        for name in query.keys() {
            if name != "limit" && name != "cursor" && !others.contains(&name.as_str()) {
                faults.add(name, "is not a known parameter");
            }
        }
        let limit = match query.get("limit").map(|limit| limit.parse()) {
            None => DEFAULT_LIMIT,
            Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
            Some(_) => {
                faults.add("limit", format!("must be a number from 1 to {MAX_LIMIT}"));
                DEFAULT_LIMIT
            }
        };
        let cursor = match query.get("cursor").map(|cursor| cursor.parse::<Cursor>()) {
            None => None,
            Some(Ok(cursor)) if check(&cursor).is_ok() => Some(cursor),
            Some(_) => {
                faults.add("cursor", InvalidCursor.to_string());
                None
            }
        };
        if faults.is_empty() { Ok(Self { limit, cursor }) } else { Err(faults) }
    }
}
