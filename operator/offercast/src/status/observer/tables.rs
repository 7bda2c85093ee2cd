//! Tables, and a few items of each.

use std::collections::BTreeMap;

use anyhow::Result;
use aws_sdk_dynamodb::Client;
use client::Deployment;
use futures::future::try_join_all;

use crate::status::view::Table;

/// Items shown per table.
const MAX_ITEMS: i32 = 3;

pub(super) struct TableObserver {
    is_on_aws: bool,
    tables: BTreeMap<String, String>,
    dynamodb: Client,
}

impl TableObserver {
    pub(super) fn new(deployment: &Deployment, is_on_aws: bool) -> Self {
        Self { is_on_aws, tables: deployment.tables.clone(), dynamodb: Client::new(&deployment.sdk) }
    }

    pub(super) async fn observe(&self) -> Result<Vec<Table>> {
        let observed = self.tables.iter().map(|(name, table)| async move {
            let described = self.dynamodb.describe_table().table_name(table).send().await?;
            let items = described.table.and_then(|table| table.item_count).unwrap_or_default();
            let mut first = Vec::new();
            if !self.is_on_aws {
                let scanned = self.dynamodb.scan().table_name(table).limit(MAX_ITEMS).send().await?;
                for item in scanned.items.unwrap_or_default() {
                    first.push(serde_dynamo::from_item(item)?);
                }
            }
            let items = u64::try_from(items).unwrap_or_default();
            Ok::<_, anyhow::Error>(Table { name: name.clone(), full_name: table.clone(), items, first })
        });
        try_join_all(observed).await
    }
}
