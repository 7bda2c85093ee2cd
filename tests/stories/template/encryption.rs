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
