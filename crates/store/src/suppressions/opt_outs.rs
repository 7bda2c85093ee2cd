//! What the unsubscribe page reads and writes: the opt-out of a customer, and of the address that the link was sent to.

use aws_sdk_dynamodb::types::{TransactWriteItem, Update};
use domain::event::{CustomerChange, CustomerEventKind};
use domain::unsubscribe::Subscription;
use domain::{AddressHash, CustomerHash, HashKey};
use jiff::Timestamp;

use super::{Reason, SuppressionItem, Suppressions, opt_out_key};
use crate::StoreError;
use crate::attributes::{millis, partition_key, text};

/// Who asked for what the page does.
pub(super) const CUSTOMER: &str = "customer";

/// Attempts at a change while others change the same opt-out.
const ATTEMPTS: u32 = 5;

/// An opt-out, as the link of a message shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptOut {
    /// When the customer opted out, or another one at the same address.
    pub since: Timestamp,
    /// Whether the link may undo it: not if the customer opted out at another address since, because the reader of mail to
    /// this one need not be the customer any more.
    pub may_be_undone: bool,
}

/// The items of an opt-out that are stored.
struct Stored {
    /// Of the address.
    address: Option<SuppressionItem>,
    /// Of the customer. Two, while the one that a release before keyed hashes stored is not migrated.
    customer: Vec<SuppressionItem>,
}

impl Suppressions {
    /// The opt-out that concerns a subscription, if there is one.
    pub async fn opted_out(&self, of: &Subscription, hash_key: &HashKey) -> Result<Option<OptOut>, StoreError> {
        let stored = self.stored_opt_out(of, &hash_key.customer(of.channel, &of.customer)).await?;
        Ok(stored.opt_out(of))
    }

    /// Ends a subscription: records the opt-out of the customer, and of the address that the message was sent to. Earlier
    /// opt-outs stay as they are.
    pub async fn opt_out(&self, of: &Subscription, hash_key: &HashKey, at: Timestamp) -> Result<(), StoreError> {
        let customer = hash_key.customer(of.channel, &of.customer);
        let stored = self.stored_opt_out(of, &customer).await?;
        let of_address = self.store_opt_out_of_address(&of.address, at);
        if stored.customer.is_empty() {
            // Of two calls at the same time, one announces the opt-out.
            let of_customer = self.store_new_opt_out(&customer, &of.address, at, CUSTOMER);
            let event = self.store_event(&event(CustomerEventKind::Unsubscribed, of, at));
            if self.table.transact(vec![of_customer, of_address.clone(), event]).await?.is_done() {
                return Ok(());
            }
        }
        let mut writes = Vec::new();
        if stored.address.is_none() {
            writes.push(of_address);
        }
        // One that came with a complaint is the customer's own word from now on: lifting complaints does not lift it.
        let by_complaint = stored.customer.iter().find(|item| item.by.as_deref() != Some(CUSTOMER));
        writes.extend(by_complaint.map(|item| self.adopt(&item.pk)));
        if !writes.is_empty() {
            self.table.transact(writes).await?;
        }
        Ok(())
    }

    /// Begins a subscription again: removes the opt-outs of the customer and of the address, if the link of the message
    /// may undo them. Returns whether the customer is subscribed now.
    pub async fn opt_in(&self, of: &Subscription, hash_key: &HashKey, at: Timestamp) -> Result<bool, StoreError> {
        let customer = hash_key.customer(of.channel, &of.customer);
        let kept = opt_out_key(customer);
        for _ in 0..ATTEMPTS {
            let stored = self.stored_opt_out(of, &customer).await?;
            match stored.opt_out(of) {
                None => return Ok(true),
                Some(opt_out) if !opt_out.may_be_undone => return Ok(false),
                Some(_) => {}
            }
            let items = stored.customer.iter().chain(&stored.address);
            let remove = |item: &SuppressionItem| {
                if item.pk == kept {
                    self.take_back(item, at)
                } else {
                    self.remove_as_read(&item.pk, item.suppression())
                }
            };
            let mut writes: Vec<_> = items.map(remove).collect();
            writes.push(self.store_event(&event(CustomerEventKind::Resubscribed, of, at)));
            // Not met: the customer has opted out anew, or the opt-out has moved.
            if self.table.transact(writes).await?.is_done() {
                return Ok(true);
            }
        }
        Err(StoreError::Unavailable {
            operation: "TransactWriteItems",
            table: self.table.name().to_owned(),
            reason: "an opt-out changes too often to be taken back".to_owned(),
        })
    }

