//! Routes without credentials are limited in rate and in what they can change.

use serde_yaml_ng::Value;

use super::{each, events, of_type, resources, statements_of};

#[test]
fn the_unsubscribe_page_can_change_opt_outs_only() {
    let resources = resources();
    let function = &resources["PreferencesFunction"]["Properties"];
    let statements = statements_of(&resources, function);
    let on_suppressions = statements.iter().filter(|statement| statement["Resource"] == "SuppressionsTable.Arn");
    let (reading, writing): (Vec<_>, Vec<_>) = on_suppressions
        .partition(|statement| each(&statement["Action"]).all(|action| action == "dynamodb:BatchGetItem"));
    let keys_of = |statements: &[&Value]| -> Vec<String> {
        let keys = statements.iter().flat_map(|statement| {
            let condition = &statement["Condition"];
            // The condition before would hold for a call without keys.
            assert_eq!(condition["Null"]["dynamodb:LeadingKeys"], "false");
            each(&condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"])
        });
        keys.map(|key| key.as_str().unwrap().to_owned()).collect()
    };
    // `customer#` is where earlier releases stored opt-outs.
    assert_eq!(keys_of(&writing), ["optOut#*", "customer#*", "event#*"]);
    assert_eq!(keys_of(&reading), ["optOut#*", "customer#*", "migration#*"]);
    // Events are put, and neither changed nor removed.
    let events = writing.iter().find(|statement| statement["Sid"] == "StoreEvents").unwrap();
    assert_eq!(events["Action"], "dynamodb:PutItem");
}

#[test]
fn routes_without_credentials_have_their_own_rate_limit() {
    let resources = resources();
    let limits = &of_type(&resources, "AWS::Serverless::Api")[0].1["MethodSettings"];
    let limits = limits.as_sequence().unwrap();
    let limit_of = |method: &str, path: &str| {
        let limit = limits.iter().find(|limit| limit["HttpMethod"] == method && limit["ResourcePath"] == path);
        limit.map(|limit| (limit["ThrottlingRateLimit"].clone(), limit["ThrottlingBurstLimit"].clone()))
    };
    let default = limit_of("*", "/*").unwrap();
    let mut public = 0;
    for (name, _, event) in events(&resources, "Api") {
        if event["Auth"]["Authorizer"] == "NONE" {
            // CloudFormation escapes the slashes within a path as ~1.
            let path = event["Path"].as_str().unwrap().strip_prefix('/').unwrap().replace('/', "~1");
            let own = limit_of(event["Method"].as_str().unwrap(), &format!("/~1{path}"));
            assert!(own.is_some_and(|own| own != default), "{name}: {path}");
            public += 1;
        }
    }
    assert_eq!(public, 3, "the unsubscribe page, its POST, and health");
}
