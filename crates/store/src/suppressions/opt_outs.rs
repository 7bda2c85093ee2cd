//! What the unsubscribe page reads and writes: the opt-out of a customer, and of the address that the link was sent to.

use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use domain::event::{CustomerChange, CustomerEventKind};
use domain::unsubscribe::Subscription;
use domain::{CustomerHash, HashKey};
use jiff::Timestamp;

use super::{Reason, SuppressionItem, Suppressions, opt_out_key};
use crate::StoreError;
use crate::attributes::{millis, partition_key, text};

/// Who asked for what the page does.
const CUSTOMER: &str = "customer";

/// An opt-out, as the link of a message shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptOut {
    /// When the customer opted out, or another one at the same address.
    pub since: Timestamp,
    /// Whether the link may undo it: not if the customer opted out at another address since, because whoever reads mail to
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
        let of_address = self.store_opt_out(of.address, &of.address, at, CUSTOMER);
        if stored.customer.is_empty() {
            let put = Put::builder()
                .table_name(self.table.name())
                .set_item(Some(partition_key(opt_out_key(customer))))
                .item("addressHash", text(of.address))
                .item("reason", text(Reason::OptedOut))
                .item("since", millis(at))
                .item("by", text(CUSTOMER))
                // Of two calls at the same time, one announces the opt-out.
                .condition_expression("attribute_not_exists(pk)")
                .build()
                .expect("table and item are set");
            let of_customer = TransactWriteItem::builder().put(put).build();
            let event = self.store_event(&event(CustomerEventKind::Unsubscribed, of, at));
            if self.table.transact(vec![of_customer, of_address.clone(), event]).await?.is_done() {
                return Ok(());
            }
        }
        if stored.address.is_none() {
            self.table.transact(vec![of_address]).await?;
        }
        Ok(())
    }

    /// Begins a subscription again: removes the opt-outs of the customer and of the address, if the link of the message
    /// may undo them. Returns whether the customer is subscribed now.
    pub async fn opt_in(&self, of: &Subscription, hash_key: &HashKey, at: Timestamp) -> Result<bool, StoreError> {
        let customer = hash_key.customer(of.channel, &of.customer);
        match self.stored_opt_out(of, &customer).await?.opt_out(of) {
            None => return Ok(true),
            Some(opt_out) if !opt_out.may_be_undone => return Ok(false),
            Some(_) => {}
        }
        let mut keys = vec![opt_out_key(of.address)];
        keys.extend(self.customer_keys(&customer));
        let mut writes: Vec<_> = keys.into_iter().map(|key| self.remove(&key)).collect();
        writes.push(self.store_event(&event(CustomerEventKind::Resubscribed, of, at)));
        self.table.transact(writes).await?;
        Ok(true)
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
