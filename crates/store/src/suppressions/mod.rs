//! The Suppressions table: what must not be sent, whatever the Customers table says.
//!
//! An address is suppressed when it bounced permanently or its owner complained. A customer's channel is suppressed
//! when the customer opted out. Storing or deleting the customer changes neither. No item holds an address or a
//! customer's id in clear.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | which reasons there are, looking them up, lifting those of one address | this file |
//! | how many bounces, and which, suppress an address | `bounces` |
//! | lifting many suppressions | `bulk` |

mod bounces;
mod bulk;

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use data_encoding::HEXLOWER;
use domain::unsubscribe::Subscription;
use domain::{AddressHash, Channel, CustomerId, Sources};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use crate::StoreError;
use crate::attributes::{Item, millis, millis_serde, partition_key, text};
use crate::table::{Consistency, Table, never_own};

pub use bounces::{BounceResult, BounceRule, InvalidBounceRule, UnknownAddressResult};
pub use bulk::{BulkReason, Lifted, Selection};

/// The index of all suppressions of an address.
const BY_ADDRESS: &str = "byAddress";
/// Maximum number of recipients in one `BatchGetItem`: it reads up to 100 items, and each recipient has two keys.
const LOOKUP_LIMIT: usize = 50;

/// The Suppressions table.
#[derive(Debug, Clone)]
pub struct Suppressions {
    table: Table,
}

domain::wire_enum! {
    /// Why nothing is sent, the strongest reason last.
    pub enum Reason {
        /// The customer opted out.
        OptedOut = "optedOut",
        /// The address does not exist any more, or does not accept our mail.
        Bounced = "bounced",
        /// The recipient marked our mail as spam.
        Complained = "complained",
    }
}

