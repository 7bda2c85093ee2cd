//! Items that tests write or read themselves. Every key and attribute name that a test knows is in this file, so that
//! a change of the schema (`crates/store`) changes tests here alone.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, DeleteRequest, WriteRequest};
use client::Stack;
use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::id_of;
use AttributeValue::{N, Ns, S};

/// The items that say that the migration of hashes is finished, and how far it is.
const MIGRATED: &str = "migration#keyedHashes";
const MIGRATION_STATE: &str = "migration#state";
/// The sort key of an offer's first push request, in the offers table.
pub(super) const FIRST_PUSH_REQUEST: &str = "push#0001";

/// The stack's tables.
#[derive(Clone, Copy)]
pub struct Tables<'a> {
    stack: &'a Stack,
}

impl<'a> Tables<'a> {
    pub(super) fn new(stack: &'a Stack) -> Self {
        Self { stack }
    }

    fn dynamodb(self) -> Client {
        Client::new(&self.stack.sdk_config())
    }

    /// A table's name.
    pub fn name(self, table: &str) -> &'a str {
        &self.stack.tables[table]
    }

    /// Deletes the customers whose ids begin with a prefix.
    pub(super) async fn delete_customers(self, prefix: &str) {
        let (dynamodb, table) = (self.dynamodb(), self.name("customers"));
        let mut customers = dynamodb
            .scan()
            .table_name(table)
            .filter_expression("begins_with(pk, :prefix)")
            .expression_attribute_values(":prefix", S(prefix.to_owned()))
            .projection_expression("pk")
            .into_paginator()
            .items()
            .send();
        let mut requests = Vec::new();
        while let Some(key) = customers.next().await {
            let key = key.expect("DynamoDB responds");
            let delete = DeleteRequest::builder().set_key(Some(key)).build().expect("the key is set");
            requests.push(WriteRequest::builder().delete_request(delete).build());
        }
        // The most items that one call takes (DynamoDB API reference, BatchWriteItem).
        for requests in requests.chunks(25) {
            let deleted = dynamodb.batch_write_item().request_items(table, requests.to_vec()).send().await;
            assert!(deleted.expect("DynamoDB responds").unprocessed_items.unwrap_or_default().is_empty());
        }
    }

    /// The records of test messages of previews of an offer with this code.
    pub async fn test_records(self, code: &str) -> Vec<HashMap<String, AttributeValue>> {
        let records = self
            .dynamodb()
            .scan()
            .table_name(self.name("offers"))
            .filter_expression("begins_with(pk, :tests) AND code = :code")
            .expression_attribute_values(":tests", S("tests#".to_owned()))
            .expression_attribute_values(":code", S(code.to_owned()))
            .into_paginator()
            .items()
            .send()
            .collect::<Result<_, _>>();
        records.await.expect("DynamoDB responds")
    }

    /// Adds to the number of test messages that previews sent on this day (UTC), or takes from it.
    pub async fn add_test_messages(self, messages: i32) {
        let day = jiff::Timestamp::now().strftime("tests#%Y-%m-%d").to_string();
        let add = self
            .dynamodb()
            .update_item()
            .table_name(self.name("offers"))
            .key("pk", S(day))
            .key("sk", S("count".to_owned()))
            .update_expression("ADD sent :messages")
            .expression_attribute_values(":messages", N(messages.to_string()));
        add.send().await.expect("DynamoDB responds");
    }

    /// The number of items stored for an offer with this code, or for a request with this idempotency key, which no other
    /// key may contain.
    pub async fn count_offers(self, code_and_key: &str) -> i32 {
        let scan = self.dynamodb().scan().table_name(self.name("offers"));
        let found = scan
            .filter_expression("code = :code OR (begins_with(pk, :idempotency) AND contains(pk, :code))")
            .expression_attribute_values(":code", S(code_and_key.to_owned()))
            .expression_attribute_values(":idempotency", S("idempotency#".to_owned()))
            .send()
            .await;
        found.expect("DynamoDB responds").count
    }

    /// For each item that contains any of these texts: the name of its table.
    pub async fn containing(self, texts: &[String]) -> Vec<String> {
        let mut found = Vec::new();
        for (name, table) in &self.stack.tables {
            let mut items = self.dynamodb().scan().table_name(table).into_paginator().items().send();
            while let Some(item) = items.next().await {
                let item = format!("{:?}", item.expect("DynamoDB responds"));
                if texts.iter().any(|text| item.contains(text.as_str())) {
                    found.push(name.clone());
                }
            }
        }
        found
    }

    /// Stores a push request that no function can read, since it has nothing but its key.
    pub async fn put_unreadable_push_request(self, offer: &str) {
        let put = self.dynamodb().put_item().table_name(self.name("offers"));
        let put = put.set_item(Some(key(offer, FIRST_PUSH_REQUEST)));
        put.send().await.expect("DynamoDB responds");
    }

    /// Makes an offer look as the release before formatted texts stored it, with this description.
    pub async fn make_offer_of_earlier_release(self, offer: &Value, description: &str) {
        let update = self.dynamodb().update_item().table_name(self.name("offers"));
        update
            .set_key(Some(key(id_of(offer), "offer")))
            .update_expression("SET description = :description REMOVE markup, #language")
            .expression_attribute_names("#language", "language")
            .expression_attribute_values(":description", S(description.to_owned()))
            .send()
            .await
            .expect("DynamoDB responds");
    }

    /// Deletes an offer's first push request.
    pub async fn delete_push_request(self, offer: &str) {
        let delete = self.dynamodb().delete_item().table_name(self.name("offers"));
        delete.set_key(Some(key(offer, FIRST_PUSH_REQUEST))).send().await.expect("DynamoDB responds");
    }

    /// Makes an offer's first push look as if it was requested `minutes` ago.
    pub async fn backdate_push_request(self, offer: &Value, minutes: i64) {
        let earlier = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes);
        let earlier = format!("{}#{}", earlier.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"), id_of(offer));
        let update = self.dynamodb().update_item().table_name(self.name("offers"));
        update
            .set_key(Some(key(id_of(offer), FIRST_PUSH_REQUEST)))
            .update_expression("SET #at = :at")
            .expression_attribute_names("#at", "at")
            .expression_attribute_values(":at", S(earlier))
            .send()
            .await
            .expect("DynamoDB responds");
    }

    /// Deletes everything that was stored of an offer's first push, but for its request.
    pub async fn forget_push(self, offer: &Value) {
        let (dynamodb, table, push) = (self.dynamodb(), self.name("pushes"), first_push(offer));
        let items = dynamodb
            .query()
            .table_name(table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", S(push.clone()))
            .send()
            .await
            .expect("DynamoDB responds");
        for item in items.items() {
            let sk = item["sk"].as_s().expect("a sort key is text");
            let delete = dynamodb.delete_item().table_name(table).set_key(Some(key(&push, sk)));
            delete.send().await.expect("DynamoDB responds");
        }
    }

    /// Deletes the deliveries of an offer.
    pub async fn delete_deliveries(self, offer: &Value) {
        let (dynamodb, table) = (self.dynamodb(), self.name("deliveries"));
        let mut deliveries = dynamodb
            .scan()
            .table_name(table)
            .filter_expression("begins_with(pk, :offer)")
            .expression_attribute_values(":offer", S(id_of(offer).to_owned()))
            .projection_expression("pk, sk")
            .into_paginator()
            .items()
            .send();
        while let Some(key) = deliveries.next().await {
            let delete = dynamodb.delete_item().table_name(table).set_key(Some(key.expect("DynamoDB responds")));
            delete.send().await.expect("DynamoDB responds");
        }
    }

    /// Stores the opt-out of a customer from e-mail as releases before keyed hashes stored it. Returns the hashes of the
    /// customer and of the address.
    pub async fn put_unkeyed_opt_out(self, customer: &str, address: &str) -> [String; 2] {
        let hashes = [customer, address].map(|of| HEXLOWER.encode(&Sha256::digest(format!("email#{of}"))));
        let [customer, address] = hashes.clone();
        let put = self.dynamodb().put_item().table_name(self.name("suppressions"));
        put.item("pk", S(format!("customer#{customer}")))
            .item("addressHash", S(address))
            .item("reason", S("optedOut".to_owned()))
            .item("since", N("1780315200000".to_owned()))
            .item("by", S("customer".to_owned()))
            .send()
            .await
            .expect("DynamoDB responds");
        hashes
    }

    /// Whether the migration of hashes is finished.
    pub async fn are_hashes_migrated(self) -> bool {
        let get = self.dynamodb().get_item().table_name(self.name("suppressions"));
        get.key("pk", S(MIGRATED.to_owned())).send().await.expect("DynamoDB responds").item.is_some()
    }

    /// Lets the migration of hashes begin anew.
    pub async fn forget_migration(self) {
        for pk in [MIGRATED, MIGRATION_STATE] {
            let delete = self.dynamodb().delete_item().table_name(self.name("suppressions"));
            delete.key("pk", S(pk.to_owned())).send().await.expect("DynamoDB responds");
        }
    }

    /// Makes the migration of hashes look as if it began two hours ago.
    pub async fn backdate_migration(self) {
        let earlier = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(2);
        let update = self.dynamodb().update_item().table_name(self.name("suppressions"));
        update
            .key("pk", S(MIGRATION_STATE.to_owned()))
            .update_expression("SET beganAt = :earlier")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":earlier", N(earlier.as_millisecond().to_string()))
            .send()
            .await
            .expect("DynamoDB responds");
    }

    /// Makes an offer's first push, which is completed, wait for a batch of so many customers as if the scan of its first
    /// slice had queued it: it runs until the batch is reported.
    pub async fn await_batch(self, offer: &Value, batch: u32, customers: usize) {
        let update = self.dynamodb().update_item().table_name(self.name("pushes"));
        update
            .set_key(Some(key(&first_push(offer), "slice#0000")))
            .update_expression("SET heartbeat = :now ADD batchesOpen :batches, notifications :customers REMOVE counted")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":now", N(jiff::Timestamp::now().as_millisecond().to_string()))
            .expression_attribute_values(":customers", N(customers.to_string()))
            .expression_attribute_values(":batches", Ns(vec![batch.to_string()]))
            .send()
            .await
            .expect("DynamoDB responds");
        let update = self.dynamodb().update_item().table_name(self.name("pushes"));
        update
            .set_key(Some(key(&first_push(offer), "push")))
            .update_expression("ADD slicesCounted :less")
            .expression_attribute_values(":less", N("-1".to_owned()))
            .send()
            .await
            .expect("DynamoDB responds");
        self.reopen_push(offer).await;
    }

    /// Takes back the last step of an offer's first push: its slices stay done, and it runs again.
    async fn reopen_push(self, offer: &Value) {
        let update = self.dynamodb().update_item().table_name(self.name("pushes"));
        update
            .set_key(Some(key(&first_push(offer), "push")))
            .update_expression("SET #state = :running, #open = :open REMOVE completedAt")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#open", "open")
            .expression_attribute_values(":running", S("running".to_owned()))
            .expression_attribute_values(":open", S("open".to_owned()))
            .send()
            .await
            .expect("DynamoDB responds");
    }
}

/// The partition key of an offer's first push, in the pushes table.
fn first_push(offer: &Value) -> String {
    format!("{}#0001", id_of(offer))
}

fn key(pk: &str, sk: &str) -> HashMap<String, AttributeValue> {
    [("pk".to_owned(), S(pk.to_owned())), ("sk".to_owned(), S(sk.to_owned()))].into()
}
