//! Lifting the suppressions of one address.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{AddressHash, CustomerHash};
use jiff::Timestamp;
use serde::de::IgnoredAny;

use super::{Reason, Suppression, SuppressionItem, Suppressions, report_key};
use crate::StoreError;
use crate::attributes::{millis, partition_key, text};
use crate::table::never_own;

impl Suppressions {
    /// Lifts all suppressions of an address, those of the customers who opted out there, and those of `holders`, the
    /// customers who have it now. Forgets the bounces counted so far, and what is reported later but happened before.
    /// Records who asked for it first, so that no suppression is lifted without a record. Returns whether there were any.
    /// Makes several calls.
    pub async fn lift(&self, address: &AddressHash, holders: &[CustomerHash], by: &str) -> Result<bool, StoreError> {
        let mut keys = self.address_keys(address);
        keys.extend(holders.iter().flat_map(|customer| self.customer_keys(customer)));
        let mut items = self.get_each(keys).await?;
        items.extend(self.listed_under(address).await?);
        items.extend(self.unmigrated_at(address).await?);
        items.retain(|item| item.suppression().is_some());
        let report = report_key(address);
        let reasons: BTreeSet<_> = items.iter().filter_map(|item| item.reason).collect();
        self.record_lift(address, reasons.iter().copied(), by).await?;
        self.forget_bounces(address).await?;
        self.lift_report(address, self.table.now()).await?;
        let opt_outs: BTreeSet<_> = items.iter().map(|item| &item.pk).filter(|pk| **pk != report).collect();
        for pk in opt_outs {
            self.table.delete(partition_key(pk)).await?;
        }
        Ok(!items.is_empty())
    }

    /// Lifts what was reported of an address until `at`, also what is reported later.
    pub(super) async fn lift_report(&self, address: impl ToString, at: Timestamp) -> Result<(), StoreError> {
        let update = self
            .table
            .update(partition_key(report_key(address)))
            .update_expression("SET liftedAt = :at REMOVE addressHash, reason, since, #by")
            .expression_attribute_names("#by", "by")
            .expression_attribute_values(":at", millis(at));
        self.table.write_if(update, never_own::<IgnoredAny>).await.map(|_| ())
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
            .update_expression("SET liftedAt = :at REMOVE addressHash, reason, since, #by")
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
