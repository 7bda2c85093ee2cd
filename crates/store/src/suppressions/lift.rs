//! Lifting the suppressions of one address.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use domain::{AddressHash, CustomerHash, HashKey};
use jiff::Timestamp;

use super::opt_outs::CUSTOMER;
use super::{Reason, Suppression, SuppressionItem, Suppressions, is_unmigrated, opt_out_key, report_key};
use crate::StoreError;
use crate::attributes::{millis, partition_key, text};

/// Lifts a report. When that was is kept, so that what happened before and is reported later does not undo it.
const LIFT: &str = "SET liftedAt = :at REMOVE addressHash, reason, since, #by";

impl Suppressions {
    /// Lifts all suppressions of an address, those of the customers who opted out there, and those of `holders`, the
    /// customers who have it now. Forgets the bounces counted so far, and what is reported later but happened before.
    /// Records who asked for it first, so that no suppression is lifted without a record. A customer who opts out meanwhile
    /// stays opted out. Returns whether there were any. Makes several calls.
    pub async fn lift(
        &self,
        address: &AddressHash,
        holders: &[CustomerHash],
        hash_key: &HashKey,
        by: &str,
    ) -> Result<bool, StoreError> {
        let began = self.table.now();
        // Old items first, as in `get_each`.
        let mut items = self.unmigrated_at(address).await?;
        let mut keys = self.address_keys(address);
        keys.extend(holders.iter().flat_map(|customer| self.customer_keys(customer)));
        items.extend(self.get_each(keys).await?);
        items.extend(self.listed_under(address).await?);
        items.retain(|item| item.suppression().is_some());
        let reasons: BTreeSet<_> = items.iter().filter_map(|item| item.reason).collect();
        self.record_lift(address, reasons.iter().copied(), by).await?;
        self.forget_bounces(address).await?;
        self.lift_report(address).await?;
        let report = report_key(address);
        let (old, mut new): (BTreeSet<_>, BTreeSet<_>) =
            items.iter().map(|item| item.pk.clone()).filter(|pk| *pk != report).partition(|pk| is_unmigrated(pk));
        // Also where the migration may move one in the meantime. From there it moves nowhere, so these are the last.
        new.insert(opt_out_key(address));
        new.extend(holders.iter().map(opt_out_key));
        new.extend(old.iter().filter_map(|pk| hash_key.rekey(pk.strip_prefix("customer#")?)).map(opt_out_key));
        for pk in old.iter().chain(&new) {
            self.table.transact(vec![self.remove_until(pk, began)]).await?;
        }
        Ok(!items.is_empty())
    }

    /// Lifts what was reported of an address, also what is reported later and happened before now.
    async fn lift_report(&self, address: &AddressHash) -> Result<(), StoreError> {
        let now = self.table.now();
        // At one moment: the migration must not move a report to where one has just been lifted.
        let mut writes = vec![self.lifted_report(&report_key(address), now, None)];
        let old = self.unmigrated(address.unkeyed(), "address");
        writes.extend(old.map(|pk| self.remove(&pk)));
        self.table.transact(writes).await.map(|_| ())
    }

    /// Removes the opt-outs that came with a complaint at this address, unless the customer has opted out themselves since.
    pub(super) async fn lift_opt_outs_by_complaint(&self, address: &AddressHash) -> Result<(), StoreError> {
        for item in self.listed_under(address).await? {
            let is_by_complaint = item.reason == Some(Reason::OptedOut) && item.by.as_deref() != Some(CUSTOMER);
            if is_by_complaint && item.pk.starts_with("optOut#") {
                self.table.transact(vec![self.remove_as_read(&item.pk, item.suppression())]).await?;
            }
        }
        Ok(())
    }

    /// Lifts a report that a release before keyed hashes stored, if it still is as it was read. Returns whether it was.
    pub(super) async fn lift_unmigrated_report_if(
        &self,
        pk: &str,
        address: &AddressHash,
        suppression: Suppression,
    ) -> Result<bool, StoreError> {
        let report = report_key(address);
        let remove = self.remove_as_read(pk, Some(suppression));
        let lift = self.lifted_report(&report, self.table.now(), Some("attribute_not_exists(reason)"));
        if self.table.transact(vec![lift, remove.clone()]).await?.is_done() {
            return Ok(true);
        }
        // There is a report beside it, which is selected or not by itself. Otherwise it has moved there.
        Ok(self.table.transact(vec![remove]).await?.is_done() || self.lift_report_if(&report, suppression).await?)
    }

    fn lifted_report(&self, pk: &str, at: Timestamp, condition: Option<&str>) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(self.table.name())
            .set_key(Some(partition_key(pk)))
            .update_expression(LIFT)
            .set_condition_expression(condition.map(str::to_owned))
            .expression_attribute_names("#by", "by")
            .expression_attribute_values(":at", millis(at))
            .build()
            .expect("table, key and expression are set");
        TransactWriteItem::builder().update(update).build()
    }

    /// Lifts a report that still is as it was read. Returns whether it was.
    pub(super) async fn lift_report_if(
        &self,
        pk: &str,
        Suppression { reason, since }: Suppression,
    ) -> Result<bool, StoreError> {
        let now = self.table.now();
        let update = self
            .table
            .update(partition_key(pk))
            .update_expression(LIFT)
            .condition_expression("reason = :reason AND since = :since")
            .expression_attribute_names("#by", "by")
            .expression_attribute_values(":at", millis(now))
            .expression_attribute_values(":reason", text(reason))
            .expression_attribute_values(":since", millis(since));
        // It is lifted: by this call's own repeated write, or by another call.
        let is_lifted = |item: &SuppressionItem, _: &_| item.reason.is_none();
        Ok(self.table.write_if(update, is_lifted).await?.is_done())
    }

    pub(super) async fn record_lift(
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
}
