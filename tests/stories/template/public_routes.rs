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
    let of_functions: Vec<_> = events(&resources, "Api")
        .into_iter()
        .filter(|(.., event)| event["Auth"]["Authorizer"] == "NONE")
        .map(|(_, _, event)| (event["Method"].as_str().unwrap(), event["Path"].as_str().unwrap()))
        .collect();
    for (method, path) in of_functions.into_iter().chain([("GET", "/health")]) {
        // CloudFormation escapes the slashes within a path as ~1.
        let path = path.strip_prefix('/').unwrap().replace('/', "~1");
        let own = limit_of(method, &format!("/~1{path}"));
        assert!(own.is_some_and(|own| own != default), "{method} {path}");
        public += 1;
    }
    assert_eq!(public, 3, "the unsubscribe page, its POST, and health");
}

/// A flood of health checks costs no invocations.
#[test]
fn health_is_answered_without_a_function() {
    let resources = resources();
    let api = of_type(&resources, "AWS::Serverless::Api")[0].1;
    // Otherwise SAM would leave out the routes of the functions' events.
    assert_eq!(api["MergeDefinitions"].as_bool(), Some(true));
    let paths = api["DefinitionBody"]["paths"].as_mapping().unwrap();
    assert_eq!(paths.keys().collect::<Vec<_>>(), ["/health"], "all others come from events");
    let integration = &paths["/health"]["get"]["x-amazon-apigateway-integration"];
    assert_eq!(integration["type"], "mock");
    let body = integration["responses"]["default"]["responseTemplates"]["application/json"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap(), serde_json::json!({"status": "ok"}));
    assert!(events(&resources, "Api").iter().all(|(.., event)| event["Path"] != "/health"));
}

/// The fields of API Gateway that hold an address, a token or a person's name stay out of the log.
#[test]
fn the_access_log_says_who_was_refused_without_names_addresses_and_tokens() {
    // API Gateway developer guide, "Variables for access logging". `userArn`, `caller` and `user` end in the name of a session,
    // and so does the message of an error.
    const LOGGED: [&str; 9] = [
        "requestId",
        "requestTimeEpoch",
        "httpMethod",
        "resourcePath",
        "status",
        "error.responseType",
        "identity.accountId",
        "identity.accessKey",
        "responseLatency",
    ];
    let resources = resources();
    let log = &of_type(&resources, "AWS::Serverless::Api")[0].1["AccessLogSetting"];
    assert_eq!((&log[0], &log[1]["DestinationArn"]), (&"HasApiAccessLog".into(), &"ApiLogs.Arn".into()));
    let format = log[1]["Format"].as_str().unwrap();
    let line: serde_json::Value = serde_json::from_str(format).unwrap();
    let mut fields: Vec<_> = line
        .as_object()
        .unwrap()
        .values()
        .filter_map(|value| value.as_str().unwrap().strip_prefix("$context."))
        .collect();
    fields.sort_unstable();
    let mut expected = LOGGED;
    expected.sort_unstable();
    assert_eq!(fields, expected);
    assert!(!resources["ApiLogs"]["Properties"]["RetentionInDays"].is_null());
    // What is counted in it is there.
    for (name, filter) in of_type(&resources, "AWS::Logs::MetricFilter") {
        let pattern = filter["FilterPattern"].as_str().unwrap();
        let counted = pattern.split("$.").skip(1).map(|rest| rest.split(' ').next().unwrap());
        for field in counted.chain(["stack"]) {
            assert!(!line[field].is_null(), "{name}: {field}");
        }
        assert!(pattern.contains(r#"$.route = "/unsubscribe/{token}""#), "{name}");
        assert_eq!(filter["MetricTransformations"][0]["Dimensions"][0]["Value"], "$.stack", "{name}");
    }
}

#[test]
fn the_web_acl_limits_each_address_on_routes_without_credentials_only() {
    let resources = resources();
    let acl = of_type(&resources, "AWS::WAFv2::WebACL")[0].1;
    assert_eq!(acl["Scope"], "REGIONAL");
    let [rule] = &acl["Rules"].as_sequence().unwrap()[..] else { panic!("one rule") };
    let rate = &rule["Statement"]["RateBasedStatement"];
    assert_eq!((&rate["AggregateKeyType"], &rate["Limit"]), (&"IP".into(), &"WebAclRequestsPer5Minutes".into()));
    let paths = each(&rate["ScopeDownStatement"]["OrStatement"]["Statements"]);
    let paths: Vec<_> =
        paths.map(|statement| statement["ByteMatchStatement"]["SearchString"].as_str().unwrap()).collect();
    assert_eq!(paths, ["/unsubscribe/", "/health"], "a load of customers comes from one address");
    assert_eq!(resources["WebAclAssociation"]["Condition"], "HasWebAcl");
}

#[test]
fn refusals_of_api_gateway_say_what_is_wrong_to_programs_and_to_readers() {
    let resources = resources();
    let responses = &of_type(&resources, "AWS::Serverless::Api")[0].1["GatewayResponses"];
    let refused = &responses["MISSING_AUTHENTICATION_TOKEN"];
    assert_eq!(refused["StatusCode"].as_u64(), Some(403));
    let detail = refused["ResponseTemplates"]["application/json"].as_str().unwrap();
    assert!(detail.contains("no signature") && detail.contains("no such route"), "{detail}");
    let throttled = &responses["THROTTLED"];
    assert_eq!(throttled["StatusCode"].as_u64(), Some(429));
    // A header would be that of both.
    assert!(throttled["ResponseParameters"]["Headers"]["Content-Type"].is_null());
    for form in ["text/html", "application/json"] {
        assert!(throttled["ResponseTemplates"][form].as_str().is_some(), "{form}");
    }
}
