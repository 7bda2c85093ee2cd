//! The Suppressions table: what must not be sent, whatever the Customers table says.
//!
//! An address is suppressed when it bounced for good or its reader complained; a customer's channel when she said that she
//! wants no more. Storing or deleting the customer changes neither. No item holds an address or a customer's id in clear.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use data_encoding::HEXLOWER;
use domain::unsubscribe::Subscription;
use domain::{AddressHash, Channel, CustomerId, OfferId};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::attributes::{Item, millis, millis_serde, text};
use crate::{StoreError, batch};

/// The index of all items that concern an address.
const BY_ADDRESS: &str = "byAddress";

/// The Suppressions table.
#[derive(Debug, Clone)]
pub struct Suppressions {
    client: Client,
    table: String,
}

domain::wire_enum! {
    /// Why nothing is sent, the strongest reason last.
    pub enum Reason: "reason" {
        /// The customer opted out.
        OptedOut = "optedOut",
        /// The address does not exist any more, or does not accept our mail.
        Bounced = "bounced",
        /// The recipient marked our mail as spam.
        Complained = "complained",
    }
}

/// That something must not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suppression {
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SuppressionItem {
    pk: String,
    reason: Reason,
    #[serde(with = "millis_serde")]
    since: Timestamp,
}

impl Suppressions {
    /// A handle on the table named `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Notes that a customer wants no more on a channel. What is noted already stays as it is.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn opt_out(&self, subscription: &Subscription, at: Timestamp) -> Result<(), StoreError> {
        let pk = of_customer(subscription.channel, &subscription.customer);
        self.put(pk, &subscription.address, Reason::OptedOut, at, "customer").await
    }

    /// Forgets that a customer wanted no more on a channel.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn opt_in(&self, channel: Channel, customer: &CustomerId) -> Result<(), StoreError> {
        self.delete(&of_customer(channel, customer)).await
    }

    /// Since when a customer wants no more on a channel, if so.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn opted_out(&self, channel: Channel, customer: &CustomerId) -> Result<Option<Timestamp>, StoreError> {
        let call = self.client.get_item().table_name(&self.table).key("pk", text(of_customer(channel, customer)));
        let answer = call.consistent_read(true).send().await;
        let answer = answer.map_err(|error| StoreError::unavailable("GetItem", &self.table, &error))?;
        Ok(answer.item.map(|item| self.read(item)).transpose()?.map(|item| item.since))
    }

    /// Notes that an address must not be written to, and `by` whom we know it: `ses`, `sns`. What is noted already stays,
    /// unless the reason is weightier now.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn suppress(
        &self,
        address: &AddressHash,
        reason: Reason,
        at: Timestamp,
        by: &str,
    ) -> Result<(), StoreError> {
        self.put(for_address(address), address, reason, at, by).await
    }

    async fn put(
        &self,
        pk: String,
        address: &AddressHash,
        reason: Reason,
        at: Timestamp,
        by: &str,
    ) -> Result<(), StoreError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", text(pk))
            .item("addressHash", text(address))
            .item("reason", text(reason.as_str()))
            .item("since", millis(at))
            .item("by", text(by));
        // A later bounce does not make a complaint forgotten.
        let put = match reason {
            Reason::Complained => put
                .condition_expression("attribute_not_exists(pk) OR reason <> :reason")
                .expression_attribute_values(":reason", text(reason.as_str())),
            Reason::OptedOut | Reason::Bounced => put.condition_expression("attribute_not_exists(pk)"),
        };
        match put.send().await {
            Err(error)
                if !error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) =>
            {
                Err(StoreError::unavailable("PutItem", &self.table, &error))
            }
            _ => Ok(()),
        }
    }

    /// Who of these must not be written to at these addresses, and why. One call for every 50.
    ///
    /// # Errors
    /// If the store is out of reach or an item unreadable.
    pub async fn lookup(
        &self,
        channel: Channel,
        recipients: &[(CustomerId, AddressHash)],
    ) -> Result<HashMap<CustomerId, Reason>, StoreError> {
        let mut suppressed = HashMap::new();
        for recipients in recipients.chunks(50) {
            let mut keys = HashMap::<String, Vec<&CustomerId>>::new();
            for (customer, address) in recipients {
                keys.entry(of_customer(channel, customer)).or_default().push(customer);
                // Two customers may share an address.
                keys.entry(for_address(address)).or_default().push(customer);
            }
            let wanted = keys.keys().map(|pk| Item::from([("pk".to_owned(), text(pk))])).collect();
            for item in batch::get(&self.client, &self.table, wanted, batch::Read::Consistent).await? {
                let item = self.read(item)?;
                for customer in keys.get(&item.pk).into_iter().flatten() {
                    let reason = suppressed.entry((*customer).clone()).or_insert(item.reason);
                    *reason = item.reason.max(*reason);
                }
            }
        }
        Ok(suppressed)
    }

    /// Why an address must not be written to, if so; the weightiest reason. A customer's own word is found by the address
    /// that the message had that she answered. What was noted a moment ago may be missing.
    ///
    /// # Errors
    /// If the store is out of reach or an item unreadable.
    pub async fn for_address(&self, address: &AddressHash) -> Result<Option<Suppression>, StoreError> {
        let items = self.by_address(address).await?;
        let weightiest = items.into_iter().max_by_key(|item| item.reason);
        Ok(weightiest.map(|SuppressionItem { reason, since, .. }| Suppression { reason, since }))
    }

    /// Forgets everything that keeps an address from being written to, and records who asked for that, first: nothing is
    /// lifted by nobody. Answers whether there was anything. Several calls.
    ///
    /// # Errors
    /// If the store is out of reach or an item unreadable.
    pub async fn lift(&self, address: &AddressHash, by: &str) -> Result<bool, StoreError> {
        let items = self.by_address(address).await?;
        let reasons = items.iter().map(|item| text(item.reason.as_str())).collect();
        let record = self
            .client
            .put_item()
            .table_name(&self.table)
            .item("pk", text(format!("lift#{}", OfferId::generate())))
            // Under another name than where the index would find it.
            .item("lifted", text(address))
            .item("reasons", AttributeValue::L(reasons))
            .item("at", millis(Timestamp::now()))
            .item("by", text(by));
        record.send().await.map_err(|error| StoreError::unavailable("PutItem", &self.table, &error))?;
        // The index may lag behind: this one is known by its key.
        self.delete(&for_address(address)).await?;
        for item in &items {
            self.delete(&item.pk).await?;
        }
        Ok(!items.is_empty())
    }

    async fn by_address(&self, address: &AddressHash) -> Result<Vec<SuppressionItem>, StoreError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(BY_ADDRESS)
            .key_condition_expression("addressHash = :address")
            .expression_attribute_values(":address", text(address))
            .into_paginator()
            .items()
            .send();
        let mut items = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| StoreError::unavailable("Query", &self.table, &error))?;
            items.push(self.read(item)?);
        }
        Ok(items)
    }

    async fn delete(&self, pk: &str) -> Result<(), StoreError> {
        let call = self.client.delete_item().table_name(&self.table).key("pk", text(pk));
        call.send().await.map_err(|error| StoreError::unavailable("DeleteItem", &self.table, &error))?;
        Ok(())
    }

    fn read(&self, item: Item) -> Result<SuppressionItem, StoreError> {
        serde_dynamo::from_item(item).map_err(|error| StoreError::unreadable(&self.table, error))
    }
}

fn for_address(address: &AddressHash) -> String {
    format!("address#{address}")
}

fn of_customer(channel: Channel, customer: &CustomerId) -> String {
    format!("customer#{}", HEXLOWER.encode(&Sha256::digest(format!("{channel}#{customer}"))))
}