    /// A write that stores the opt-out of an address by a customer. An earlier one stays as it is.
    fn store_opt_out_of_address(&self, address: &AddressHash, at: Timestamp) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(self.table.name())
            .set_key(Some(partition_key(opt_out_key(address))))
            .update_expression(
                "SET addressHash = if_not_exists(addressHash, :address), reason = if_not_exists(reason, :reason), \
                 since = if_not_exists(since, :since), #by = if_not_exists(#by, :by)",
            )
            .expression_attribute_names("#by", "by")
            .expression_attribute_values(":address", text(address))
            .expression_attribute_values(":reason", text(Reason::OptedOut))
            .expression_attribute_values(":since", millis(at))
            .expression_attribute_values(":by", text(CUSTOMER));
        TransactWriteItem::builder().update(update.build().expect("table, key and expression are set")).build()
    }

    /// A write that stores a customer's opt-out, made at `address`, if there is none. One by a complaint, only if none was
    /// taken back since `at`; the customer's own is always the younger decision, whatever the clocks say.
    pub(super) fn store_new_opt_out(
        &self,
        customer: &CustomerHash,
        address: &AddressHash,
        at: Timestamp,
        by: &str,
    ) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(self.table.name())
            .set_key(Some(partition_key(opt_out_key(customer))))
            .update_expression("SET addressHash = :address, reason = :reason, since = :since, #by = :by")
            .condition_expression(match by {
                CUSTOMER => "attribute_not_exists(reason)",
                _ => "attribute_not_exists(reason) AND (attribute_not_exists(takenBackAt) OR takenBackAt < :since)",
            })
            .expression_attribute_names("#by", "by")
            .expression_attribute_values(":address", text(address))
            .expression_attribute_values(":reason", text(Reason::OptedOut))
            .expression_attribute_values(":since", millis(at))
            .expression_attribute_values(":by", text(by));
        TransactWriteItem::builder().update(update.build().expect("table, key and expression are set")).build()
    }

    /// Takes back a customer's opt-out that still is as it was read. When that was is kept, so that an older complaint
    /// which is reported again does not undo it.
    fn take_back(&self, read: &SuppressionItem, at: Timestamp) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(self.table.name())
            .set_key(Some(partition_key(&read.pk)))
            .update_expression("SET takenBackAt = :at REMOVE addressHash, reason, since, #by")
            .condition_expression("since = :since")
            .expression_attribute_names("#by", "by")
            .expression_attribute_values(":at", millis(at))
            .expression_attribute_values(":since", millis(read.since.unwrap_or_default()));
        TransactWriteItem::builder().update(update.build().expect("table, key and expression are set")).build()
    }

    /// Makes an opt-out the customer's own, if it is still there.
    fn adopt(&self, pk: &str) -> TransactWriteItem {
        let update = Update::builder()
            .table_name(self.table.name())
            .set_key(Some(partition_key(pk)))
            .update_expression("SET #by = :by")
            .condition_expression("attribute_exists(reason)")
            .expression_attribute_names("#by", "by")
            .expression_attribute_values(":by", text(CUSTOMER));
        TransactWriteItem::builder().update(update.build().expect("table, key and expression are set")).build()
    }

    async fn stored_opt_out(&self, of: &Subscription, customer: &CustomerHash) -> Result<Stored, StoreError> {
        let of_address = opt_out_key(of.address);
        let mut keys = self.customer_keys(customer);
        keys.push(of_address.clone());
        let items = self.get_each(keys).await?.into_iter().filter(|item| item.reason.is_some());
        let (mut address, customer): (Vec<_>, Vec<_>) = items.partition(|item| item.pk == of_address);
        Ok(Stored { address: address.pop(), customer })
    }
}

impl Stored {
    fn opt_out(&self, of: &Subscription) -> Option<OptOut> {
        let since = self.customer.iter().chain(&self.address).filter_map(|item| item.since).min()?;
        let is_at_this_address =
            |item: &SuppressionItem| item.address_hash.as_ref().is_some_and(|hash| of.address.is_stored_as(hash));
        Some(OptOut { since, may_be_undone: self.customer.iter().all(is_at_this_address) })
    }
}

fn event(kind: CustomerEventKind, of: &Subscription, at: Timestamp) -> CustomerChange {
    CustomerChange { kind, customer: of.customer.clone(), channel: of.channel, offer: None, at }
}
