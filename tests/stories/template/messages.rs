//! Queues, streams and the event archive lose nothing and retry nothing for ever.

use super::{each, events, named, of_type, resources, statements_of, template};

const FOURTEEN_DAYS: u64 = 14 * 24 * 3_600;

#[test]
fn visibility_timeout_is_six_times_the_function_timeout() {
    let resources = resources();
    for (name, function, event) in events(&resources, "SQS") {
        let queue = &resources[named(&event["Queue"])]["Properties"];
        let (timeout, visibility) =
            (function["Timeout"].as_u64().unwrap(), queue["VisibilityTimeout"].as_u64().unwrap());
        assert!(visibility >= 6 * timeout, "{name}: {visibility} s for a timeout of {timeout} s");
        assert_eq!(event["FunctionResponseTypes"][0], "ReportBatchItemFailures", "{name}");
        let attempts = queue["RedrivePolicy"]["maxReceiveCount"].as_u64().unwrap();
        // `RECEIVES` in functions/push/src/sweep/plan.rs.
        assert!(name != "AudienceQueue" || attempts == 5);
        assert!((5..=10).contains(&attempts), "{name}: {attempts} attempts");
    }
}

#[test]
fn queues_keep_messages_for_fourteen_days() {
    let resources = resources();
    for (name, queue) in of_type(&resources, "AWS::SQS::Queue") {
        assert_eq!(queue["MessageRetentionPeriod"].as_u64(), Some(FOURTEEN_DAYS), "{name}");
        if name.ends_with("Queue") {
            let dead = named(&queue["RedrivePolicy"]["deadLetterTargetArn"]);
            assert!(dead.ends_with("DeadLetters") && resources.contains_key(dead), "{name}");
        }
    }
}

/// A frozen function holds the records of its shard until its time-out.
#[test]
fn functions_of_streams_end_within_half_a_minute() {
    let resources = resources();
    for (name, function, _) in events(&resources, "DynamoDB") {
        assert!(function["Timeout"].as_u64().is_some_and(|timeout| timeout <= 30), "{name}");
    }
}

#[test]
fn failing_stream_records_end_in_a_dead_letter_queue() {
    let resources = resources();
    for (name, _, event) in events(&resources, "DynamoDB") {
        assert!(event["MaximumRetryAttempts"].as_u64().is_some_and(|attempts| (1..=100).contains(&attempts)), "{name}");
        assert!(event["MaximumRecordAgeInSeconds"].as_u64().is_some_and(|age| age <= 86_400), "{name}");
        assert_eq!(event["BisectBatchOnFunctionError"].as_bool(), Some(true), "{name}");
        assert_eq!(event["FunctionResponseTypes"][0], "ReportBatchItemFailures", "{name}");
        let failed = &event["DestinationConfig"]["OnFailure"];
        assert_eq!(failed["Type"], "SQS", "{name}");
        assert!(resources.contains_key(named(&failed["Destination"])), "{name}");
    }
}

#[test]
fn functions_that_requeue_their_messages_allow_recursion() {
    let resources = resources();
    let mut requeue = 0;
    for (name, function, event) in events(&resources, "SQS") {
        let queue = event["Queue"].as_str().unwrap();
        let sends = statements_of(&resources, function).iter().any(|statement| {
            let is_sending =
                each(&statement["Action"]).any(|action| action.as_str().unwrap().starts_with("sqs:SendMessage"));
            is_sending && each(&statement["Resource"]).any(|resource| resource == queue)
        });
        if sends {
            requeue += 1;
            assert_eq!(function["RecursiveLoop"], "Allow", "{name}");
        }
    }
    assert_eq!(requeue, 3, "audience requeues slices, email and sms batches");
}

#[test]
fn events_are_archived_for_late_subscribers() {
    let resources = resources();
    let archives = of_type(&resources, "AWS::Events::Archive");
    assert_eq!(archives.len(), 1);
    let (name, archive) = archives[0];
    assert_eq!(named(&archive["SourceArn"]), "EventBus");
    let sources: Vec<_> = each(&archive["EventPattern"]["source"]).map(|source| source.as_str().unwrap()).collect();
    assert_eq!(sources, ["offercast"], "all events of this product");
    assert_eq!(archive["EventPattern"].as_mapping().unwrap().len(), 1);
    assert_eq!(archive["RetentionDays"], "EventArchiveDays");
    // To EventBridge, 0 days means for ever.
    assert_eq!(resources[name]["Condition"], "KeepsEvents");
    let template = template();
    assert_eq!(template["Conditions"]["KeepsEvents"][0][1].as_u64(), Some(0));
    assert!(template["Parameters"]["EventArchiveDays"]["Default"].as_u64().is_some_and(|days| days >= 90));
}
