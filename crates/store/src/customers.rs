//! The Customers table: one item a customer, and the only table that holds an address.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, ReturnValue, WriteRequest};
use domain::channel::Channels;
use domain::{Customer, CustomerId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::attributes::{Item, text};
use crate::{StoreError, batch};

/// Most items of one `BatchWriteItem` (DynamoDB API reference).
const BATCH_WRITE_LIMIT: usize = 25;
/// The Customers table.
#[derive(Debug, Clone)]
pub struct Customers {
    client: Client,
    table: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomerItem {
    pk: CustomerId,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mobile: Option<String>,
    channels: Channels,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    attributes: Map<String, Value>,
}

impl From<&Customer> for CustomerItem {
    fn from(customer: &Customer) -> Self {
        Self {
            pk: customer.id.clone(),
            name: customer.name.clone(),
            email: customer.email.as_ref().map(|email| email.as_str().to_owned()),
            mobile: customer.mobile.as_ref().map(|mobile| mobile.as_str().to_owned()),
            channels: customer.channels.clone(),
            locale: customer.locale.clone(),
            time_zone: customer.time_zone.clone(),
            attributes: customer.attributes.clone(),
        }
    }
}

/// What became of looking customers up.
#[derive(Debug, Default)]
pub struct CustomerLookup {
    /// Those who are there.
    pub customers: HashMap<CustomerId, Customer>,
    /// Those whose item cannot be read as a customer (written by something other than this product).
    pub unreadable: HashSet<CustomerId>,
}

/// What one page of a walk over the table holds.
#[derive(Debug)]
pub struct CustomersPage {
    /// The customers that could be read.
    pub customers: Vec<Customer>,
    /// How many items could not be read as a customer (written by something other than this product).
    pub unreadable: u64,
    /// After whom the next page begins; `None` after the last page of the segment.
    pub next: Option<CustomerId>,
}

impl Customers {
    /// A handle on the table named `table`.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Stores a customer in place of the one with the same id. Answers whether the customer is new.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn put(&self, customer: &Customer) -> Result<bool, StoreError> {
        let old = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(self.to_item(customer)?))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(|error| StoreError::unavailable("PutItem", &self.table, &error))?;
        Ok(old.attributes.is_none())
    }

    /// Stores customers, each in place of the one with the same id; ids must not repeat. Answers whom it could not
    /// store, because the table is busier than it can bear.
    ///
    /// # Errors
    /// If the store is out of reach; then some may have been stored.
    pub async fn put_many(&self, customers: &[Customer]) -> Result<Vec<CustomerId>, StoreError> {
        let mut left = Vec::new();
        for chunk in customers.chunks(BATCH_WRITE_LIMIT) {
            let mut requests = chunk
                .iter()
                .map(|customer| {
                    let put =
                        PutRequest::builder().set_item(Some(self.to_item(customer)?)).build().expect("the item is set");
                    Ok(WriteRequest::builder().put_request(put).build())
                })
                .collect::<Result<Vec<_>, StoreError>>()?;
            for round in 0..batch::ROUNDS {
                batch::pause(round).await;
                requests = self
                    .client
                    .batch_write_item()
                    .request_items(&self.table, std::mem::take(&mut requests))
                    .send()
                    .await
                    .map_err(|error| StoreError::unavailable("BatchWriteItem", &self.table, &error))?
                    .unprocessed_items
                    .and_then(|mut tables| tables.remove(&self.table))
                    .unwrap_or_default();
                if requests.is_empty() {
                    break;
                }
            }
            left.extend(requests.iter().filter_map(|request| {
                let id = request.put_request()?.item().get("pk")?.as_s().ok()?;
                id.parse::<CustomerId>().ok()
            }));
        }
        Ok(left)
    }

    /// One customer, as of now.
    ///
    /// # Errors
    /// If the store is out of reach or the item unreadable.
    pub async fn get(&self, id: &CustomerId) -> Result<Option<Customer>, StoreError> {
        self.client
            .get_item()
            .table_name(&self.table)
            .key("pk", text(id))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| StoreError::unavailable("GetItem", &self.table, &error))?
            .item
            .map(|item| self.from_item(item))
            .transpose()
    }

    /// Up to 100 customers, as of now. Whoever does not exist is missing from the answer.
    ///
    /// # Errors
    /// If the store is out of reach, or still too busy after several rounds.
    pub async fn get_many(&self, ids: &[CustomerId]) -> Result<CustomerLookup, StoreError> {
        let keys = ids.iter().map(|id| Item::from([("pk".to_owned(), text(id))])).collect();
        let mut found = CustomerLookup::default();
        for item in batch::get(&self.client, &self.table, keys, batch::Read::Consistent).await? {
            let id = item.get("pk").and_then(|pk| pk.as_s().ok()?.parse::<CustomerId>().ok());
            match self.from_item(item) {
                Ok(customer) => {
                    found.customers.insert(customer.id.clone(), customer);
                }
                Err(_) => found.unreadable.extend(id),
            }
        }
        Ok(found)
    }

    /// Removes a customer, if there.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn delete(&self, id: &CustomerId) -> Result<(), StoreError> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .key("pk", text(id))
            .send()
            .await
            .map_err(|error| StoreError::unavailable("DeleteItem", &self.table, &error))?;
        Ok(())
    }

    /// One page of one segment of the table, read consistently.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn scan(
        &self,
        segment: u32,
        segments: u32,
        after: Option<&CustomerId>,
        limit: u16,
    ) -> Result<CustomersPage, StoreError> {
        let signed = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        let answer = self
            .client
            .scan()
            .table_name(&self.table)
            .segment(signed(segment))
            .total_segments(signed(segments))
            .consistent_read(true)
            .limit(i32::from(limit))
            .set_exclusive_start_key(after.map(|id| Item::from([("pk".to_owned(), text(id))])))
            .send()
            .await
            .map_err(|error| StoreError::unavailable("Scan", &self.table, &error))?;
        let next = answer
            .last_evaluated_key
            .map(|key| {
                key.get("pk")
                    .and_then(|pk| pk.as_s().ok())
                    .and_then(|pk| pk.parse::<CustomerId>().ok())
                    .ok_or_else(|| StoreError::unreadable(&self.table, "pk is no customer id"))
            })
            .transpose()?;
        let mut page = CustomersPage { customers: Vec::new(), unreadable: 0, next };
        for item in answer.items.unwrap_or_default() {
            match self.from_item(item) {
                Ok(customer) => page.customers.push(customer),
                Err(_) => page.unreadable += 1,
            }
        }
        Ok(page)
    }

    /// How many customers there are, as DynamoDB counted them up to six hours ago.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub async fn approximate_count(&self) -> Result<u64, StoreError> {
        let answer = self
            .client
            .describe_table()
            .table_name(&self.table)
            .send()
            .await
            .map_err(|error| StoreError::unavailable("DescribeTable", &self.table, &error))?;
        let count = answer.table.and_then(|table| table.item_count).unwrap_or_default();
        Ok(u64::try_from(count).unwrap_or_default())
    }

    fn to_item(&self, customer: &Customer) -> Result<Item, StoreError> {
        serde_dynamo::to_item(CustomerItem::from(customer)).map_err(|error| StoreError::unreadable(&self.table, error))
    }

    #[expect(clippy::wrong_self_convention, reason = "converts from an item of this table")]
    fn from_item(&self, item: HashMap<String, AttributeValue>) -> Result<Customer, StoreError> {
        let item: CustomerItem =
            serde_dynamo::from_item(item).map_err(|error| StoreError::unreadable(&self.table, error))?;
        let unreadable = |attribute: &str| StoreError::unreadable(&self.table, format!("{attribute} is malformed"));
        Ok(Customer {
            id: item.pk,
            name: item.name,
            email: item.email.map(|email| email.parse()).transpose().map_err(|_| unreadable("email"))?,
            mobile: item.mobile.map(|mobile| mobile.parse()).transpose().map_err(|_| unreadable("mobile"))?,
            channels: item.channels,
            locale: item.locale,
            time_zone: item.time_zone,
            attributes: item.attributes,
        })
    }
}
