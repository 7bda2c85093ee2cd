//! What providers report: bounces, complaints, and numbers that opted out at SNS.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use domain::event::{CustomerChange, CustomerEventKind};
use domain::{AddressHash, Channel, CustomerHash, CustomerId, HashKey, OfferId};
use jiff::Timestamp;

use super::{Reason, Suppressions, report_key};
use crate::StoreError;
use crate::attributes::{millis, partition_key, text};
use crate::deliveries::DeliveryId;

/// A provider's report about an address.
#[derive(Debug, Clone, Copy)]
pub struct Report<'a> {
    pub address: &'a AddressHash,
    /// When it happened.
    pub at: Timestamp,
    /// The transport that reported it, `ses`, `smtp` or `sns`, which says the channel as well.
    pub by: &'a str,
    /// The notification that it is about, if that is known.
    pub notified: Option<&'a Notified>,
}

/// The notification that a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notified {
    pub offer: OfferId,
    pub customer: CustomerId,
    pub channel: Channel,
    /// The hash of the customer's id on the channel.
    pub hash: CustomerHash,
}

impl Notified {
    /// The notification of a delivery.
    pub fn of(id: &DeliveryId, hash_key: &HashKey) -> Self {
        let DeliveryId { offer, customer, channel } = id.clone();
        Self { hash: hash_key.customer(channel, &customer), offer, customer, channel }
    }
}

impl Suppressions {
    /// Suppresses an address, unless that was lifted since. An earlier suppression stays as it is; only a complaint
    /// replaces one with another reason. A complaint is the customer's opt-out as well.
    pub async fn suppress(&self, report: &Report<'_>, reason: Reason) -> Result<(), StoreError> {
        // A clock that is ahead must not outlive a lift that is still to come.
        let at = report.at.min(self.table.now());
        let mut writes = vec![self.store_report(report, reason, at)];
        if let Some(notified) = report.notified {
            writes.push(self.store_event(&event(notified, reason, at)));
        }
        // Not met: the address is suppressed already, or the suppression was lifted since.
        let is_announced = self.table.transact(writes).await?.is_done();
        if reason == Reason::Complained
            && let Some(notified) = report.notified
        {
            self.opt_out_by_complaint(report, notified, at, is_announced).await?;
        }
        Ok(())
    }

    /// Records a complaint as the opt-out of the customer, unless it was lifted or the customer subscribed since. Also if
    /// another customer at the address had complained before.
    async fn opt_out_by_complaint(
        &self,
        report: &Report<'_>,
        notified: &Notified,
        at: Timestamp,
        is_announced: bool,
    ) -> Result<(), StoreError> {
        let is_suppressed = Update::builder()
            .table_name(self.table.name())
            .set_key(Some(partition_key(report_key(report.address))))
            .update_expression("SET reason = :reason")
            .condition_expression("reason = :reason AND (attribute_not_exists(liftedAt) OR liftedAt < :since)")
            .expression_attribute_values(":reason", text(Reason::Complained))
            .expression_attribute_values(":since", millis(at))
            .build()
            .expect("table, key and expression are set");
        let is_suppressed = TransactWriteItem::builder().update(is_suppressed).build();
        let opt_out = self.store_new_opt_out(&notified.hash, report.address, at, report.by);
        let mut writes = vec![is_suppressed, opt_out];
        if !is_announced {
            writes.push(self.store_event(&event(notified, Reason::Complained, at)));
        }
        self.table.transact(writes).await.map(|_| ())
    }

    fn store_report(&self, report: &Report<'_>, reason: Reason, at: Timestamp) -> TransactWriteItem {
        let is_new = match reason {
            Reason::Complained => "(attribute_not_exists(reason) OR reason <> :reason)",
            // A later bounce must not replace a complaint.
            Reason::OptedOut | Reason::Bounced => "attribute_not_exists(reason)",
        };
        let update = Update::builder()
            .table_name(self.table.name())
            .set_key(Some(partition_key(report_key(report.address))))
            .update_expression("SET addressHash = :address, reason = :reason, since = :since, #by = :by")
            .condition_expression(format!("{is_new} AND (attribute_not_exists(liftedAt) OR liftedAt < :since)"))
            .expression_attribute_names("#by", "by")
            .expression_attribute_values(":address", text(report.address))
            .expression_attribute_values(":reason", text(reason))
            .expression_attribute_values(":since", millis(at))
            .expression_attribute_values(":by", text(report.by))
            .build()
            .expect("table, key and expression are set");
        TransactWriteItem::builder().update(update).build()
    }
}

fn event(Notified { offer, customer, channel, .. }: &Notified, reason: Reason, at: Timestamp) -> CustomerChange {
    let kind = match reason {
        Reason::OptedOut => CustomerEventKind::Unsubscribed,
        Reason::Bounced => CustomerEventKind::Bounced,
        Reason::Complained => CustomerEventKind::Complained,
    };
    CustomerChange { kind, customer: customer.clone(), channel: *channel, offer: Some(*offer), at }
}
