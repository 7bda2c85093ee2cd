//! Sweeps against AWS services that are played by a function.

mod aws;

use std::time::Duration;

use serde_json::{Value, json};

use self::aws::{
    Aws, Call, Clock, OFFER, Reply, key_of, offers_item, purpose_of, push_item, slice_item, unpublished_key,
};
use super::report::{SweepError, Swept};

/// Nothing is requested, open or unpublished.
fn nothing() -> Reply {
    Reply::Ok(json!({"Items": [], "Count": 0}))
}

/// The pushes for which calls with this purpose were made.
fn pushes_read(calls: &[Call], purpose: &str) -> Vec<u32> {
    let calls = calls.iter().filter(|(operation, body)| purpose_of(operation, body) == purpose);
    calls
        .filter_map(|(_, body)| (1..=7).find(|n| body["ExpressionAttributeValues"][":pk"]["S"] == key_of(*n)))
        .collect()
}

impl Aws {
    /// One sweep, in which no time passes.
    async fn sweep(&self) -> Result<Swept, SweepError> {
        let clock = Clock::default();
        self.sweeper(&clock).sweep_all(clock.deadline()).await
    }
}

const LISTS: [(&str, &str); 3] = [
    ("list byTime", "missed requests (1 failed)"),
    ("list openPushes", "open pushes (1 failed)"),
    ("list unpublishedPushes", "overdue events (1 failed)"),
];

#[tokio::test]
async fn a_duty_that_fails_keeps_no_other_from_running_and_is_named() {
    for (failing, named) in LISTS {
        let aws = Aws::new(move |operation, body| match purpose_of(operation, body) {
            purpose if purpose == failing => Reply::Refused,
            _ => nothing(),
        });
        let error = aws.sweep().await.unwrap_err();
        for (list, _) in LISTS {
            assert_eq!(aws.count(list), 1, "{list}, if {failing} fails");
        }
        assert!(error.to_string().contains(&format!("incomplete: {named};")), "{error}");
    }
}

#[tokio::test]
async fn a_duty_that_hangs_keeps_no_other_from_running() {
    for (hanging, _) in LISTS {
        let aws = Aws::new(move |operation, body| match purpose_of(operation, body) {
            purpose if purpose == hanging => Reply::Never,
            _ => nothing(),
        });
        let sweep = aws.sweep();
        // Long before the part that hangs is stopped.
        assert!(tokio::time::timeout(Duration::from_millis(200), sweep).await.is_err(), "{hanging} hangs");
        for (list, _) in LISTS {
            assert_eq!(aws.count(list), 1, "{list}, if {hanging} hangs");
        }
    }
}

#[tokio::test]
async fn open_pushes_that_had_no_time_are_swept_first_by_the_next_sweep() {
    let clock = Clock::default();
    let passes = clock.clone();
    let aws = Aws::new(move |operation, body| match purpose_of(operation, body).as_str() {
        "list openPushes" => Reply::Ok(json!({"Items": (1..=7).map(|n| push_item(n, &[])).collect::<Vec<_>>()})),
        "read slices" => {
            passes.pass(10);
            // Reading the second one fails, which keeps none of the others from being swept.
            if body["ExpressionAttributeValues"][":pk"]["S"] == key_of(2) { Reply::Refused } else { nothing() }
        }
        // The slices are in their queue, and continue by themselves.
        "GetQueueAttributes" => Reply::Ok(json!({"Attributes": {"ApproximateNumberOfMessages": "1"}})),
        _ => nothing(),
    });
    let sweeper = aws.sweeper(&clock);
    let swept = async || {
        let result = sweeper.sweep_all(clock.deadline()).await;
        (pushes_read(&aws.take_calls(), "read slices"), result.is_ok())
    };
    assert_eq!(swept().await, (vec![1, 2, 3, 4, 5], false));
    assert_eq!(swept().await, (vec![6, 7, 1, 2, 3], false));
    assert_eq!(swept().await, (vec![1, 2, 3, 4, 5], false));
}

#[tokio::test]
async fn only_slices_that_are_done_but_not_marked_are_written() {
    let slices: Vec<_> = (0..3)
        .map(
            |slice| json!({"pk": {"S": key_of(1)}, "sk": {"S": format!("slice#{slice:04}")}, "walked": {"BOOL": true}}),
        )
        .collect();
    let aws = Aws::new(move |operation, body| match purpose_of(operation, body).as_str() {
        "list openPushes" => Reply::Ok(json!({"Items": [push_item(1, &[0, 2, 3, 4])]})),
        "read slices" => Reply::Ok(json!({"Items": slices})),
        "UpdateItem pushes" => Reply::Ok(json!({"Attributes": push_item(1, &[0, 1, 2, 3, 4])})),
        _ => nothing(),
    });
    let swept = aws.sweep().await.unwrap();
    assert_eq!(swept, Swept { closed: 1, ..Swept::default() });
    let updates: Vec<_> = aws.take_calls().into_iter().filter(|(operation, _)| operation == "UpdateItem").collect();
    assert_eq!(updates[0].1["ExpressionAttributeValues"][":slices"], json!({"NS": ["1"]}));
    // And the write that completes the push.
    assert_eq!(updates.len(), 2);
}

