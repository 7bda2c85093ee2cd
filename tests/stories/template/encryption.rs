//! Everything that is stored is encrypted, with the deployment's own KMS key if it has one.

use std::collections::BTreeSet;

use serde_yaml_ng::Value;

use super::{each, named, of_type, resources, template};

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
            assert_eq!(resource[property], key, "{name}");
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
        let own = Value::Sequence(vec!["HasKey".into(), "AWS::NoValue".into(), true.into()]);
        assert_eq!(queue["SqsManagedSseEnabled"], own, "{name}");
    }
    assert_eq!(template()["Globals"]["Function"]["KmsKeyArn"], key, "the functions' environment variables");
}

#[test]
fn every_role_may_use_the_key_through_aws_services_only() {
    let resources = resources();
    let policies = of_type(&resources, "AWS::IAM::Policy");
    assert_eq!(policies.len(), 1, "all other permissions are in the roles themselves");
    let (name, policy) = policies[0];
    assert_eq!(resources[name]["Condition"], "HasKey");
    let granted: BTreeSet<_> = each(&policy["Roles"]).map(named).collect();
    let roles: BTreeSet<_> = of_type(&resources, "AWS::IAM::Role").into_iter().map(|(role, _)| role).collect();
    assert_eq!(granted, roles);
    for statement in each(&policy["PolicyDocument"]["Statement"]) {
        assert_eq!(statement["Resource"], "KmsKeyArn");
        let services = &statement["Condition"]["StringEquals"]["kms:ViaService"];
        assert!(each(services).count() > 0, "the key cannot be used directly");
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
        let policy = policies.iter().find(|(_, policy)| named(&policy["Bucket"]) == name).unwrap().1;
        for statement in each(&policy["PolicyDocument"]["Statement"]) {
            let is_denial = statement["Effect"] == "Deny" && statement["Principal"] == "*";
            let source = &statement["Condition"]["StringEquals"]["aws:SourceAccount"];
            assert!(is_denial || source == "AWS::AccountId", "{name}: only services of the account");
        }
    }
}
