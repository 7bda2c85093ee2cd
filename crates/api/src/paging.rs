//! Paging of lists, by the query parameters `limit` and `cursor`.

use std::collections::HashMap;

use domain::Faults;
use store::{Cursor, InvalidCursor};

/// Page size if the caller gives none.
pub const DEFAULT_LIMIT: u16 = 25;
/// Maximum page size.
pub const MAX_LIMIT: u16 = 100;

/// The requested page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// Maximum number of items.
    pub limit: u16,
    /// The position after which it starts; `None` for the first page.
    pub cursor: Option<Cursor>,
}

impl Paging {
    /// Parses `limit` and `cursor`. Any parameter that is neither one of them nor in `others` is a fault.
    ///
    /// # Errors
    /// Lists every fault, not only the first.
    pub fn parse(
        query: &HashMap<String, String>,
        others: &[&str],
        check: impl FnOnce(&Cursor) -> Result<(), InvalidCursor>,
    ) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        for name in query.keys() {
            if name != "limit" && name != "cursor" && !others.contains(&name.as_str()) {
                faults.add(name, "is not a parameter of this resource");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &[(&str, &str)]) -> Result<Paging, Vec<String>> {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Paging::parse(&query, &["state"], |_| Ok(()))
            .map_err(|faults| faults.into_vec().into_iter().map(|fault| fault.field).collect())
    }

    #[test]
    fn limit_has_a_default_and_a_range() {
        assert_eq!(parse(&[]), Ok(Paging { limit: DEFAULT_LIMIT, cursor: None }));
        assert_eq!(parse(&[("limit", "100"), ("state", "sent")]), Ok(Paging { limit: MAX_LIMIT, cursor: None }));
        for invalid in ["0", "101", "-1", "many", ""] {
            assert_eq!(parse(&[("limit", invalid)]), Err(vec!["limit".to_owned()]), "{invalid}");
        }
    }

    #[test]
    fn unknown_parameter_is_a_fault() {
        assert_eq!(parse(&[("page", "2")]), Err(vec!["page".to_owned()]));
    }
}
