//! The Customers table: one item for each customer. No other table holds an address.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::scan::builders::ScanFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, Select};
use domain::channel::Channels;
use domain::customer::Projection;
use domain::{Channel, Customer, CustomerHash, CustomerId, EmailAddress, HashKey, Mobile, Sources};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::StoreError;
use crate::attributes::{Item, partition_key, text};
use crate::table::{Consistency, Table};

/// Maximum number of items in one `BatchWriteItem` (DynamoDB API reference).
const BATCH_WRITE_LIMIT: usize = 25;
/// The index of customers by their e-mail address.
const BY_EMAIL: &str = "byEmail";
/// Maximum number of customers with one address that are looked at.
const HOLDERS_LIMIT: usize = 1_000;

/// Segments of the table that are counted for an estimate of its size.
pub const SAMPLES: u32 = 4;
/// By this factor segments become smaller, until each of the samples fits into a page.
const SAMPLE_GROWTH: u32 = 8;
/// Maximum number of segments of a scan, 1,000,000 (DynamoDB API reference, `Scan`), as a multiple of [`SAMPLES`].
const MAX_SEGMENTS: u32 = 1_000_000;

/// One of the equal parts into which a parallel scan divides the table.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    /// Its number, from 0.
    pub number: u32,
    /// How many parts there are.
    pub of: u32,
}

/// What was counted of one segment.
struct Sample {
    customers: u64,
    /// Whether that is all of it.
    is_whole: bool,
}

fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// One of so many, by a random fraction from 0 to 1.
fn sampled(number: u32, fraction: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is below the number")]
    let drawn = (f64::from(number) * fraction) as u32;
    drawn.min(number - 1)
}

/// The Customers table.
#[derive(Debug, Clone)]
pub struct Customers {
    table: Table,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomerItem {
    pk: CustomerId,
    name: String,
    /// In lower case, so that the index finds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    /// The same as it was written, if that has capitals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email_as_written: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mobile: Option<String>,
    channels: Channels,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<String>,
    /// Missing if only some attributes were read and the customer has none of them, or if other software stored none.
    #[serde(default)]
    attributes: Map<String, Value>,
}

impl From<&Customer> for CustomerItem {
    fn from(customer: &Customer) -> Self {
        let as_written = customer.email.as_ref().map(domain::EmailAddress::as_str);
        let email = as_written.map(str::to_ascii_lowercase);
        Self {
            pk: customer.id.clone(),
            name: customer.name.clone(),
            email_as_written: as_written.filter(|written| Some(*written) != email.as_deref()).map(str::to_owned),
            email,
            mobile: customer.mobile.as_ref().map(|mobile| mobile.as_str().to_owned()),
            channels: customer.channels.clone(),
            locale: customer.locale.clone(),
            time_zone: customer.time_zone.clone(),
            attributes: customer.attributes.clone(),
        }
    }
}

/// The result of looking customers up.
#[derive(Debug, Default)]
pub struct CustomerLookup {
    /// The customers that were found.
    pub customers: HashMap<CustomerId, Customer>,
    /// Those whose item cannot be read as a customer (written by something other than this product).
    pub unreadable: HashSet<CustomerId>,
}

/// One page of a scan of the table.
#[derive(Debug)]
pub struct CustomersPage {
    /// The customers that could be read.
    pub customers: Vec<Customer>,
    /// The items that cannot be read as a customer (written by something other than this product): of each, how many of the
    /// customers come before it.
    pub unreadable: Vec<usize>,
    /// Where the next page starts; `None` on the last page of the segment.
    pub next: Option<ScanPosition>,
}

impl CustomersPage {
    /// Ends the page after so many customers, of which there must be at least one. The next page starts with the rest.
    pub fn end_after(&mut self, customers: usize) {
        if let (Some(last), true) = (customers.checked_sub(1), customers < self.customers.len()) {
            self.next = Some(ScanPosition(self.customers[last].id.to_string()));
            self.customers.truncate(customers);
            self.unreadable.retain(|before| *before < customers);
        }
    }
}

/// Where a scan continues: after the item with this key, which need not be a customer's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ScanPosition(pub(crate) String);

impl fmt::Display for ScanPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Customers {
    /// Opens the table named `table`.
    pub fn new(client: Client, table: impl Into<String>, sources: Sources) -> Self {
        Self { table: Table::new(client, table, sources) }
    }

    /// Stores a customer, replacing the one with the same id. Returns whether the customer is new.
    pub async fn put(&self, customer: &Customer) -> Result<bool, StoreError> {
        let put = self.table.put(self.table.to_item(CustomerItem::from(customer))?).return_values(ReturnValue::AllOld);
        let response = put.send().await.map_err(|error| self.table.call_failed("PutItem", &error))?;
        Ok(response.attributes.is_none())
    }

