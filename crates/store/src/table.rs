//! One DynamoDB table: the calls that all modules share, with their errors, and conditional writes.
//!
//! Modules keep their keys, expressions and the meaning of their items.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{
    KeysAndAttributes, PutRequest, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, WriteRequest,
};
use domain::Sources;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;
use crate::attributes::Item;
use crate::error::without_values;

/// Attempts at a batch call. Each later one repeats what DynamoDB left unprocessed, after a longer pause.
const BATCH_ATTEMPTS: u32 = 6;
/// Attempts at a transaction that conflicts with others. Each is made after a longer pause.
const CONFLICT_ATTEMPTS: u32 = 6;

/// A table and the client that calls it.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    client: Client,
    name: String,
    sources: Sources,
}

/// Whether a read sees every earlier write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consistency {
    /// It does.
    Strong,
    /// It may miss the most recent ones, at half the price.
    Eventual,
}

/// The result of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conditional<D, N> {
    /// The condition held, and the write was made.
    Done(D),
    /// The condition did not hold.
    NotMet(N),
}

impl<D, N> Conditional<D, N> {
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }
}

/// Counts the attempts of one call: the SDK repeats it if no response arrives.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts(Arc<AtomicU32>);

/// For a write whose repetition meets its condition again, or finds what the caller wants to know.
pub(crate) fn never_own<T>(_: &T, _: &Attempts) -> bool {
    false
}

impl Attempts {
    /// Whether an attempt before the last one may have been written.
    pub(crate) fn is_repeated(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 1
    }
}

