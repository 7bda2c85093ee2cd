//! `docs/openapi.yaml` describes the API exactly.

mod examples;

use std::collections::BTreeSet;

use client::Response;
use end_to_end::{Bank, Route, id_of, in_repository, routes};
use serde_json::{Value, json};

const METHODS: [&str; 4] = ["get", "post", "put", "delete"];

struct Description(Value);

impl Description {
    fn read() -> Self {
        Self(serde_yaml_ng::from_str(&in_repository("docs/openapi.yaml")).unwrap())
    }

    /// Follows a reference within the description.
    fn resolved<'d>(&'d self, value: &'d Value) -> &'d Value {
        match value["$ref"].as_str() {
            Some(reference) => self.0.pointer(reference.strip_prefix('#').unwrap()).unwrap(),
            None => value,
        }
    }

    /// Checks a response against its description.
    fn check(&self, method: &str, path: &str, response: &Response) {
        let what = format!("{method} {path}: {} {}", response.status, response.text);
        let responses = &self.0["paths"][path][method.to_lowercase()]["responses"];
        assert!(responses.is_object(), "not described: {what}");
        let described = self.resolved(&responses[response.status.to_string()]);
        assert!(described.is_object(), "not described: {what}");
        for (name, header) in described["headers"].as_object().into_iter().flatten() {
            assert!(
                header["required"] != true || response.headers.contains_key(&name.to_lowercase()),
                "{name}: {what}"
            );
        }
        let Some(content) = described["content"].as_object() else {
            assert_eq!(response.text, "", "{what}");
            return;
        };
        let content_type = response.headers["content-type"].split(';').next().unwrap();
        let content = content.get(content_type).unwrap_or_else(|| panic!("{content_type}: {what}"));
        if content_type.ends_with("json") {
            self.check_value(content, &response.json(), &what);
        }
    }

    /// Checks a value against the schema of some content.
    fn check_value(&self, content: &Value, value: &Value, what: &str) {
        let mut schema = content["schema"].clone();
        schema["components"] = self.0["components"].clone();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        let faults: Vec<_> = validator.iter_errors(value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?} in {what}");
    }
}

#[test]
fn openapi_describes_exactly_the_routes() {
    let description = Description::read();
    let mut described = BTreeSet::new();
    for (path, operations) in description.0["paths"].as_object().unwrap() {
        for method in METHODS.into_iter().filter(|method| operations[method].is_object()) {
            let is_open = operations[method]["security"] == json!([]);
            described.insert(Route { path: path.clone(), method: method.to_uppercase(), is_open });
        }
    }
    assert_eq!(described, routes());
}

#[tokio::test]
async fn an_offer_is_returned_with_all_that_was_posted() {
    let bank = Bank::open();
    let offer = bank.whole_offer();
    let described = &Description::read().0["components"]["schemas"]["OfferFields"]["properties"];
    let names = |fields: &Value| fields.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&offer), names(described), "all that an offer can have");
    let posted = bank.call("POST", "/offers", &offer).await.json();
    let read = bank.get(&format!("/offers/{}", id_of(&posted))).await;
    for (name, value) in offer.as_object().unwrap() {
        // Times are returned in UTC, with milliseconds.
        let is_time = ["validFrom", "validUntil"].contains(&name.as_str());
        let is_it = |returned: &Value| returned == value || (is_time && returned.is_string());
        assert!(is_it(&posted[name]) && is_it(&read[name]), "{name} is not returned: {read}");
    }
}

