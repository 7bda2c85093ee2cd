use super::{each, events, named, of_type, resources, statements_of, template};

const FOURTEEN_DAYS: u64 = 14 * 24 * 3_600;

#[test]
fn a_message_is_hidden_for_six_times_as_long_as_its_function_may_take() {
    let resources = resources();
    for (name, function, event) in events(&resources, "SQS") {
        let queue = &resources[named(&event["Queue"])]["Properties"];
        let (timeout, hidden) = (function["Timeout"].as_u64().unwrap(), queue["VisibilityTimeout"].as_u64().unwrap());
        assert!(hidden >= 6 * timeout, "{name}: {hidden} s for a time-out of {timeout} s");
        assert_eq!(event["FunctionResponseTypes"][0], "ReportBatchItemFailures", "{name}");
        let tries = queue["RedrivePolicy"]["maxReceiveCount"].as_u64().unwrap();
        assert!((5..=10).contains(&tries), "{name}: {tries} tries");
    }
}

#[test]
fn no_queue_forgets_before_fourteen_days() {
    let resources = resources();
    for (name, queue) in of_type(&resources, "AWS::SQS::Queue") {
        assert_eq!(queue["MessageRetentionPeriod"].as_u64(), Some(FOURTEEN_DAYS), "{name}");
        if name.ends_with("Queue") {
            let dead = named(&queue["RedrivePolicy"]["deadLetterTargetArn"]);
            assert!(dead.ends_with("DeadLetters") && resources.contains_key(dead), "{name}");
        }
    }
}

#[test]
fn a_stream_record_is_neither_retried_for_ever_nor_lost() {
    let resources = resources();
    for (name, _, event) in events(&resources, "DynamoDB") {
        assert!(event["MaximumRetryAttempts"].as_u64().is_some_and(|tries| (1..=100).contains(&tries)), "{name}");
        assert!(event["MaximumRecordAgeInSeconds"].as_u64().is_some_and(|age| age <= 86_400), "{name}");
        assert_eq!(event["BisectBatchOnFunctionError"].as_bool(), Some(true), "{name}");
        assert_eq!(event["FunctionResponseTypes"][0], "ReportBatchItemFailures", "{name}");
        let failed = &event["DestinationConfig"]["OnFailure"];
        assert_eq!(failed["Type"], "SQS", "{name}");
        assert!(resources.contains_key(named(&failed["Destination"])), "{name}");
    }
}

#[test]
fn a_function_that_sends_to_its_own_queue_is_not_stopped_for_it() {
    let resources = resources();
    let mut own = 0;
    for (name, function, event) in events(&resources, "SQS") {
        let queue = event["Queue"].as_str().unwrap();
        let sends = statements_of(&resources, function).iter().any(|statement| {
            let is_sending =
                each(&statement["Action"]).any(|action| action.as_str().unwrap().starts_with("sqs:SendMessage"));
            is_sending && each(&statement["Resource"]).any(|resource| resource == queue)
        });
        if sends {
            own += 1;
            assert_eq!(function["RecursiveLoop"], "Allow", "{name}");
        }
    }
    assert_eq!(own, 3, "audience hands on its slices, email and sms their batches");
}

#[test]
fn what_the_bus_carries_is_kept_for_subscribers_that_come_late() {
    let resources = resources();
    let archives = of_type(&resources, "AWS::Events::Archive");
    assert_eq!(archives.len(), 1);
    let (name, archive) = archives[0];
    assert_eq!(named(&archive["SourceArn"]), "EventBus");
    let sources: Vec<_> = each(&archive["EventPattern"]["source"]).map(|source| source.as_str().unwrap()).collect();
    assert_eq!(sources, ["offercast"], "all of ours, whatever they tell of");
    assert_eq!(archive["EventPattern"].as_mapping().unwrap().len(), 1);
    assert_eq!(archive["RetentionDays"], "EventArchiveDays");
    // EventBridge takes 0 for for ever.
    assert_eq!(resources[name]["Condition"], "KeepsEvents");
    let template = template();
    assert_eq!(template["Conditions"]["KeepsEvents"][0][1].as_u64(), Some(0));
    assert!(template["Parameters"]["EventArchiveDays"]["Default"].as_u64().is_some_and(|days| days >= 90));
}
