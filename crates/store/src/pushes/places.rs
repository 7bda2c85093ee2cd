//! The place of each duty of the sweep in its round over all pushes.
//!
//! It is stored, because the next sweep may run in another process. One item has them all, with an attribute for each duty.

use std::collections::HashMap;

use domain::PushId;

use super::Pushes;
use crate::StoreError;
use crate::attributes::{key, text};
use crate::table::never_own;

const PK: &str = "sweep";
const SK: &str = "places";

impl Pushes {
    /// The push that had the last turn in a duty's round, if one has ever had one.
    pub async fn sweep_place(&self, duty: &str) -> Result<Option<PushId>, StoreError> {
        let Some(item) = self.table.get(key(PK, SK)).await? else { return Ok(None) };
        let place = item.get(duty).and_then(|place| place.as_s().ok());
        place.map(|place| place.parse().map_err(|error| self.table.unreadable(error))).transpose()
    }

    /// Stores which push had the last turn.
    pub async fn store_sweep_place(&self, duty: &str, push: PushId) -> Result<(), StoreError> {
        let update = self
            .table
            .update(key(PK, SK))
            .update_expression("SET #duty = :push")
            .expression_attribute_names("#duty", duty)
            .expression_attribute_values(":push", text(push));
        self.table.write_if(update, never_own::<HashMap<String, String>>).await.map(|_| ())
    }
}
