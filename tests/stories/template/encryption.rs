use std::collections::BTreeSet;

use serde_yaml_ng::Value;

use super::{each, named, of_type, resources, template};

/// What is `value` if there is a key of one's own, and AWS's own choice otherwise.
fn with_a_key(value: impl Into<Value>) -> Value {
    Value::Sequence(vec!["HasKey".into(), value.into(), "AWS::NoValue".into()])
}

#[test]
fn everything_that_is_kept_is_encrypted_with_the_key_of_ones_choice() {
    let resources = resources();
    let key = with_a_key("KmsKeyArn");
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
            panic!("{name} is encrypted on a condition");
        };
        assert!(condition == "HasKey" && without == "AWS::NoValue", "{name}");
        assert_eq!(with["KMSMasterKeyId"], "KmsKeyArn", "{name}");
        assert_eq!(with["SSEType"], "KMS", "{name}");
        assert_eq!(with["SSEEnabled"].as_bool(), Some(true), "{name}");
    }
    for (name, queue) in of_type(&resources, "AWS::SQS::Queue") {
        // SQS wants one of the two; without a key, its own.
        let own = Value::Sequence(vec!["HasKey".into(), "AWS::NoValue".into(), true.into()]);
        assert_eq!(queue["SqsManagedSseEnabled"], own, "{name}");
    }
    assert_eq!(template()["Globals"]["Function"]["KmsKeyArn"], key, "the functions' settings");
}

#[test]
fn every_role_may_use_the_key_through_the_services_that_hold_its_data() {
    let resources = resources();
    let policies = of_type(&resources, "AWS::IAM::Policy");
    assert_eq!(policies.len(), 1, "the roles' own statements say everything else");
    let (name, policy) = policies[0];
    assert_eq!(resources[name]["Condition"], "HasKey");
    let may: BTreeSet<_> = each(&policy["Roles"]).map(named).collect();
    let roles: BTreeSet<_> = of_type(&resources, "AWS::IAM::Role").into_iter().map(|(role, _)| role).collect();
    assert_eq!(may, roles);
    for statement in each(&policy["PolicyDocument"]["Statement"]) {
        assert_eq!(statement["Resource"], "KmsKeyArn");
        let services = &statement["Condition"]["StringEquals"]["kms:ViaService"];
        assert!(each(services).count() > 0, "nobody may use the key by itself");
    }
}