#[tokio::test]
async fn requests_are_compared_with_the_pushes_in_one_call_and_missed_ones_started() {
    let request = |number: u32| json!({"pk": {"S": OFFER}, "sk": {"S": format!("push#{number:04}")}});
    let requests: Vec<_> = (1..=5).map(request).collect();
    let aws = Aws::new(move |operation, body| match purpose_of(operation, body).as_str() {
        "list byTime" => Reply::Ok(json!({"Items": requests})),
        "BatchGetItem" => {
            let exist: Vec<_> = [1, 2, 4].map(|number| push_item(number, &[])).into();
            Reply::Ok(json!({"Responses": {"pushes": exist}}))
        }
        // The request cannot be read, so the push cannot be started.
        "GetItem offers" => Reply::Refused,
        _ => nothing(),
    });
    let error = aws.sweep().await.unwrap_err();
    assert!(error.to_string().contains("missed requests (2 failed)"), "{error}");
    assert_eq!(aws.count("BatchGetItem"), 1);
    let started: Vec<_> = aws.take_calls().into_iter().filter(|(operation, _)| operation == "GetItem").collect();
    let started: Vec<_> = started.iter().map(|(_, body)| body["Key"]["sk"]["S"].as_str().unwrap()).collect();
    assert_eq!(started, ["push#0003", "push#0005"]);
}

#[tokio::test]
async fn events_that_cannot_be_published_do_not_hide_those_of_later_pages() {
    let aws = Aws::new(move |operation, body| match purpose_of(operation, body).as_str() {
        "list unpublishedPushes" if body["ExclusiveStartKey"].is_null() => Reply::Ok(
            json!({"Items": [unpublished_key(1), unpublished_key(2)], "LastEvaluatedKey": unpublished_key(2)}),
        ),
        "list unpublishedPushes" => Reply::Ok(json!({"Items": [unpublished_key(3)]})),
        // They were requested 100 seconds ago.
        "GetItem pushes" => Reply::Ok(json!({"Item": push_item(1, &[])})),
        // The first two are gone when they are to be published.
        "read progress" if body["ExpressionAttributeValues"][":pk"]["S"] != key_of(3) => nothing(),
        "read progress" => Reply::Refused,
        _ => nothing(),
    });
    let error = aws.sweep().await.unwrap_err();
    assert!(error.to_string().contains("overdue events (3 failed)"), "{error}");
    assert_eq!(aws.count("read progress"), 3);
}

