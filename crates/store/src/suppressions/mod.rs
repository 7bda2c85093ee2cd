//! The Suppressions table: what must not be sent, whatever the Customers table says.
//!
//! An address is suppressed on its channel, for every customer who has it now or later, when it bounced, its owner complained, or a
//! customer opted out there. Who opted out or complained is suppressed beside it, so that a new address changes nothing.
//! Storing or deleting the customer changes neither. Keys and attributes hold keyed hashes ([`domain::hash`]) in place of
//! addresses and ids; only an event to publish names its customer, for days.
//!
//! | `pk` | what |
//! |---|---|
//! | `reported#<address>` | a bounce or complaint, or an opt-out that SNS reported; when it was lifted |
//! | `optOut#<address>`, `optOut#<customer>` | an opt-out |
//! | `bounces#<address>`, `unknown#<address>` | bounces that do not suppress yet |
//! | `lift#<uuid>` | the record of who lifted a suppression |
//! | `event#<uuid>` | an event to publish |
//! | `address#…`, `customer#…` | what releases before keyed hashes stored, until it is migrated |
//! | `migration#state`, `migration#keyedHashes` | how far that is, and that it is finished |
//!
//! Opt-outs have a prefix of their own, because the public unsubscribe page may write those, and no others.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | which reasons there are, and looking them up | this file |
//! | what the unsubscribe page reads and writes | `opt_outs` |
//! | what providers report | `reports` |
//! | how many bounces, and which, suppress an address | `bounces` |
//! | lifting the suppressions of one address | `lift` |
//! | lifting many suppressions | `bulk` |
//! | events about customers | `events` |
//! | how what earlier releases stored is moved | `migration` |
//! | when it is moved, and when it all is | `progress` |
//! | what is kept of an old item and a new one | `merge` |

mod bounces;
mod bulk;
mod events;
mod lift;
mod merge;
mod migration;
mod opt_outs;
mod progress;
mod reports;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{Delete, TransactWriteItem};
use domain::{AddressHash, CustomerHash, Sources};
use futures::future::try_join_all;
use jiff::Timestamp;
use serde::Deserialize;

use crate::StoreError;
use crate::attributes::{Item, millis, millis_serde, partition_key, text};
use crate::table::{Consistency, Table};

pub use bounces::{BounceResult, BounceRule, InvalidBounceRule, UnknownAddressResult};
pub use bulk::{BulkReason, Lifted, Selection};
pub use events::{EVENT_SEGMENTS, StoredEvent, UnreadableEvent};
pub use migration::{Migrated, MigrationStep};
pub use opt_outs::OptOut;
pub use reports::{Notified, Report};

/// The index of all suppressions of an address.
const BY_ADDRESS: &str = "byAddress";
/// Maximum number of keys in one `BatchGetItem` (DynamoDB API reference).
const BATCH_GET_LIMIT: usize = 100;
/// The item that says that nothing is left of what releases before keyed hashes stored.
const MIGRATED: &str = "migration#keyedHashes";

/// The Suppressions table.
#[derive(Debug, Clone)]
pub struct Suppressions {
    table: Table,
    /// Whether nothing is left of what releases before keyed hashes stored. Once that is so, it stays so.
    is_migrated: Arc<AtomicBool>,
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

/// The recipient of a message: a customer at an address, both on the same channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipient {
    pub customer: CustomerHash,
    pub address: AddressHash,
}

/// An item that may suppress. A lifted report, and an opt-out that the customer took back, have neither reason nor time.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SuppressionItem {
    pk: String,
    address_hash: Option<String>,
    reason: Option<Reason>,
    #[serde(default, with = "millis_serde::option")]
    since: Option<Timestamp>,
    /// The transport that reported it, or `customer`.
    by: Option<String>,
}

impl SuppressionItem {
    fn suppression(&self) -> Option<Suppression> {
        Some(Suppression { reason: self.reason?, since: self.since? })
    }
}

impl Suppressions {
    /// Opens the table named `table`.
    pub fn new(client: Client, table: impl Into<String>, sources: Sources) -> Self {
        Self { table: Table::new(client, table, sources), is_migrated: Arc::default() }
    }

    /// The reason not to send to each of these recipients, in their order; the strongest one, if there are several.
    pub async fn lookup(&self, recipients: &[Recipient]) -> Result<Vec<Option<Reason>>, StoreError> {
        let keys: Vec<_> = recipients.iter().map(|recipient| self.keys_of(recipient)).collect();
        let found = self.suppressing(keys.iter().flatten().cloned()).await?;
        let strongest = |keys: &Vec<String>| keys.iter().filter_map(|key| Some(found.get(key)?.reason)).max();
        Ok(keys.iter().map(strongest).collect())
    }

    /// Why an address is suppressed, if it is: itself, or because one of the customers who have it opted out or
    /// complained elsewhere. The strongest reason.
    pub async fn for_address(
        &self,
        address: &AddressHash,
        holders: &[CustomerHash],
    ) -> Result<Option<Suppression>, StoreError> {
        // Releases before keyed hashes stored an opt-out by the customer only. Read first, as in `get_each`.
        let unmigrated = self.unmigrated_at(address).await?;
        let mut keys = self.address_keys(address);
        keys.extend(holders.iter().flat_map(|customer| self.customer_keys(customer)));
        let mut found: Vec<_> = self.suppressing(keys).await?.into_values().collect();
        found.extend(unmigrated.iter().filter_map(SuppressionItem::suppression));
        // Of several with the strongest reason, the oldest.
        Ok(found.into_iter().max_by_key(|found| (found.reason, std::cmp::Reverse(found.since))))
    }

