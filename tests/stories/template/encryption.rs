//! Everything that is stored is encrypted, with the deployment's own KMS key if it has one.

use serde_yaml_ng::Value;

use super::{each, of_type, resources, statements, statements_of, template};

/// Queues for what EventBridge could not deliver or encrypt. With the same key they would fail together with it.
pub(crate) const OF_EVENT_BRIDGE: [&str; 2] = ["FeedbackRuleDeadLetters", "BusDeadLetters"];

/// `!If [HasKey, value, AWS::NoValue]`: set only if the deployment has its own KMS key.
fn if_has_key(value: impl Into<Value>) -> Value {
    Value::Sequence(vec!["HasKey".into(), value.into(), "AWS::NoValue".into()])
}

#[test]
fn stored_data_is_encrypted_with_the_configured_key() {
    let resources = resources();
    let key = if_has_key("KmsKeyArn");
    for (kind, property) in [
        ("AWS::SQS::Queue", "KmsMasterKeyId"),
        ("AWS::SNS::Topic", "KmsMasterKeyId"),
        ("AWS::SecretsManager::Secret", "KmsKeyId"),
        ("AWS::Logs::LogGroup", "KmsKeyId"),
        ("AWS::Events::EventBus", "KmsKeyIdentifier"),
        ("AWS::Events::Archive", "KmsKeyIdentifier"),
    ] {
        for (name, resource) in of_type(&resources, kind) {
            let expected = if OF_EVENT_BRIDGE.contains(&name) { &Value::Null } else { &key };
            assert_eq!(&resource[property], expected, "{name}");
        }
    }
    for (name, table) in of_type(&resources, "AWS::DynamoDB::Table") {
        let [condition, with, without] = &table["SSESpecification"].as_sequence().unwrap()[..] else {
            panic!("{name} has no encryption that depends on HasKey");
        };
        assert!(condition == "HasKey" && without == "AWS::NoValue", "{name}");
        assert_eq!(with["KMSMasterKeyId"], "KmsKeyArn", "{name}");
        assert_eq!(with["SSEType"], "KMS", "{name}");
        assert_eq!(with["SSEEnabled"].as_bool(), Some(true), "{name}");
    }
    for (name, bucket) in of_type(&resources, "AWS::S3::Bucket") {
        let rule = &bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0];
        let default = &rule["ServerSideEncryptionByDefault"];
        assert_eq!(default["KMSMasterKeyID"], key, "{name}");
        assert_eq!(default["SSEAlgorithm"], Value::Sequence(vec!["HasKey".into(), "aws:kms".into(), "AES256".into()]));
    }
    for (name, queue) in of_type(&resources, "AWS::SQS::Queue") {
        // SQS accepts one kind of encryption: its own, unless there is a key.
        let mut own = Value::Sequence(vec!["HasKey".into(), "AWS::NoValue".into(), true.into()]);
        if OF_EVENT_BRIDGE.contains(&name) {
            own = true.into();
        }
        assert_eq!(queue["SqsManagedSseEnabled"], own, "{name}");
    }
    assert_eq!(template()["Globals"]["Function"]["KmsKeyArn"], key, "the functions' environment variables");
}

/// A policy beside the roles would be attached while functions and event sources already use the key.
#[test]
fn every_role_may_use_the_key_by_itself_through_aws_services_only() {
    let resources = resources();
    assert!(
        !resources.values().any(|resource| resource["Type"] == "AWS::IAM::Policy"),
        "roles say all of it themselves"
    );
    for (name, function) in of_type(&resources, "AWS::Serverless::Function") {
        let own = statements_of(&resources, function);
        let use_key: Vec<_> = own.iter().filter(|statement| statement["Resource"] == "KmsKeyArn").collect();
        assert_eq!(use_key.len(), 1, "{name}");
        let services = &use_key[0]["Condition"]["StringEquals"]["kms:ViaService"];
        assert!(each(services).count() > 0, "{name}: the key cannot be used directly");
    }
    for (name, role) in resources.iter().filter(|(_, resource)| resource["Type"] == "AWS::IAM::Role") {
        if role["Properties"]["Policies"].is_null() {
            continue;
        }
        let all = role["Properties"]["Policies"].as_sequence().unwrap();
        let conditional = all.iter().flat_map(|policy| each(&policy["PolicyDocument"]["Statement"]));
        let conditions: Vec<_> =
            conditional.filter(|statement| statement[1]["Sid"] == "UseKmsKey").map(|s| &s[0]).collect();
        assert_eq!(conditions, ["HasKey"], "{name}");
        assert!(!statements(role).is_empty());
    }
}

#[test]
fn what_the_bus_cannot_encrypt_is_kept_under_another_key() {
    let resources = resources();
    for (name, bus) in of_type(&resources, "AWS::Events::EventBus") {
        assert_eq!(bus["DeadLetterConfig"][0], "HasKey", "{name}");
        assert_eq!(bus["DeadLetterConfig"][1]["Arn"], "BusDeadLetters.Arn", "{name}");
    }
    for (name, rule) in of_type(&resources, "AWS::Events::Rule") {
        for target in each(&rule["Targets"]) {
            assert_eq!(target["DeadLetterConfig"]["Arn"], "FeedbackRuleDeadLetters.Arn", "{name}");
        }
    }
    // Only EventBridge may send there.
    let policies = of_type(&resources, "AWS::SQS::QueuePolicy");
    for (queue, source) in OF_EVENT_BRIDGE.into_iter().zip(["FeedbackRule.Arn", "EventBus.Arn"]) {
        let policy = policies.iter().find(|(_, policy)| each(&policy["Queues"]).any(|named| named == queue)).unwrap().1;
        for statement in each(&policy["PolicyDocument"]["Statement"]) {
            assert_eq!(statement["Condition"]["ArnEquals"]["aws:SourceArn"], source, "{queue}");
        }
    }
}

#[test]
fn buckets_are_private_and_keep_nothing_for_ever() {
    let resources = resources();
    for (name, bucket) in of_type(&resources, "AWS::S3::Bucket") {
        let access = bucket["PublicAccessBlockConfiguration"].as_mapping().unwrap();
        assert!(access.len() == 4 && access.values().all(|blocked| blocked.as_bool() == Some(true)), "{name}");
        let rule = &bucket["LifecycleConfiguration"]["Rules"][0];
        assert_eq!((rule["Status"].as_str(), rule["ExpirationInDays"].as_u64()), (Some("Enabled"), Some(14)), "{name}");
        let policies = of_type(&resources, "AWS::S3::BucketPolicy");
        let policy = policies.iter().find(|(_, policy)| policy["Bucket"] == name).unwrap().1;
        for statement in each(&policy["PolicyDocument"]["Statement"]) {
            let is_denial = statement["Effect"] == "Deny" && statement["Principal"] == "*";
            let source = &statement["Condition"]["StringEquals"]["aws:SourceAccount"];
            assert!(is_denial || source == "AWS::AccountId", "{name}: only services of the account");
        }
    }
}
