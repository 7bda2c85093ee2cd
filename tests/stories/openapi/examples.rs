//! Each request and each response of the description has an example: one that its schema allows, and that the API accepts.

use end_to_end::{Bank, id_of};
use serde_json::{Value, json};

use super::{Description, METHODS};

/// What a request or a response carries: where it is in the description, and its media type's entry.
type Content<'d> = (String, &'d Value);

impl Description {
    /// The JSON that requests, responses and shared responses carry.
    fn contents(&self) -> Vec<Content<'_>> {
        let mut carriers = Vec::new();
        for (path, operations) in self.0["paths"].as_object().unwrap() {
            for method in METHODS.into_iter().filter(|method| operations[method].is_object()) {
                carriers.push((format!("{method} {path}"), &operations[method]["requestBody"]));
                for (status, response) in operations[method]["responses"].as_object().unwrap() {
                    carriers.push((format!("{method} {path}: {status}"), response));
                }
            }
        }
        for (name, response) in self.0["components"]["responses"].as_object().unwrap() {
            carriers.push((name.clone(), response));
        }
        let mut contents = Vec::new();
        for (place, carrier) in carriers {
            for (media_type, content) in carrier["content"].as_object().into_iter().flatten() {
                if media_type.ends_with("json") {
                    contents.push((format!("{place} ({media_type})"), content));
                }
            }
        }
        contents
    }

    /// The values of the examples of some content.
    fn examples<'d>(&'d self, content: &'d Value) -> Vec<&'d Value> {
        let examples = content["examples"].as_object().into_iter().flatten();
        examples.map(|(_, example)| &self.resolved(example)["value"]).collect()
    }

    /// The example of what an operation is sent.
    fn request(&self, method: &str, path: &str) -> Value {
        let content = &self.0["paths"][path][method.to_lowercase()]["requestBody"]["content"]["application/json"];
        (*self.examples(content).first().unwrap_or_else(|| panic!("{method} {path} has no example"))).clone()
    }
}

#[test]
fn each_request_and_response_has_an_example_that_its_schema_allows() {
    let description = Description::read();
    let contents = description.contents();
    assert!(contents.len() > 25, "{contents:?}");
    for (place, content) in contents {
        let examples = description.examples(content);
        assert!(!examples.is_empty(), "{place} has no example");
        for example in examples {
            description.check_value(content, example, &place);
        }
    }
}

/// As they are, except that customers and offers belong to this story: others count their own.
#[tokio::test]
async fn the_api_accepts_the_request_of_each_example() {
    let bank = Bank::open();
    let description = Description::read();
    let own_offer = |method: &str, path: &str| {
        let mut offer = description.request(method, path);
        offer["eligibility"] = bank.rule(offer["eligibility"].as_str().unwrap()).into();
        offer
    };
    let own_customer = |mut customer: Value| {
        customer["attributes"]["bank"] = bank.name.as_str().into();
        customer
    };
    let call = async |method: &str, path: &str, at: &str, body: &Value, status: u16| {
        let response = bank.call(method, at, body).await;
        assert_eq!(response.status, status, "{method} {path}: {}", response.text);
        description.check(method, path, &response);
        response.json()
    };
    let asha = own_customer(description.request("PUT", "/customers/{id}"));
    call("PUT", "/customers/{id}", &format!("/customers/{}", bank.id("asha-1")), &asha, 201).await;
    let Value::Array(many) = description.request("POST", "/customers") else { panic!("it is a list") };
    let many = many.into_iter().map(|mut customer| {
        customer["id"] = bank.id(customer["id"].as_str().unwrap()).into();
        own_customer(customer)
    });
    let stored = call("POST", "/customers", "/customers", &many.collect(), 200).await;
    assert!(stored["results"].as_array().unwrap().iter().all(|result| result["status"] == "stored"), "{stored}");

    let preview = own_offer("POST", "/offers/preview");
    let preview = call("POST", "/offers/preview", "/offers/preview", &preview, 200).await;
    assert!(preview["tests"][0]["messageId"].is_string(), "{}", preview["tests"]);
    call("POST", "/offer/create", "/offer/create", &own_offer("POST", "/offer/create"), 201).await;
    let posted = call("POST", "/offers", "/offers", &own_offer("POST", "/offers"), 201).await;
    bank.wait_until_completed(&posted).await;
    let again = description.request("POST", "/offers/{id}/pushes");
    let path = format!("/offers/{}/pushes", id_of(&posted));
    call("POST", "/offers/{id}/pushes", &path, &again, 202).await;
    bank.wait_until_push_completed(&posted, 2).await;
    let lift = description.request("POST", "/suppressions/lift");
    assert_eq!(lift["dryRun"], json!(true), "else it would lift those of other stories");
    call("POST", "/suppressions/lift", "/suppressions/lift", &lift, 200).await;
}