    /// The suppressions that are stored under these keys, read consistently.
    async fn suppressing(
        &self,
        keys: impl IntoIterator<Item = String>,
    ) -> Result<HashMap<String, Suppression>, StoreError> {
        let items = self.get_each(keys).await?;
        Ok(items.into_iter().filter_map(|item| Some((item.pk.clone(), item.suppression()?))).collect())
    }

    /// The items under these keys, read consistently, 100 with each call. Customers may share an address, so a key may
    /// repeat. Notes whether the table is migrated.
    ///
    /// What the migration moves is read where it was, and then where it comes to. A batch is not read at one moment: in
    /// the other order, or at once, an item that moves meanwhile could be missed in both places.
    async fn get_each(&self, keys: impl IntoIterator<Item = String>) -> Result<Vec<SuppressionItem>, StoreError> {
        let (mut old, new): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| is_unmigrated(key));
        let is_asked = !old.is_empty() || !new.is_empty();
        if is_asked && !self.is_migrated() {
            old.push(MIGRATED.to_owned());
        }
        let mut items = self.get_at_once(old).await?;
        if items.iter().any(|item| item.pk == MIGRATED) {
            self.is_migrated.store(true, Ordering::Relaxed);
        }
        items.extend(self.get_at_once(new).await?);
        Ok(items)
    }

    async fn get_at_once(&self, mut keys: Vec<String>) -> Result<Vec<SuppressionItem>, StoreError> {
        keys.sort_unstable();
        keys.dedup();
        let chunks = keys.chunks(BATCH_GET_LIMIT).map(|keys| {
            let keys = keys.iter().map(partition_key).collect();
            self.table.get_many(keys, Consistency::Strong)
        });
        let items = try_join_all(chunks).await?.into_iter().flatten();
        items.map(|item| self.table.read(item)).collect()
    }

    fn is_migrated(&self) -> bool {
        self.is_migrated.load(Ordering::Relaxed)
    }

    fn keys_of(&self, Recipient { customer, address }: &Recipient) -> Vec<String> {
        let mut keys = self.address_keys(address);
        keys.extend(self.customer_keys(customer));
        keys
    }

    fn address_keys(&self, address: &AddressHash) -> Vec<String> {
        let mut keys = vec![report_key(address), opt_out_key(address)];
        keys.extend(self.unmigrated(address.unkeyed(), "address"));
        keys
    }

    fn customer_keys(&self, customer: &CustomerHash) -> Vec<String> {
        let mut keys = vec![opt_out_key(customer)];
        keys.extend(self.unmigrated(customer.unkeyed(), "customer"));
        keys
    }

    /// The key of what a release before keyed hashes stored.
    fn unmigrated(&self, unkeyed: Option<String>, kind: &str) -> Option<String> {
        unkeyed.filter(|_| !self.is_migrated()).map(|unkeyed| format!("{kind}#{unkeyed}"))
    }

    /// What releases before keyed hashes stored of an address, by the index: the most recent may be missing.
    async fn unmigrated_at(&self, address: &AddressHash) -> Result<Vec<SuppressionItem>, StoreError> {
        match address.unkeyed() {
            Some(unkeyed) if !self.is_migrated() => self.listed_under(&unkeyed).await,
            _ => Ok(Vec::new()),
        }
    }

    async fn listed_under(&self, hash: impl ToString) -> Result<Vec<SuppressionItem>, StoreError> {
        let query = self
            .table
            .query()
            .index_name(BY_ADDRESS)
            .key_condition_expression("addressHash = :address")
            .expression_attribute_values(":address", text(hash));
        let mut suppressions = Vec::new();
        let each = |item: Item| {
            suppressions.push(self.table.read(item)?);
            Ok(())
        };
        self.table.query_each(query, each).await?;
        Ok(suppressions)
    }

    fn remove(&self, pk: &str) -> TransactWriteItem {
        let delete = Delete::builder().table_name(self.table.name()).set_key(Some(partition_key(pk)));
        TransactWriteItem::builder().delete(delete.build().expect("table and key are set")).build()
    }

    /// Deletes an opt-out, unless it is younger than `until`.
    fn remove_until(&self, pk: &str, until: Timestamp) -> TransactWriteItem {
        let delete = Delete::builder()
            .table_name(self.table.name())
            .set_key(Some(partition_key(pk)))
            .condition_expression("attribute_not_exists(since) OR since <= :until")
            .expression_attribute_values(":until", millis(until));
        TransactWriteItem::builder().delete(delete.build().expect("table and key are set")).build()
    }

    /// Deletes an item that still is as it was read.
    fn remove_as_read(&self, pk: &str, read: Option<Suppression>) -> TransactWriteItem {
        let delete = Delete::builder().table_name(self.table.name()).set_key(Some(partition_key(pk)));
        let delete = match read {
            Some(Suppression { reason, since }) => delete
                .condition_expression("reason = :reason AND since = :since")
                .expression_attribute_values(":reason", text(reason))
                .expression_attribute_values(":since", millis(since)),
            None => delete.condition_expression("attribute_not_exists(reason) OR attribute_not_exists(since)"),
        };
        TransactWriteItem::builder().delete(delete.build().expect("table and key are set")).build()
    }
}

/// Whether a release before keyed hashes stored this key.
fn is_unmigrated(key: &str) -> bool {
    key.starts_with("address#") || key.starts_with("customer#")
}

fn report_key(address: impl ToString) -> String {
    format!("reported#{}", address.to_string())
}

fn opt_out_key(hash: impl ToString) -> String {
    format!("optOut#{}", hash.to_string())
}