    /// Stores customers, replacing those with the same ids; ids must not repeat. Makes a call for every 25. Returns the
    /// customers that were not stored because the table is too busy.
    ///
    /// # Errors
    /// Some customers may have been stored before the call that failed.
    pub async fn put_many(&self, customers: &[Customer]) -> Result<Vec<CustomerId>, StoreError> {
        let mut not_stored = Vec::new();
        for chunk in customers.chunks(BATCH_WRITE_LIMIT) {
            let items = chunk
                .iter()
                .map(|customer| self.table.to_item(CustomerItem::from(customer)))
                .collect::<Result<_, _>>()?;
            let unprocessed = self.table.put_many(items).await?;
            not_stored.extend(unprocessed.iter().filter_map(customer_id));
        }
        Ok(not_stored)
    }

    /// One customer, read consistently.
    pub async fn get(&self, id: &CustomerId) -> Result<Option<Customer>, StoreError> {
        self.table.get(partition_key(id)).await?.map(|item| self.customer(item)).transpose()
    }

    /// Up to 100 customers, read consistently. Those who do not exist are missing from the result.
    pub async fn get_many(&self, ids: &[CustomerId]) -> Result<CustomerLookup, StoreError> {
        let keys = ids.iter().map(partition_key).collect();
        let mut found = CustomerLookup::default();
        for item in self.table.get_many(keys, Consistency::Strong).await? {
            let id = customer_id(&item);
            match self.customer(item) {
                Ok(customer) => {
                    found.customers.insert(customer.id.clone(), customer);
                }
                Err(_) => found.unreadable.extend(id),
            }
        }
        Ok(found)
    }

    /// The hashes of the customers who have an address now, written in any of these forms: their opt-outs hold for it.
    pub async fn holders(
        &self,
        channel: Channel,
        forms: &[&str],
        hash_key: &HashKey,
    ) -> Result<Vec<CustomerHash>, StoreError> {
        let customers = match channel {
            Channel::Email => self.with_email(forms).await?,
            // Who opts out by text message does so for the number.
            Channel::Sms => Vec::new(),
        };
        Ok(customers.iter().map(|customer| hash_key.customer(channel, customer)).collect())
    }

    /// Up to 1,000 customers who have this e-mail address, in whatever case, by the index: the most recent may be missing.
    /// Those whom a release before the index stored are found if their address is stored in lower case, or in one of these
    /// forms.
    async fn with_email(&self, forms: &[&str]) -> Result<Vec<CustomerId>, StoreError> {
        let mut addresses: BTreeSet<_> = forms.iter().map(|form| (*form).to_owned()).collect();
        addresses.extend(forms.iter().map(|form| form.to_ascii_lowercase()));
        let mut customers = Vec::new();
        for address in addresses {
            let mut after = None;
            while customers.len() < HOLDERS_LIMIT {
                let query = self
                    .table
                    .query()
                    .index_name(BY_EMAIL)
                    .key_condition_expression("email = :email")
                    .expression_attribute_values(":email", text(&address))
                    .set_exclusive_start_key(after.take());
                let page = self.table.query_page(query).await?;
                customers.extend(page.items.unwrap_or_default().iter().filter_map(customer_id));
                after = page.last_evaluated_key;
                if after.is_none() {
                    break;
                }
            }
        }
        customers.truncate(HOLDERS_LIMIT);
        Ok(customers)
    }

    /// Deletes a customer, if present.
    pub async fn delete(&self, id: &CustomerId) -> Result<(), StoreError> {
        self.table.delete(partition_key(id)).await
    }

    /// One page of one segment of the table, read consistently, with the attributes that are needed.
    pub async fn scan(
        &self,
        segment: Segment,
        projection: &Projection,
        after: Option<&ScanPosition>,
        limit: u16,
    ) -> Result<CustomersPage, StoreError> {
        let page = projected(self.table.client().scan(), projection)
            .table_name(self.table.name())
            .segment(signed(segment.number))
            .total_segments(signed(segment.of))
            .consistent_read(true)
            .limit(i32::from(limit))
            .set_exclusive_start_key(after.map(partition_key))
            .send()
            .await
            .map_err(|error| self.table.call_failed("Scan", &error))?;
        let position = |key: Item| match key.get("pk") {
            Some(AttributeValue::S(pk)) => Ok(ScanPosition(pk.clone())),
            _ => Err(self.table.unreadable("the key is no text")),
        };
        let next = page.last_evaluated_key.map(position).transpose()?;
        let mut customers = CustomersPage { customers: Vec::new(), unreadable: Vec::new(), next };
        for item in page.items.unwrap_or_default() {
            match self.customer(item) {
                Ok(customer) => customers.customers.push(customer),
                Err(_) => customers.unreadable.push(customers.customers.len()),
            }
        }
        Ok(customers)
    }

