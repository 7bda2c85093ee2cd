//! Routes without credentials are limited in rate and in what they can change.

use std::collections::BTreeMap;

use super::{each, events, of_type, resources, statements_of};

#[test]
fn the_unsubscribe_page_can_change_opt_outs_only() {
    let resources = resources();
    let function = &resources["PreferencesFunction"]["Properties"];
    let statements = statements_of(&resources, function);
    let mut allowed = BTreeMap::new();
    for statement in statements.iter().filter(|statement| statement["Resource"] == "SuppressionsTable.Arn") {
        let keys: Vec<_> = each(&statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"])
            .map(|key| key.as_str().unwrap().to_owned())
            .collect();
        let actions = each(&statement["Action"]).map(|action| action.as_str().unwrap().to_owned());
        for action in actions {
            allowed.entry(action).or_insert_with(Vec::new).extend(keys.clone());
        }
    }
    let expected = [
        ("dynamodb:BatchGetItem", vec!["optOut#*", "customer#*", "migration#*"]),
        ("dynamodb:DeleteItem", vec!["optOut#*", "customer#*"]),
        ("dynamodb:GetItem", vec!["optOut#*", "customer#*", "migration#*"]),
        ("dynamodb:PutItem", vec!["optOut#*", "customer#*", "event#*"]),
        ("dynamodb:UpdateItem", vec!["optOut#*", "customer#*", "event#*"]),
    ];
    let expected = expected.map(|(action, keys)| (action.to_owned(), keys.into_iter().map(str::to_owned).collect()));
    assert_eq!(allowed, BTreeMap::from(expected), "no bounce or complaint");
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
