//! One page of a list: exactly as many items as the caller wants, from as many reads as that takes, up to a limit.
//!
//! DynamoDB applies a filter after it has read a page, so a page of a query may be empty although later ones are not.
//! Here the caller's page ends after its last item, or where the reads end; the next one continues exactly there.

use std::time::Duration;

use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;

use crate::StoreError;
use crate::attributes::Item;
use crate::cursor::{Cursor, Page};
use crate::table::Table;

/// Maximum number of reads for one page.
const MAX_READS: usize = 64;
/// After this long, no read is started.
const TIME_LIMIT: Duration = Duration::from_secs(6);
/// Items that one read of a filtered query looks at: at first, and at most. The number doubles with each read. A delivery
/// has some 400 bytes, and DynamoDB reads up to a megabyte.
const FIRST_READ: i32 = 100;
const LARGEST_READ: i32 = 2_000;

/// One partition of a list.
pub(crate) struct Part {
    /// Reads it. Without a limit and a start key.
    pub(crate) query: QueryFluentBuilder,
    /// The key before its first item, if a page may end there. Only the first part of a list needs none.
    pub(crate) start: Option<Item>,
}

/// How the items of a list are read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// The attributes that identify an item in the list, and make up its cursor.
    pub(crate) key: &'static [&'static str],
    /// Whether the queries have a filter.
    pub(crate) is_filtered: bool,
    /// Maximum number of items of the page.
    pub(crate) limit: u16,
}

/// One page of the list that these parts make up, the first of which continues after `after`. The page is short only if
/// it is the last one, or the reads ended. It has a next one only if more items follow, or may follow.
pub(crate) async fn page(
    table: &Table,
    parts: impl IntoIterator<Item = Part>,
    reading: Reading,
    after: Option<Cursor>,
) -> Result<Page<Item>, StoreError> {
    let limit = usize::from(reading.limit);
    let began = table.now();
    let mut position = after.map(Cursor::into_key);
    let mut items: Vec<Item> = Vec::new();
    let mut reads = 0;
    let mut is_first = true;
    for Part { query, start } in parts {
        if !std::mem::take(&mut is_first) {
            position = start;
        }
        // The key before the first item need not exist, so it is no start key of a query, but a cursor.
        let mut start_key = if reads == 0 { position.clone() } else { None };
        loop {
            if reads == MAX_READS || (reads > 0 && table.sources().age_of(began) >= TIME_LIMIT) {
                // A full page ends after its last item, since more may be in the list by then.
                let last =
                    if items.len() == limit { items.last().map(|item| key_of(item, reading.key)) } else { position };
                return Ok(Page { items, next: last.as_ref().map(Cursor::from_key) });
            }
            let query = query.clone().limit(items_to_read(reading, reads, items.len()));
            let read = table.query_page(query.set_exclusive_start_key(start_key.take())).await?;
            reads += 1;
            items.extend(read.items.unwrap_or_default());
            // One more than the page holds shows that there is a next one.
            if items.len() > limit {
                items.truncate(limit);
                let next = items.last().map(|item| Cursor::from_key(&key_of(item, reading.key)));
                return Ok(Page { items, next });
            }
            let Some(last) = read.last_evaluated_key else { break };
            position = Some(last.clone());
            start_key = Some(last);
        }
    }
    Ok(Page { items, next: None })
}

/// How many items the next read looks at.
fn items_to_read(reading: Reading, reads: usize, found: usize) -> i32 {
    if reading.is_filtered {
        let doublings = u32::try_from(reads).unwrap_or(u32::MAX).min(8);
        return (FIRST_READ << doublings).min(LARGEST_READ);
    }
    i32::from(reading.limit) + 1 - i32::try_from(found).unwrap_or_default()
}

fn key_of(item: &Item, names: &[&str]) -> Item {
    names.iter().filter_map(|name| Some(((*name).to_owned(), item.get(*name)?.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filtered_read_grows_and_another_one_reads_what_is_missing() {
        for (is_filtered, limit, reads, found, expected) in [
            (true, 1, 0, 0, 100),
            (true, 100, 1, 0, 200),
            (true, 1, 4, 1, 1_600),
            (true, 1, 5, 1, 2_000),
            (true, 1, 63, 1, 2_000),
            (false, 25, 0, 0, 26),
            (false, 25, 3, 25, 1),
            (false, 1, 3, 0, 2),
        ] {
            let reading = Reading { key: &[], is_filtered, limit };
            assert_eq!(items_to_read(reading, reads, found), expected, "{reading:?}, {reads} reads, {found} found");
        }
    }
}