    /// About how many customers there are now: counted exactly if they fit into [`SAMPLES`] pages of a megabyte, otherwise scaled up
    /// from so many segments of the table, within a tenth or so. DynamoDB's own count is up to six hours old, so that a push
    /// right after the first load would be cut into too few slices.
    ///
    /// Reads up to seven times [`SAMPLES`] megabytes, of the largest table.
    pub async fn estimate_count(&self) -> Result<u64, StoreError> {
        let mut segments = SAMPLES;
        loop {
            // Evenly spaced from a random one on. Keys are hashed, so that each is like any other.
            let apart = segments / SAMPLES;
            let first = sampled(apart, self.table.sources().fraction());
            let samples = (0..SAMPLES).map(|sample| self.count_page(first + sample * apart, segments));
            let samples = try_join_all(samples).await?;
            let customers: u64 = samples.iter().map(|sample| sample.customers).sum();
            if samples.iter().all(|sample| sample.is_whole) || segments == MAX_SEGMENTS {
                return Ok(customers.saturating_mul(apart.into()));
            }
            segments = segments.saturating_mul(SAMPLE_GROWTH).min(MAX_SEGMENTS);
        }
    }

    /// Counts the customers on the first page of a segment.
    async fn count_page(&self, segment: u32, segments: u32) -> Result<Sample, StoreError> {
        let scan = self.table.client().scan().table_name(self.table.name()).select(Select::Count);
        let page = scan.segment(signed(segment)).total_segments(signed(segments)).send().await;
        let page = page.map_err(|error| self.table.call_failed("Scan", &error))?;
        Ok(Sample {
            customers: u64::try_from(page.count).unwrap_or_default(),
            is_whole: page.last_evaluated_key.is_none(),
        })
    }

    fn customer(&self, item: Item) -> Result<Customer, StoreError> {
        let item: CustomerItem = self.table.read(item)?;
        let malformed = |attribute: &str| self.table.unreadable(format!("{attribute} is malformed"));
        Ok(Customer {
            id: item.pk,
            name: item.name,
            email: item
                .email_as_written
                .or(item.email)
                .map(EmailAddress::stored)
                .transpose()
                .map_err(|_| malformed("email"))?,
            mobile: item.mobile.map(Mobile::stored).transpose().map_err(|_| malformed("mobile"))?,
            channels: item.channels,
            locale: item.locale,
            time_zone: item.time_zone,
            attributes: item.attributes,
        })
    }
}

/// Maximum length of an expression, in bytes (DynamoDB Developer Guide, quotas: 4 KB).
const EXPRESSION_LIMIT: usize = 4_096;

/// A scan that returns no other attributes of customers than these. It reads as much, but what it returns takes a fraction of the
/// time to parse. If there are too many names for an expression, as in the texts of a long offer, it returns all attributes.
fn projected(scan: ScanFluentBuilder, projection: &Projection) -> ScanFluentBuilder {
    let Projection::Attributes(names) = projection else { return scan };
    // All of [`CustomerItem`]. By placeholders, since some of the names are reserved words.
    let own = ["pk", "name", "email", "emailAsWritten", "mobile", "channels", "locale", "timeZone"];
    let own_paths = (0..own.len()).map(|number| format!("#own{number}"));
    let paths = own_paths.chain((0..names.len()).map(|number| format!("#attributes.#a{number}")));
    let expression = paths.collect::<Vec<_>>().join(", ");
    if expression.len() > EXPRESSION_LIMIT {
        return scan;
    }
    let mut scan = scan.projection_expression(expression);
    for (number, name) in own.into_iter().enumerate() {
        scan = scan.expression_attribute_names(format!("#own{number}"), name);
    }
    for (number, name) in names.iter().enumerate() {
        scan = scan.expression_attribute_names(format!("#a{number}"), name);
    }
    // DynamoDB refuses a placeholder that the expression does not use.
    if names.is_empty() { scan } else { scan.expression_attribute_names("#attributes", "attributes") }
}

/// The id of the customer that a key or an item belongs to.
fn customer_id(item: &Item) -> Option<CustomerId> {
    item.get("pk")?.as_s().ok()?.parse().ok()
}