#[tokio::test]
async fn requests_that_had_no_time_are_tried_first_by_the_next_sweep() {
    let clock = Clock::default();
    let passes = clock.clone();
    let requests: Vec<_> = (1..=5).map(|n| json!({"pk": {"S": OFFER}, "sk": {"S": format!("push#{n:04}")}})).collect();
    let aws = Aws::new(move |operation, body| match purpose_of(operation, body).as_str() {
        "list byTime" => Reply::Ok(json!({"Items": requests})),
        "BatchGetItem" => Reply::Ok(json!({"Responses": {"pushes": [push_item(1, &[])]}})),
        "GetItem offers" => {
            passes.pass(20);
            Reply::Refused
        }
        _ => nothing(),
    });
    let sweeper = aws.sweeper(&clock);
    let tried = async || {
        sweeper.sweep_all(clock.deadline()).await.unwrap_err();
        let requests = aws.take_calls().into_iter().filter(|(operation, _)| operation == "GetItem");
        requests.map(|(_, body)| body["Key"]["sk"]["S"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(tried().await, ["push#0002", "push#0003", "push#0004"]);
    assert_eq!(tried().await, ["push#0005", "push#0002", "push#0003"]);
    assert_eq!(tried().await, ["push#0002", "push#0003", "push#0004"]);
    assert_eq!(tried().await, ["push#0005", "push#0002", "push#0003"]);
}

#[tokio::test]
async fn events_that_had_no_time_are_published_first_by_the_next_sweep() {
    let clock = Clock::default();
    let passes = clock.clone();
    let aws = Aws::new(move |operation, body| match purpose_of(operation, body).as_str() {
        "list unpublishedPushes" => Reply::Ok(json!({"Items": (1..=5).map(unpublished_key).collect::<Vec<_>>()})),
        "GetItem pushes" => Reply::Ok(json!({"Item": push_item(1, &[])})),
        "read progress" => {
            passes.pass(20);
            Reply::Refused
        }
        _ => nothing(),
    });
    let sweeper = aws.sweeper(&clock);
    let tried = async || {
        sweeper.sweep_all(clock.deadline()).await.unwrap_err();
        pushes_read(&aws.take_calls(), "read progress")
    };
    assert_eq!(tried().await, [1, 2, 3]);
    assert_eq!(tried().await, [4, 5, 1]);
}

#[tokio::test]
async fn an_unavailable_bus_is_waited_for_once_a_sweep_and_next_with_another_event() {
    let mut unpublished = push_item(1, &[]);
    unpublished["state"] = json!({"S": "completed"});
    let aws = Aws::new(move |operation, body| match purpose_of(operation, body).as_str() {
        "list unpublishedPushes" => Reply::Ok(json!({"Items": [unpublished_key(1), unpublished_key(2)]})),
        "GetItem pushes" => Reply::Ok(json!({"Item": unpublished})),
        "read progress" => Reply::Ok(json!({"Items": [unpublished]})),
        "GetItem offers" => Reply::Ok(json!({"Item": offers_item("offer")})),
        "PutEvents" => Reply::Refused,
        _ => nothing(),
    });
    let clock = Clock::default();
    let sweeper = aws.sweeper(&clock);
    for push in [1, 2, 1] {
        sweeper.sweep_all(clock.deadline()).await.unwrap_err();
        assert_eq!(aws.count("PutEvents"), 1);
        assert_eq!(pushes_read(&aws.take_calls(), "read progress"), [push]);
    }
}

/// A running push whose slices are these. Each write of a slice or of the push takes 20 seconds, so that a sweep has
/// time for three.
fn slow_writes(clock: &Clock, slices: Vec<Value>, messages_in_queues: u32) -> Aws {
    let clock = clock.clone();
    Aws::new(move |operation, body| match purpose_of(operation, body).as_str() {
        "list openPushes" => Reply::Ok(json!({"Items": [push_item(1, &[])]})),
        "read slices" => Reply::Ok(json!({"Items": slices})),
        "UpdateItem pushes" => {
            clock.pass(20);
            Reply::Ok(json!({"Attributes": push_item(1, &[])}))
        }
        "GetItem offers" => Reply::Ok(json!({"Item": offers_item(body["Key"]["sk"]["S"].as_str().unwrap())})),
        "GetQueueAttributes" => {
            Reply::Ok(json!({"Attributes": {"ApproximateNumberOfMessages": messages_in_queues.to_string()}}))
        }
        "SendMessageBatch" => Reply::Ok(json!({"Successful": [], "Failed": []})),
        _ => nothing(),
    })
}

/// The slices that were queued.
fn queued(aws: &Aws) -> Vec<u64> {
    let sent = aws.take_calls().into_iter().filter(|(operation, _)| operation == "SendMessageBatch");
    let entries = sent.flat_map(|(_, body)| body["Entries"].as_array().unwrap().clone());
    let message = |entry: Value| serde_json::from_str::<Value>(entry["MessageBody"].as_str().unwrap()).unwrap();
    entries.map(|entry| message(entry)["slice"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn marking_ends_before_the_deadline() {
    let clock = Clock::default();
    let aws = slow_writes(&clock, (0..5).map(|slice| slice_item(1, slice, &[], 0)).collect(), 0);
    let swept = aws.sweeper(&clock).sweep_all(clock.deadline()).await.unwrap();
    assert_eq!(swept, Swept { closed: 3, ..Swept::default() });
}

#[tokio::test]
async fn restarting_ends_before_the_deadline_and_what_was_restarted_is_queued() {
    let clock = Clock::default();
    // Idle for ten minutes, and their queues are empty.
    let aws = slow_writes(&clock, (0..5).map(|slice| slice_item(1, slice, &[64], 600)).collect(), 0);
    let swept = aws.sweeper(&clock).sweep_all(clock.deadline()).await.unwrap();
    assert_eq!(swept, Swept { restarted: 3, ..Swept::default() });
    assert_eq!(queued(&aws), [0, 1, 2]);
}

#[tokio::test]
async fn slices_that_were_restarted_are_queued_although_the_next_restart_fails() {
    let aws = Aws::new(|operation, body| match purpose_of(operation, body).as_str() {
        "list openPushes" => Reply::Ok(json!({"Items": [push_item(1, &[])]})),
        "read slices" => {
            Reply::Ok(json!({"Items": (0..5).map(|slice| slice_item(1, slice, &[64], 600)).collect::<Vec<_>>()}))
        }
        "UpdateItem pushes" if body["Key"]["sk"]["S"] == "slice#0002" => Reply::Refused,
        "UpdateItem pushes" => Reply::Ok(json!({"Attributes": {}})),
        "GetItem offers" => Reply::Ok(json!({"Item": offers_item(body["Key"]["sk"]["S"].as_str().unwrap())})),
        _ => nothing(),
    });
    let error = aws.sweep().await.unwrap_err();
    assert!(error.to_string().contains("open pushes (1 failed)"), "{error}");
    assert_eq!(queued(&aws), [0, 1]);
}

#[tokio::test]
async fn restarting_lost_batches_ends_before_the_deadline() {
    let clock = Clock::default();
    // Idle for an hour. Their queue holds one message, but five batches are outstanding.
    let aws = slow_writes(&clock, (0..5).map(|slice| slice_item(1, slice, &[64], 3_600)).collect(), 1);
    let swept = aws.sweeper(&clock).sweep_all(clock.deadline()).await.unwrap();
    assert_eq!(swept, Swept { restarted: 3, ..Swept::default() });
    assert_eq!(queued(&aws), [0, 1, 2]);
}
