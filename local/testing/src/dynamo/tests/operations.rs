//! The operations as `crates/store` uses them.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::builders::TransactWriteItemsFluentBuilder;
use aws_sdk_dynamodb::types::{
    BatchStatementErrorCodeEnum, BatchStatementRequest, Put, ReturnValue, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem,
};

use super::*;
use crate::{number_set, string_set};

/// An update under a condition, which returns the new item, or the old one if the condition is not met.
async fn update(
    client: &Client,
    expression: &str,
    condition: &str,
    values: &[(&str, AttributeValue)],
) -> Result<(), UpdateItemError> {
    let update = client
        .update_item()
        .table_name("Pushes")
        .key("pk", text("p"))
        .key("sk", text("slice#0001"))
        .update_expression(expression)
        .condition_expression(condition)
        .set_expression_attribute_values(Some(
            values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        ))
        .return_values(ReturnValue::AllNew)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    update.send().await.map(|_| ()).map_err(SdkError::into_service_error)
}

fn slice(dynamo: &Dynamo) -> Value {
    dynamo.item("Pushes", json!({"pk": "p", "sk": "slice#0001"})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_is_not_met_returns_the_old_item() {
    let dynamo = Dynamo::new();
    let client = dynamo.client();
    let set = |condition: &'static str| {
        let client = client.clone();
        async move { update(&client, "SET a = :a", condition, &[(":a", number(1))]).await }
    };
    let Err(UpdateItemError::ConditionalCheckFailedException(failed)) = set("attribute_exists(pk)").await else {
        panic!("the item does not exist");
    };
    assert_eq!(failed.item, None);
    set("attribute_not_exists(pk)").await.unwrap();
    let Err(UpdateItemError::ConditionalCheckFailedException(failed)) = set("a <> :a").await else {
        panic!("the condition is not met");
    };
    assert_eq!(failed.item.unwrap()["a"], number(1));
}

#[tokio::test(start_paused = true)]
async fn sets_of_numbers_are_added_to_deleted_from_and_measured() {
    let dynamo = Dynamo::new();
    let client = dynamo.client();
    let one = (":one", number(1));
    let add = "ADD version :one, batchesOpen :set SET walked = if_not_exists(walked, :false)";
    let values = [one.clone(), (":set", numbers(&[64, 7])), (":false", AttributeValue::Bool(false))];
    update(&client, add, "attribute_not_exists(pk)", &values).await.unwrap();
    assert_eq!(slice(&dynamo)["batchesOpen"], json!([7, 64]));
    let values = [one.clone(), (":set", numbers(&[7])), (":b", number(7))];
    let delete = "DELETE batchesOpen :set ADD version :one";
    update(&client, delete, "contains(batchesOpen, :b)", &values).await.unwrap();
    let again = update(&client, delete, "contains(batchesOpen, :b)", &values).await.unwrap_err();
    assert!(again.is_conditional_check_failed_exception());
    assert_eq!(slice(&dynamo)["batchesOpen"], json!([64]));
    let values = [one.clone(), (":size", number(1))];
    update(&client, "ADD version :one", "size(batchesOpen) = :size", &values).await.unwrap();
    let values = [one.clone(), (":set", numbers(&[64]))];
    update(&client, delete, "attribute_exists(batchesOpen)", &values).await.unwrap();
    assert_eq!(
        slice(&dynamo),
        json!({"pk": "p", "sk": "slice#0001", "version": 4, "walked": false}),
        "an empty set is removed"
    );
    let values = [one, (":size", number(0))];
    let without = update(&client, "ADD version :one", "size(batchesOpen) = :size", &values).await.unwrap_err();
    assert!(without.is_conditional_check_failed_exception(), "an attribute that is not there has no size: {without:?}");
}

#[tokio::test(start_paused = true)]
async fn ranges_and_alternatives_are_compared() {
    let dynamo = Dynamo::new();
    let client = dynamo.client();
    let between = "n BETWEEN :low AND :high";
    let values = [(":low", number(9)), (":high", number(10))];
    let missing = update(&client, "SET n = :low", between, &values).await.unwrap_err();
    assert!(missing.is_conditional_check_failed_exception());
    dynamo.put("Pushes", json!({"pk": "p", "sk": "slice#0001", "n": 10, "state": "retry", "at": 5}));
    let values = [(":low", number(9)), (":high", number(10))];
    update(&client, "SET n = n + :low, m = n", between, &values).await.unwrap();
    assert_eq!((slice(&dynamo)["n"].clone(), slice(&dynamo)["m"].clone()), (json!(19), json!(10)));

    let condition = "(attribute_not_exists(pk) OR n IN (:a, :b) OR (n < :a AND attribute_not_exists(h))) \
                     AND NOT (via = :a AND n > :b)";
    let values = [(":a", number(19)), (":b", number(3))];
    update(&client, "SET h = :a REMOVE m, gone", condition, &values).await.unwrap();
    assert_eq!(slice(&dynamo).get("m"), None);
    dynamo.set("Pushes", json!({"pk": "p", "sk": "slice#0001"}), "via", 19);
    let reserved = update(&client, "SET h = :a", condition, &values).await.unwrap_err();
    assert!(reserved.is_conditional_check_failed_exception());
}

#[tokio::test(start_paused = true)]
async fn an_expression_that_dynamodb_would_refuse_is_refused() {
    let client = Dynamo::new().client();
    let (a, b) = ((":a", number(1)), (":b", number(2)));
    let is_new = "attribute_not_exists(pk)";
    for (expression, condition, values) in [
        ("SET n = :a", is_new, vec![a.clone(), b.clone()]),
        ("SET state = :a", is_new, vec![a.clone()]),
        ("SET n = :a, n = :b", is_new, vec![a.clone(), b]),
        ("SET n = :a", "n = :missing", vec![a.clone()]),
        ("SET n = :a ADD n :a", is_new, vec![a.clone()]),
        ("SET pk = :a", is_new, vec![a.clone()]),
        ("SET n = :a", "contains(n)", vec![a.clone()]),
        ("SET n = :a", is_new, vec![(":a", AttributeValue::Ns(Vec::new()))]),
        ("SET n = :a", is_new, vec![(":a", AttributeValue::N("x".to_owned()))]),
    ] {
        let error = update(&client, expression, condition, &values).await.unwrap_err();
        assert_eq!(error.meta().code(), Some("ValidationException"), "{expression}, {condition}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn indexes_of_the_template_are_sparse_ordered_and_paged() {
    let dynamo = Dynamo::new();
    for number in 1..=3 {
        let (pk, at) = (format!("p{number}"), format!("t{number}"));
        dynamo.put("Offers", json!({"pk": pk, "sk": "offer", "kind": "offer", "at": at}));
        dynamo.put("Pushes", json!({"pk": pk, "sk": "push", "open": "open", "unpublished": "yes", "n": number}));
    }
    dynamo.remove("Pushes", json!({"pk": "p2", "sk": "push"}), "open");
    let client = dynamo.client();
    let query = |table: &str, index: &str, name: &str, value: &str| {
        let query = client.query().table_name(table).index_name(index).key_condition_expression("#name = :value");
        query.expression_attribute_names("#name", name).expression_attribute_values(":value", text(value))
    };
    let open = query("Pushes", "openPushes", "open", "open");
    let first = open.clone().limit(1).send().await.unwrap();
    assert_eq!(first.items()[0]["pk"], text("p1"));
    let key = first.last_evaluated_key.unwrap();
    assert_eq!(key, [("pk", "p1"), ("sk", "push"), ("open", "open")].map(|(k, v)| (k.to_owned(), text(v))).into());
    let second = open.set_exclusive_start_key(Some(key)).send().await.unwrap();
    assert_eq!(second.items().iter().map(|item| item["pk"].clone()).collect::<Vec<_>>(), [text("p3")]);
    assert_eq!(second.last_evaluated_key, None);

    let keys_only = query("Pushes", "unpublishedPushes", "unpublished", "yes").send().await.unwrap();
    assert_eq!(keys_only.items().len(), 3);
    assert!(!keys_only.items()[0].contains_key("n"));

    let newest = query("Offers", "byTime", "kind", "offer").scan_index_forward(false).send().await.unwrap();
    assert_eq!(newest.items()[0]["pk"], text("p3"));
    let between = client
        .query()
        .table_name("Offers")
        .index_name("byTime")
        .key_condition_expression("kind = :kind AND #at BETWEEN :from AND :to")
        .expression_attribute_names("#at", "at")
        .expression_attribute_values(":kind", text("offer"))
        .expression_attribute_values(":from", text("t2"))
        .expression_attribute_values(":to", text("t9"));
    assert_eq!(between.send().await.unwrap().count, 2);
    let refused = query("Offers", "byTime", "kind", "offer").consistent_read(true).send().await.unwrap_err();
    assert_eq!(refused.into_service_error().meta().code(), Some("ValidationException"));
}

#[tokio::test(start_paused = true)]
async fn the_segments_of_a_scan_have_each_item_once() {
    let dynamo = Dynamo::new();
    for number in 0..100 {
        dynamo.put("Customers", json!({"pk": format!("c-{number:03}")}));
    }
    let client = dynamo.client();
    let mut found = Vec::new();
    for segment in 0..4 {
        let mut after = None;
        loop {
            let scan = client.scan().table_name("Customers").segment(segment).total_segments(4).limit(7);
            let page = scan.set_exclusive_start_key(after).send().await.unwrap();
            assert!(page.count <= 7);
            found.extend(page.items().iter().map(|item| item["pk"].as_s().unwrap().clone()));
            after = page.last_evaluated_key;
            if after.is_none() {
                break;
            }
        }
    }
    found.sort();
    assert_eq!(found, (0..100).map(|number| format!("c-{number:03}")).collect::<Vec<_>>());
    let described = client.describe_table().table_name("Customers").send().await.unwrap();
    assert_eq!(described.table.unwrap().item_count, Some(100));
}

#[tokio::test(start_paused = true)]
async fn a_page_ends_at_a_megabyte_and_a_filter_reads_what_it_drops() {
    let dynamo = Dynamo::new();
    for number in 0..4 {
        dynamo.put("Deliveries", json!({"pk": "d", "sk": format!("{number}"), "n": number, "t": "x".repeat(300_000)}));
    }
    let client = dynamo.client();
    let query = client.query().table_name("Deliveries").key_condition_expression("pk = :pk");
    let query = query.expression_attribute_values(":pk", text("d"));
    let page = query.clone().send().await.unwrap();
    assert!(page.count < 4 && page.last_evaluated_key.is_some(), "{} items", page.count);
    let all = query.clone().into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(all.len(), 4);
    let filtered = query.filter_expression("n = :n").expression_attribute_values(":n", number(1)).limit(1);
    let page = filtered.send().await.unwrap();
    assert_eq!((page.count, page.scanned_count), (0, 1));
    assert!(page.last_evaluated_key.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_transaction_is_stored_as_a_whole_or_says_what_cancelled_it() {
    let dynamo = Dynamo::new();
    let client = dynamo.client();
    let insert = |pk: &str| {
        let put = Put::builder().table_name("Offers").item("pk", text(pk)).item("sk", text("offer"));
        let put = put.condition_expression("attribute_not_exists(pk)").build().unwrap();
        TransactWriteItem::builder().put(put).build()
    };
    let transaction = |first: &str, second: &str| {
        client.transact_write_items().transact_items(insert(first)).transact_items(insert(second))
    };
    // The SDK gives each transaction a token, so that a repeated attempt is recognised.
    dynamo.inject("TransactWriteItems", "Offers", [Fault::LoseResponse]);
    transaction("a", "b").send().await.unwrap();
    assert_eq!((dynamo.count("TransactWriteItems", "Offers"), dynamo.items("Offers").len()), (2, 2));

    let reasons = async |call: TransactWriteItemsFluentBuilder| {
        let error = call.send().await.unwrap_err().into_service_error();
        let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else {
            panic!("the transaction is cancelled, not {error:?}");
        };
        let reasons = cancelled.cancellation_reasons.unwrap_or_default();
        reasons.into_iter().map(|reason| reason.code.unwrap_or_default()).collect::<Vec<_>>()
    };
    assert_eq!(reasons(transaction("c", "b")).await, ["None", "ConditionalCheckFailed"]);
    assert_eq!(dynamo.items("Offers").len(), 2);
    dynamo.inject("TransactWriteItems", "Offers", [Fault::Conflict]);
    assert_eq!(reasons(transaction("c", "d")).await, ["TransactionConflict", "None"]);
    assert_eq!(dynamo.items("Offers").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn statements_fail_one_by_one() {
    let dynamo = Dynamo::new();
    let client = dynamo.client();
    let insert = |pk: &str| {
        let statement = format!("INSERT INTO \"Customers\" VALUE {{'pk': '{pk}'}}");
        BatchStatementRequest::builder().statement(statement).build().unwrap()
    };
    dynamo.put("Customers", json!({"pk": "a"}));
    let call = client.batch_execute_statement().statements(insert("a")).statements(insert("b"));
    let responses = call.send().await.unwrap().responses.unwrap();
    let codes: Vec<_> = responses.iter().map(|response| response.error().and_then(|error| error.code())).collect();
    assert_eq!(codes, [Some(&BatchStatementErrorCodeEnum::DuplicateItem), None]);
    assert_eq!(dynamo.calls(), [("BatchExecuteStatement", "Customers")]);
}

#[tokio::test(start_paused = true)]
async fn an_item_of_a_test_is_what_the_client_reads() {
    let dynamo = Dynamo::new();
    let key = json!({"pk": "p", "sk": "push"});
    dynamo.put("Pushes", json!({"pk": "p", "sk": "push", "slicesDone": number_set([2, 1]), "s": string_set(["x"])}));
    dynamo.set("Pushes", &key, "set", number_set([3]));
    let get = dynamo.client().get_item().table_name("Pushes").key("pk", text("p")).key("sk", text("push"));
    let item = get.consistent_read(true).send().await.unwrap().item.unwrap();
    assert_eq!(item["set"], numbers(&[3]));
    assert_eq!(item["s"], AttributeValue::Ss(vec!["x".to_owned()]));
    assert_eq!(item["slicesDone"].as_ns().unwrap().len(), 2);
    assert_eq!(dynamo.requests("GetItem", "Pushes")[0]["ConsistentRead"], true);
    dynamo.delete("Pushes", &key);
    assert_eq!(dynamo.item("Pushes", &key), None);
}