/// A reason not to send, and since when it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suppression {
    /// The reason.
    pub reason: Reason,
    /// When the customer opted out, or the provider reported the bounce or complaint.
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
    /// Opens the table named `table`.
    pub fn new(client: Client, table: impl Into<String>, sources: Sources) -> Self {
        Self { table: Table::new(client, table, sources) }
    }

    /// Records a customer's opt-out from a channel. An earlier one stays as it is.
    pub async fn opt_out(&self, subscription: &Subscription, at: Timestamp) -> Result<(), StoreError> {
        let pk = opt_out_key(subscription.channel, &subscription.customer);
        self.put(pk, &subscription.address, Reason::OptedOut, at, "customer").await
    }

    /// Removes a customer's opt-out from a channel.
    pub async fn opt_in(&self, channel: Channel, customer: &CustomerId) -> Result<(), StoreError> {
        self.table.delete(partition_key(opt_out_key(channel, customer))).await
    }

    /// When a customer opted out of a channel, if they did.
    pub async fn opted_out(&self, channel: Channel, customer: &CustomerId) -> Result<Option<Timestamp>, StoreError> {
        let item = self.table.get(partition_key(opt_out_key(channel, customer))).await?;
        let item: Option<SuppressionItem> = item.map(|item| self.table.read(item)).transpose()?;
        Ok(item.map(|item| item.since))
    }

    /// Suppresses an address. `by` is the transport that reported it, `ses`, `smtp` or `sns`, which says the channel as
    /// well. An earlier suppression stays as it is; only a complaint
    /// replaces one with another reason.
    pub async fn suppress(
        &self,
        address: &AddressHash,
        reason: Reason,
        at: Timestamp,
        by: &str,
    ) -> Result<(), StoreError> {
        self.put(address_key(address), address, reason, at, by).await
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
            .table
            .put(partition_key(pk))
            .item("addressHash", text(address))
            .item("reason", text(reason))
            .item("since", millis(at))
            .item("by", text(by));
        let put = match reason {
            Reason::Complained => put
                .condition_expression("attribute_not_exists(pk) OR reason <> :reason")
                .expression_attribute_values(":reason", text(reason)),
            // A later bounce must not replace a complaint.
            Reason::OptedOut | Reason::Bounced => put.condition_expression("attribute_not_exists(pk)"),
        };
        // Its own repeated write has stored what it would store.
        self.table.put_if(put, never_own::<IgnoredAny>).await.map(|_| ())
    }

    /// The suppressed ones among these recipients, with the strongest reason. Makes one call for every 50.
    pub async fn lookup(
        &self,
        channel: Channel,
        recipients: &[(CustomerId, AddressHash)],
    ) -> Result<HashMap<CustomerId, Reason>, StoreError> {
        let mut suppressed = HashMap::new();
        for recipients in recipients.chunks(LOOKUP_LIMIT) {
            let mut customers = HashMap::<String, Vec<&CustomerId>>::new();
            for (customer, address) in recipients {
                customers.entry(opt_out_key(channel, customer)).or_default().push(customer);
                // Customers may share an address.
                customers.entry(address_key(address)).or_default().push(customer);
            }
            let keys = customers.keys().map(partition_key).collect();
            for item in self.table.get_many(keys, Consistency::Strong).await? {
                let item: SuppressionItem = self.table.read(item)?;
                for customer in customers.get(&item.pk).into_iter().flatten() {
                    let reason = suppressed.entry((*customer).clone()).or_insert(item.reason);
                    *reason = item.reason.max(*reason);
                }
            }
        }
        Ok(suppressed)
    }

    /// Why an address is suppressed, if it is; the strongest reason. An opt-out is found by the address of the message
    /// that the customer opted out with. The most recent suppressions may be missing.
    pub async fn for_address(&self, address: &AddressHash) -> Result<Option<Suppression>, StoreError> {
        let items = self.by_address(address).await?;
        let strongest = items.into_iter().max_by_key(|item| item.reason);
        Ok(strongest.map(|SuppressionItem { reason, since, .. }| Suppression { reason, since }))
    }

    /// Removes all suppressions of an address, and the bounces counted so far. Records who asked for it first, so that
    /// no suppression is lifted without a record. Returns whether there were any. Makes several calls.
    pub async fn lift(&self, address: &AddressHash, by: &str) -> Result<bool, StoreError> {
        let items = self.by_address(address).await?;
        self.record_lift(address, items.iter().map(|item| item.reason), by).await?;
        self.forget_bounces(address).await?;
        // Deleted by its key, because the index may not list it yet.
        self.table.delete(partition_key(address_key(address))).await?;
        for item in &items {
            self.table.delete(partition_key(&item.pk)).await?;
        }
        Ok(!items.is_empty())
    }

    async fn record_lift(
        &self,
        address: impl ToString,
        reasons: impl Iterator<Item = Reason>,
        by: &str,
    ) -> Result<(), StoreError> {
        let record = self
            .table
            .put(partition_key(format!("lift#{}", self.table.sources().uuid())))
            // Not `addressHash`: the index must not list the record as a suppression.
            .item("lifted", text(address))
            .item("reasons", AttributeValue::L(reasons.map(text).collect()))
            .item("at", millis(self.table.now()))
            .item("by", text(by));
        record.send().await.map_err(|error| self.table.call_failed("PutItem", &error))?;
        Ok(())
    }

    async fn by_address(&self, address: &AddressHash) -> Result<Vec<SuppressionItem>, StoreError> {
        let query = self
            .table
            .query()
            .index_name(BY_ADDRESS)
            .key_condition_expression("addressHash = :address")
            .expression_attribute_values(":address", text(address));
        let mut suppressions = Vec::new();
        let each = |item: Item| {
            suppressions.push(self.table.read(item)?);
            Ok(())
        };
        self.table.query_each(query, each).await?;
        Ok(suppressions)
    }
}

fn address_key(address: &AddressHash) -> String {
    format!("address#{address}")
}

fn opt_out_key(channel: Channel, customer: &CustomerId) -> String {
    format!("customer#{}", HEXLOWER.encode(&Sha256::digest(format!("{channel}#{customer}"))))
}
