//! What is kept when the stack is deleted, and what a first deployment that fails leaves behind.

use serde_yaml_ng::Value;

use super::resources;

/// Types whose loss cannot be undone.
const PRECIOUS: [&str; 2] = ["AWS::DynamoDB::Table", "AWS::S3::Bucket"];

#[test]
fn data_and_keys_stay_when_the_stack_is_deleted_and_go_when_its_creation_fails() {
    let mut kept = 0;
    for (name, resource) in resources() {
        let is_generated = !resource["Properties"]["GenerateSecretString"].is_null();
        if PRECIOUS.iter().any(|kind| resource["Type"] == *kind) || is_generated {
            // With Retain, each first deployment that fails would leave empty tables and secrets behind.
            assert_eq!(resource["DeletionPolicy"], "RetainExceptOnCreate", "{name}");
            assert_eq!(resource["UpdateReplacePolicy"], "Retain", "{name}");
            kept += 1;
        }
    }
    assert_eq!(kept, 9, "six tables, a bucket, the key ring, the hash key");
}

/// CloudFormation generates another value when anything in the block changes, its template's text included: all links that
/// were mailed stop working, and no suppression is found.
#[test]
fn generated_keys_are_never_generated_again() {
    let resources = resources();
    for (name, pinned) in [
        (
            "UnsubscribeKeysSecret",
            r#"{SecretStringTemplate: '{"current": "k1"}', GenerateStringKey: k1, PasswordLength: 64, ExcludePunctuation: true}"#,
        ),
        ("HashKeySecret", "{PasswordLength: 64, ExcludePunctuation: true}"),
    ] {
        let pinned: Value = serde_yaml_ng::from_str(pinned).unwrap();
        assert_eq!(resources[name]["Properties"]["GenerateSecretString"], pinned, "{name}");
    }
}