#[tokio::test]
async fn responses_match_openapi() {
    let bank = Bank::open();
    let description = Description::read();
    // Calls a route with these values for its variables, and checks the response.
    let call = async |method: &str, path: &str, values: &[&str], query: &str, body: &Value| {
        let mut at = path.to_owned();
        for value in values {
            let (before, rest) = at.split_once('{').unwrap();
            at = format!("{before}{value}{}", rest.split_once('}').unwrap().1);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = bank.call_with(method, &format!("{at}{query}"), &[], body.as_bytes()).await;
        description.check(method, path, &response);
        response
    };
    let none = &Value::Null;
    let asha = bank.customer("asha", &json!({"mobile": bank.mobile("asha"), "channels": ["email", "sms"]}));
    let id = bank.id("asha");
    let mut without_id = asha.clone();
    without_id.as_object_mut().unwrap().remove("id");
    for (body, status) in [(&without_id, 201), (&without_id, 200), (&json!({"name": 7}), 400)] {
        assert_eq!(call("PUT", "/customers/{id}", &[&id], "", body).await.status, status);
    }
    let many = json!([asha, {"id": bank.id("ines"), "name": "Inês", "channels": []}, {"name": "nobody"}]);
    assert_eq!(call("POST", "/customers", &[], "", &many).await.status, 200);
    assert_eq!(call("GET", "/customers/{id}", &[&id], "", none).await.status, 200);
    assert_eq!(call("GET", "/customers/{id}", &["nobody"], "", none).await.status, 404);

    let offer = bank.whole_offer();
    let mut tested = offer.clone();
    tested["testRecipients"] = json!([bank.address("tester"), "nonsense@"]);
    assert_eq!(call("POST", "/offers/preview", &[], "", &tested).await.status, 400);
    tested["testRecipients"] = json!([bank.address("tester")]);
    assert_eq!(call("POST", "/offers/preview", &[], "", &tested).await.status, 200);
    assert_eq!(call("POST", "/offer/create", &[], "", &json!({"code": "NO TEXT"})).await.status, 400);
    assert_eq!(call("POST", "/offer/create", &[], "", &offer).await.status, 201);
    let posted = call("POST", "/offers", &[], "", &offer).await.json();
    let offer = id_of(&posted);
    bank.wait_until_completed(&posted).await;
    for (query, status) in [("?limit=2", 200), ("?limit=none", 400)] {
        assert_eq!(call("GET", "/offers", &[], query, none).await.status, status);
    }
    assert_eq!(call("GET", "/offers/{id}", &[offer], "", none).await.status, 200);
    assert_eq!(call("GET", "/offers/{id}/deliveries", &[offer], "?state=sent", none).await.status, 200);
    assert_eq!(call("GET", "/customers/{id}/deliveries", &[&id], "?limit=1", none).await.status, 200);
    assert_eq!(call("GET", "/offers/{id}/pushes/{number}", &[offer, "1"], "", none).await.status, 200);
    assert_eq!(call("GET", "/offers/{id}/pushes/{number}", &[offer, "9"], "", none).await.status, 404);
    assert_eq!(call("POST", "/offers/{id}/pushes", &[offer], "", &json!({"retryRejected": true})).await.status, 202);
    bank.wait_until_push_completed(&posted, 2).await;
    assert_eq!(call("POST", "/offers/{id}/pushes/{number}/cancel", &[offer, "2"], "", none).await.status, 409);
    let later = json!({"code": "LATER", "description": "Hello", "validFrom": bank.in_seconds(600)});
    let later = bank.post_offer(&later).await;
    end_to_end::wait_for("the scheduled push to be listed", async || {
        let listed = call("GET", "/pushes", &[], "?state=open", none).await.json();
        let pushes = listed["pushes"].as_array().unwrap();
        anyhow::ensure!(pushes.iter().any(|push| push["offer"] == later["id"]), "{listed}");
        Ok(())
    })
    .await;
    let cancel = "/offers/{id}/pushes/{number}/cancel";
    assert_eq!(call("POST", cancel, &[id_of(&later), "1"], "", none).await.status, 202);

    let suppression = "/suppressions/{channel}/{address}";
    assert_eq!(call("GET", suppression, &["email", &bank.address("asha")], "", none).await.status, 404);
    assert_eq!(call("GET", suppression, &["fax", "1"], "", none).await.status, 400);
    let mail = bank.mail().await;
    let link = mail.iter().find(|mail| mail.to == bank.address("asha")).unwrap().unsubscribe_link();
    let token = link.rsplit('/').next().unwrap();
    for (method, token, status) in [("GET", token, 200), ("POST", token, 200), ("GET", "forged", 404)] {
        assert_eq!(call(method, "/unsubscribe/{token}", &[token], "", none).await.status, status);
    }
    end_to_end::wait_for("the suppression to be found by its address", async || {
        let response = call("GET", suppression, &["email", &bank.address("asha")], "", none).await;
        anyhow::ensure!(response.status == 200, "{}", response.text);
        Ok(())
    })
    .await;
    assert_eq!(call("DELETE", suppression, &["email", &bank.address("asha")], "", none).await.status, 204);
    let lift = json!({"reason": "bounced", "channel": "email", "since": "2026-01-01T00:00:00Z", "dryRun": true});
    assert_eq!(call("POST", "/suppressions/lift", &[], "", &lift).await.status, 200);
    assert_eq!(call("POST", "/suppressions/lift", &[], "", &json!({"reason": "optedOut"})).await.status, 400);
    assert_eq!(call("DELETE", "/customers/{id}", &[&id], "", none).await.status, 204);
}

#[tokio::test]
async fn health_matches_openapi() {
    let health = Bank::open().call_with("GET", "/health", &[], b"").await;
    assert_eq!(health.status, 200);
    Description::read().check("GET", "/health", &health);
}