impl Intercept for Attempts {
    fn name(&self) -> &'static str {
        "Attempts"
    }

    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Table {
    pub(crate) fn new(client: Client, name: impl Into<String>, sources: Sources) -> Self {
        Self { client, name: name.into(), sources }
    }

    pub(crate) fn sources(&self) -> &Sources {
        &self.sources
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.sources.now()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// One item, with a consistent read.
    pub(crate) async fn get(&self, key: Item) -> Result<Option<Item>, StoreError> {
        let call = self.client.get_item().table_name(&self.name).set_key(Some(key)).consistent_read(true);
        Ok(call.send().await.map_err(|error| self.call_failed("GetItem", &error))?.item)
    }

    /// Up to 100 items. Those that do not exist are missing from the result.
    pub(crate) async fn get_many(
        &self,
        mut keys: Vec<Item>,
        consistency: Consistency,
    ) -> Result<Vec<Item>, StoreError> {
        let mut items = Vec::with_capacity(keys.len());
        for attempt in 0..BATCH_ATTEMPTS {
            if keys.is_empty() {
                return Ok(items);
            }
            pause_before(attempt).await;
            let request = KeysAndAttributes::builder()
                .set_keys(Some(std::mem::take(&mut keys)))
                .consistent_read(consistency == Consistency::Strong)
                .build()
                .expect("the keys are set");
            let response = self
                .client
                .batch_get_item()
                .request_items(&self.name, request)
                .send()
                .await
                .map_err(|error| self.call_failed("BatchGetItem", &error))?;
            items.extend(response.responses.and_then(|mut tables| tables.remove(&self.name)).unwrap_or_default());
            let unprocessed = response.unprocessed_keys.and_then(|mut tables| tables.remove(&self.name));
            keys = unprocessed.map(|unprocessed| unprocessed.keys).unwrap_or_default();
        }
        if keys.is_empty() {
            return Ok(items);
        }
        Err(StoreError::Unavailable {
            operation: "BatchGetItem",
            table: self.name.clone(),
            reason: format!("{} keys left unprocessed", keys.len()),
        })
    }

    pub(crate) fn query(&self) -> QueryFluentBuilder {
        self.client.query().table_name(&self.name)
    }

    /// One page of a query.
    pub(crate) async fn query_page(&self, query: QueryFluentBuilder) -> Result<QueryOutput, StoreError> {
        query.send().await.map_err(|error| self.call_failed("Query", &error))
    }

    /// All items of a query, page after page.
    pub(crate) async fn query_each(
        &self,
        query: QueryFluentBuilder,
        mut each: impl FnMut(Item) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut items = query.into_paginator().items().send();
        while let Some(item) = items.next().await {
            each(item.map_err(|error| self.call_failed("Query", &error))?)?;
        }
        Ok(())
    }

    pub(crate) fn update(&self, key: Item) -> UpdateItemFluentBuilder {
        self.client.update_item().table_name(&self.name).set_key(Some(key))
    }

    /// Makes an update if its condition holds, and reads the item: the new one, or the one that did not meet the
    /// condition. `is_own` is as for [`Table::write_if`].
    pub(crate) async fn update_if<T: DeserializeOwned>(
        &self,
        update: UpdateItemFluentBuilder,
        is_own: impl FnOnce(&T, &Attempts) -> bool,
    ) -> Result<Conditional<T, Option<T>>, StoreError> {
        Ok(match self.try_update(update.return_values(ReturnValue::AllNew), is_own).await? {
            Conditional::Done(item) => Conditional::Done(self.read_present(item)?),
            Conditional::NotMet(item) => Conditional::NotMet(item),
        })
    }

    /// Makes an update if its condition holds. Otherwise reads the item that did not meet it.
    ///
    /// The SDK repeats a call whose response was lost. If the first attempt was written, the repeated one no longer
    /// meets its condition. So `is_own` recognises by the item that this call wrote it; or, if the item does not show
    /// who wrote it, by that and the number of attempts.
    pub(crate) async fn write_if<T: DeserializeOwned>(
        &self,
        update: UpdateItemFluentBuilder,
        is_own: impl FnOnce(&T, &Attempts) -> bool,
    ) -> Result<Conditional<(), Option<T>>, StoreError> {
        Ok(match self.try_update(update, is_own).await? {
            Conditional::Done(_) => Conditional::Done(()),
            Conditional::NotMet(item) => Conditional::NotMet(item),
        })
    }

    /// Makes an update, and returns the item that the call asked for.
    async fn try_update<T: DeserializeOwned>(
        &self,
        update: UpdateItemFluentBuilder,
        is_own: impl FnOnce(&T, &Attempts) -> bool,
    ) -> Result<Conditional<Option<Item>, Option<T>>, StoreError> {
        let attempts = Attempts::default();
        let update = update.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let error = match update.customize().interceptor(attempts.clone()).send().await {
            Ok(updated) => return Ok(Conditional::Done(updated.attributes)),
            Err(error) => error,
        };
        let Some(UpdateItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
            return Err(self.call_failed("UpdateItem", &error));
        };
        let stored = failed.item.clone().map(|item| self.read(item)).transpose()?;
        Ok(match stored {
            Some(item) if is_own(&item, &attempts) => Conditional::Done(failed.item.clone()),
            stored => Conditional::NotMet(stored),
        })
    }

    pub(crate) fn put(&self, item: Item) -> PutItemFluentBuilder {
        self.client.put_item().table_name(&self.name).set_item(Some(item))
    }

    /// Puts an item if the condition holds. Otherwise reads the item that is stored. A repeated call's own item is
    /// recognised as by [`Table::write_if`].
    pub(crate) async fn put_if<T: DeserializeOwned>(
        &self,
        put: PutItemFluentBuilder,
        is_own: impl FnOnce(&T, &Attempts) -> bool,
    ) -> Result<Conditional<(), T>, StoreError> {
        let attempts = Attempts::default();
        let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let error = match put.customize().interceptor(attempts.clone()).send().await {
            Ok(_) => return Ok(Conditional::Done(())),
            Err(error) => error,
        };
        let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
            return Err(self.call_failed("PutItem", &error));
        };
        let item = self.read_present(failed.item.clone())?;
        Ok(if is_own(&item, &attempts) { Conditional::Done(()) } else { Conditional::NotMet(item) })
    }

    /// Puts up to 25 items. Returns those that were not written because the table is too busy.
    pub(crate) async fn put_many(&self, items: Vec<Item>) -> Result<Vec<Item>, StoreError> {
        let mut requests: Vec<_> = items
            .into_iter()
            .map(|item| {
                let put = PutRequest::builder().set_item(Some(item)).build().expect("the item is set");
                WriteRequest::builder().put_request(put).build()
            })
            .collect();
        for attempt in 0..BATCH_ATTEMPTS {
            pause_before(attempt).await;
            requests = self
                .client
                .batch_write_item()
                .request_items(&self.name, std::mem::take(&mut requests))
                .send()
                .await
                .map_err(|error| self.call_failed("BatchWriteItem", &error))?
                .unprocessed_items
                .and_then(|mut tables| tables.remove(&self.name))
                .unwrap_or_default();
            if requests.is_empty() {
                break;
            }
        }
        Ok(requests.into_iter().filter_map(|request| Some(request.put_request?.item)).collect())
    }

    /// Makes all of these writes, or none if a condition of one does not hold. A call whose response was lost is repeated
    /// with the same token, by which DynamoDB recognises it.
    pub(crate) async fn transact(&self, writes: Vec<TransactWriteItem>) -> Result<Conditional<(), ()>, StoreError> {
        for attempt in 0..CONFLICT_ATTEMPTS {
            pause_before(attempt).await;
            let call = self.client.transact_write_items().set_transact_items(Some(writes.clone()));
            let Err(error) = call.send().await else {
                return Ok(Conditional::Done(()));
            };
            let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error()
            else {
                return Err(self.call_failed("TransactWriteItems", &error));
            };
            let has_reason = |code| cancelled.cancellation_reasons().iter().any(|reason| reason.code() == Some(code));
            if has_reason("ConditionalCheckFailed") {
                return Ok(Conditional::NotMet(()));
            }
            // Another transaction writes one of the items.
            if !has_reason("TransactionConflict") {
                return Err(self.call_failed("TransactWriteItems", &error));
            }
        }
        Err(StoreError::Unavailable {
            operation: "TransactWriteItems",
            table: self.name.clone(),
            reason: "other transactions write the same items".to_owned(),
        })
    }

    pub(crate) async fn delete(&self, key: Item) -> Result<(), StoreError> {
        let call = self.client.delete_item().table_name(&self.name).set_key(Some(key));
        call.send().await.map_err(|error| self.call_failed("DeleteItem", &error))?;
        Ok(())
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, item: Item) -> Result<T, StoreError> {
        serde_dynamo::from_item(item).map_err(|error| self.unreadable(without_values(&error.to_string())))
    }

    /// Reads an item that DynamoDB must have returned, because the call asked for it.
    pub(crate) fn read_present<T: DeserializeOwned>(&self, item: Option<Item>) -> Result<T, StoreError> {
        self.read(item.ok_or_else(|| self.unreadable("the item is missing"))?)
    }

    pub(crate) fn to_item(&self, item: impl Serialize) -> Result<Item, StoreError> {
        serde_dynamo::to_item(item).map_err(|error| self.unreadable(error))
    }

    pub(crate) fn call_failed<E>(&self, operation: &'static str, error: &SdkError<E>) -> StoreError
    where
        E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        StoreError::call_failed(operation, &self.name, error)
    }

    pub(crate) fn unreadable(&self, error: impl ToString) -> StoreError {
        StoreError::unreadable(&self.name, error)
    }
}

/// 0, 50, 100, 200, … ms before each attempt.
async fn pause_before(attempt: u32) {
    if attempt > 0 {
        tokio::time::sleep(Duration::from_millis(25 << attempt)).await;
    }
}
