use aws_sdk_dynamodb::types::{KeysAndAttributes, PutRequest, WriteRequest};

use super::*;

#[tokio::test(start_paused = true)]
async fn a_call_whose_response_is_lost_took_effect_and_is_repeated() {
    let dynamo = Dynamo::new();
    dynamo.inject("UpdateItem", "Pacing", [Fault::LoseResponse]);
    add_one(&dynamo.client()).send().await.unwrap();
    assert_eq!(stored(&dynamo), Some(json!({"pk": "t", "n": 2})));
    assert_eq!(dynamo.calls(), [("UpdateItem", "Pacing"); 2]);
    assert_eq!(dynamo.faults_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_attempt_ends_after_three_seconds_and_the_call_after_eight() {
    let dynamo = Dynamo::new();
    let client = dynamo.client();
    let start = Instant::now();
    dynamo.inject("UpdateItem", "Pacing", [Fault::HangAfterEffect]);
    add_one(&client).send().await.unwrap();
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(4), "{took:?}");
    assert_eq!(stored(&dynamo).unwrap()["n"], 2);

    let start = Instant::now();
    dynamo.inject_always("UpdateItem", "Pacing", Fault::Hang);
    let error = add_one(&client).send().await.unwrap_err();
    assert!(matches!(error, SdkError::TimeoutError(_)), "{error:?}");
    // Tokio's timers have a granularity of a millisecond.
    assert_eq!(start.elapsed().as_secs(), 8);
    assert_eq!(stored(&dynamo).unwrap()["n"], 2);
    dynamo.clear_faults();
    add_one(&client).send().await.unwrap();
    assert_eq!(stored(&dynamo).unwrap()["n"], 3);
}

#[tokio::test(start_paused = true)]
async fn errors_take_no_effect_and_are_retried_except_a_refusal() {
    let dynamo = Dynamo::new();
    let client = dynamo.client();
    dynamo.inject("UpdateItem", "Pacing", [Fault::Unavailable, Fault::Throttle]);
    add_one(&client).send().await.unwrap();
    assert_eq!((dynamo.count("UpdateItem", "Pacing"), stored(&dynamo).unwrap()["n"].clone()), (3, json!(1)));

    for (fault, code, attempts) in [
        (Fault::Unavailable, "InternalServerError", 4),
        (Fault::Throttle, "ProvisionedThroughputExceededException", 4),
        (Fault::Refuse, "ValidationException", 1),
        (Fault::Conflict, "TransactionConflictException", 1),
    ] {
        dynamo.forget_calls();
        dynamo.inject_always("UpdateItem", "Pacing", fault);
        let error = add_one(&client).send().await.unwrap_err().into_service_error();
        assert_eq!(error.meta().code(), Some(code));
        assert_eq!(dynamo.count("UpdateItem", "Pacing"), attempts, "{code}");
    }
    assert_eq!(stored(&dynamo).unwrap()["n"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_response_and_latency_take_virtual_time() {
    let dynamo = Dynamo::new();
    let client = dynamo.client();
    let start = Instant::now();
    add_one(&client).send().await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    dynamo.inject("UpdateItem", "Pacing", [Fault::Delay(Duration::from_secs(2))]);
    add_one(&client).send().await.unwrap();
    assert_eq!(start.elapsed().as_secs(), 2);
    let start = Instant::now();
    dynamo.set_latency(Duration::from_millis(10));
    add_one(&client).send().await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 10);
    assert_eq!(dynamo.count("UpdateItem", "Pacing"), 3);
}

#[tokio::test(start_paused = true)]
async fn with_latency_concurrent_calls_overlap() {
    let dynamo = Dynamo::new();
    let client = dynamo.client();
    dynamo.set_latency(Duration::from_millis(10));
    let start = Instant::now();
    let calls: Vec<_> = (0..3).map(|_| tokio::spawn(add_one(&client).send())).collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(start.elapsed().as_millis(), 10);
    assert_eq!(stored(&dynamo).unwrap()["n"], 3);
}

#[tokio::test(start_paused = true)]
async fn pauses_between_retries_are_the_same_in_each_run() {
    let run = async || {
        let dynamo = Dynamo::new();
        dynamo.inject("UpdateItem", "Pacing", [Fault::Throttle, Fault::Throttle]);
        let start = Instant::now();
        add_one(&dynamo.client()).send().await.unwrap();
        start.elapsed()
    };
    let first = run().await;
    assert!(!first.is_zero());
    assert_eq!(run().await, first);
}

#[tokio::test(start_paused = true)]
async fn another_writer_comes_between_a_call_and_its_effect() {
    let dynamo = Dynamo::new();
    dynamo.put("Pacing", json!({"pk": "t", "n": 10, "old": true}));
    let race = Fault::before(|dynamo| {
        dynamo.set("Pacing", json!({"pk": "t"}), "n", 20);
        dynamo.remove("Pacing", json!({"pk": "t"}), "old");
    });
    dynamo.inject("UpdateItem", "Pacing", [Fault::Nothing, race]);
    let client = dynamo.client();
    add_one(&client).send().await.unwrap();
    assert_eq!(stored(&dynamo), Some(json!({"pk": "t", "n": 11, "old": true})));
    let update = add_one(&client).condition_expression("n = :seen").expression_attribute_values(":seen", number(11));
    let error = update.send().await.unwrap_err().into_service_error();
    assert!(error.is_conditional_check_failed_exception());
    assert_eq!(stored(&dynamo), Some(json!({"pk": "t", "n": 20})));
}

#[tokio::test(start_paused = true)]
async fn clients_do_not_share_their_retries() {
    let dynamo = Dynamo::new();
    dynamo.inject_always("UpdateItem", "Pacing", Fault::LoseResponse);
    let exhausted = dynamo.client();
    for _ in 0..20 {
        add_one(&exhausted).send().await.unwrap_err();
    }
    let attempts = async |client: &Client| {
        dynamo.forget_calls();
        add_one(client).send().await.unwrap_err();
        dynamo.count("UpdateItem", "Pacing")
    };
    assert_eq!(attempts(&exhausted).await, 1, "a client's retries run out, as they do when deployed");
    assert_eq!(attempts(&dynamo.client()).await, 4);
}

#[tokio::test(start_paused = true)]
async fn the_last_keys_and_items_of_a_batch_are_left_unprocessed() {
    let dynamo = Dynamo::new();
    let client = dynamo.client();
    let put = |pk: &str| {
        let put = PutRequest::builder().item("pk", text(pk)).build().unwrap();
        WriteRequest::builder().put_request(put).build()
    };
    dynamo.inject("BatchWriteItem", "Customers", [Fault::Unprocessed(1), Fault::Unprocessed(9)]);
    for (stored, left) in [(vec!["a", "b"], 1), (vec!["a", "b"], 3), (vec!["a", "b", "c"], 0)] {
        let call = client.batch_write_item().request_items("Customers", vec![put("a"), put("b"), put("c")]);
        let unprocessed = call.send().await.unwrap().unprocessed_items.unwrap_or_default();
        assert_eq!(unprocessed.get("Customers").map_or(0, Vec::len), left);
        let items = dynamo.items("Customers");
        assert_eq!(items.iter().map(|item| item["pk"].as_str().unwrap()).collect::<Vec<_>>(), stored);
    }

    dynamo.inject("BatchGetItem", "Customers", [Fault::Unprocessed(2), Fault::Unprocessed(3)]);
    for (found, left) in [(1, 2), (0, 3), (3, 0)] {
        let mut keys = KeysAndAttributes::builder().consistent_read(true);
        for pk in ["a", "b", "c"] {
            keys = keys.keys([("pk".to_owned(), text(pk))].into());
        }
        let call = client.batch_get_item().request_items("Customers", keys.build().unwrap());
        let response = call.send().await.unwrap();
        let responses = response.responses.unwrap_or_default();
        assert_eq!(responses.get("Customers").map_or(0, Vec::len), found);
        let unprocessed = response.unprocessed_keys.unwrap_or_default();
        assert_eq!(unprocessed.get("Customers").map_or(0, |keys| keys.keys.len()), left);
        assert!(unprocessed.values().all(|keys| keys.consistent_read == Some(true)));
    }
}

#[test]
#[should_panic(expected = "template.yaml has no table DeliverysTable")]
fn a_misspelt_table_is_named() {
    Dynamo::new().inject("UpdateItem", "Deliverys", [Fault::Hang]);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "ListTables is not supported here")]
async fn an_unknown_operation_is_named() {
    let _ = Dynamo::new().client().list_tables().send().await;
}

#[test]
#[should_panic(expected = "UpdateItem on Pacing")]
fn only_an_item_that_exists_is_changed() {
    Dynamo::new().set("Pacing", json!({"pk": "t"}), "n", 1);
}
