//! Calls that take many items at once, and may leave some undone.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::KeysAndAttributes;

use crate::StoreError;
use crate::attributes::Item;

/// Rounds in which we send again what DynamoDB left unprocessed, with a growing pause between them.
pub(crate) const ROUNDS: u32 = 6;

/// How a read sees what was written just before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// All of it.
    Consistent,
    /// Perhaps not yet; at half the price.
    Eventual,
}

/// Reads up to 100 items. What does not exist is missing from the answer.
pub(crate) async fn get(
    client: &Client,
    table: &str,
    mut keys: Vec<Item>,
    read: Read,
) -> Result<Vec<Item>, StoreError> {
    let mut items = Vec::with_capacity(keys.len());
    for round in 0..ROUNDS {
        if keys.is_empty() {
            return Ok(items);
        }
        pause(round).await;
        let wanted = KeysAndAttributes::builder()
            .set_keys(Some(std::mem::take(&mut keys)))
            .consistent_read(read == Read::Consistent)
            .build()
            .expect("the keys are set");
        let answer = client
            .batch_get_item()
            .request_items(table, wanted)
            .send()
            .await
            .map_err(|error| StoreError::unavailable("BatchGetItem", table, &error))?;
        items.extend(answer.responses.and_then(|mut tables| tables.remove(table)).unwrap_or_default());
        let left = answer.unprocessed_keys.and_then(|mut tables| tables.remove(table));
        keys = left.map(|left| left.keys).unwrap_or_default();
    }
    if keys.is_empty() {
        return Ok(items);
    }
    Err(StoreError::Unavailable {
        operation: "BatchGetItem",
        table: table.to_owned(),
        reason: format!("{} keys left unprocessed", keys.len()),
    })
}

/// 0, 50, 100, 200, … ms before each round.
pub(crate) async fn pause(round: u32) {
    if round > 0 {
        tokio::time::sleep(Duration::from_millis(25 << round)).await;
    }
}
