//! The sample events: each way to call a function has one, and each gets the right response.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use end_to_end::container::Sam;
use end_to_end::{Bank, id_of, routes};
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// The ids in the samples.
const OFFER: &str = "01980000-0000-7000-8000-000000000001";
const CUSTOMER: &str = "sample-1";
const TOKEN: &str = "k1.sample.token";

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../events"))
}

/// One test at a time: the samples change the stack.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The samples, with the ids of this bank's offer and customer in place of their own.
struct Samples<'a> {
    bank: &'a Bank,
    /// Invokes functions in containers. Without it, the stack invokes them.
    sam: Option<&'a Sam<'a>>,
    offer: String,
    customer: String,
    token: String,
    /// The names of those that no function was invoked with yet.
    untried: Mutex<BTreeSet<String>>,
}

impl Samples<'_> {
    fn read(&self, name: &str) -> Value {
        let sample = fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        let sample = sample.replace(OFFER, &self.offer).replace(CUSTOMER, &self.customer).replace(TOKEN, &self.token);
        let sample = sample.replace("asha@example.com", &self.bank.address("asha"));
        let mut sample: Value =
            serde_json::from_str(&sample.replace("+351912345678", &self.bank.mobile("asha"))).unwrap();
        if ["offer-create", "offer-post"].contains(&name) {
            // For this bank's customers: other stories count their mail.
            let mut offer: Value = serde_json::from_str(sample["body"].as_str().unwrap()).unwrap();
            offer["eligibility"] = self.bank.rule(offer["eligibility"].as_str().unwrap_or_default()).into();
            sample["body"] = offer.to_string().into();
            // Another body with the same key would be refused.
            if let Some(key) = sample["headers"].get_mut("Idempotency-Key") {
                *key = self.bank.name.clone().into();
            }
        }
        sample
    }

    async fn invoke(&self, name: &str) -> Value {
        self.untried.lock().await.remove(name);
        let function = name.split('-').next().unwrap();
        let response = invoke(self.bank, self.sam, function, &self.read(name)).await;
        response.unwrap_or_else(|error| panic!("{name}: {error:#}"))
    }

    /// The status and the body of an HTTP response.
    async fn http(&self, name: &str) -> (u64, Value) {
        let response = self.invoke(name).await;
        let body = response["body"].as_str().unwrap_or_default();
        (response["statusCode"].as_u64().unwrap(), serde_json::from_str(body).unwrap_or_default())
    }

    /// The status and the reason of the customer's suppression. Read through the stack in any case, since that is
    /// quicker than a container.
    async fn suppression(&self) -> (u16, Value) {
        let path = format!("/suppressions/email/{}", self.bank.address("asha"));
        let response = self.bank.call("GET", &path, &Value::Null).await;
        (response.status, response.json()["reason"].clone())
    }
}

async fn invoke(bank: &Bank, sam: Option<&Sam<'_>>, function: &str, event: &Value) -> anyhow::Result<Value> {
    match sam {
        Some(sam) => sam.invoke(function, event).await,
        None => bank.invoke(function, event).await,
    }
}

#[tokio::test]
async fn every_sample_event_gets_the_right_response() {
    each_gets_the_right_response(&Bank::open(), None).await;
}

#[tokio::test]
async fn invalid_direct_invocation_names_every_fault() {
    each_fault_is_named(&Bank::open(), None).await;
}

/// The functions as the SAM CLI runs them.
mod in_a_container {
    use super::{Bank, Sam, each_fault_is_named, each_gets_the_right_response};

    #[tokio::test]
    async fn every_sample_event_gets_the_right_response() {
        let bank = Bank::open();
        let sam = Sam::start(&bank).await;
        each_fault_is_named(&bank, Some(&sam)).await;
        each_gets_the_right_response(&bank, Some(&sam)).await;
    }
}

async fn each_gets_the_right_response(bank: &Bank, sam: Option<&Sam<'_>>) {
    let _alone = ALONE.lock().await;
    bank.put_customers(&[bank.customer("other", &json!({}))]).await;
    let offer = bank.post_offer(&json!({"code": "SAMPLE", "description": "Get 5% cashback on 5000 spent"})).await;
    bank.wait_until_completed(&offer).await;
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let untried = files.map(|file| file.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let mut samples = Samples {
        bank,
        sam,
        offer: id_of(&offer).to_owned(),
        customer: bank.id("asha"),
        token: TOKEN.to_owned(),
        untried: Mutex::new(untried),
    };
    customers_and_offers(&samples, &offer).await;
    pushing_and_sending(&samples, &offer).await;
    consent_and_feedback(&mut samples).await;
    deleting_and_creating(&samples).await;
    let untried = samples.untried.into_inner();
    assert!(untried.is_empty(), "events without a test: {untried:?}");
}

async fn customers_and_offers(samples: &Samples<'_>, offer: &Value) {
    let (status, customer) = samples.http("customer-put").await;
    assert_eq!((status, &customer["id"]), (201, &json!(samples.bank.id("asha"))));
    let (status, many) = samples.http("customer-put-many").await;
    assert_eq!((status, &many["results"][1]["status"]), (200, &json!("stored")));
    let (status, customer) = samples.http("customer-read").await;
    assert_eq!((status, &customer["attributes"]["tier"]), (200, &json!("gold")));

    let (status, read) = samples.http("offer-read").await;
    assert_eq!((status, &read), (200, offer));
    let (status, preview) = samples.http("offer-preview").await;
    assert_eq!((status, &preview["audience"]["customers"]), (200, &json!(1)), "{preview}");
    assert!(preview["messages"]["email"]["text"].as_str().unwrap().starts_with("Get 5% cashback on 5000 spent, Asha"));
    let (status, list) = samples.http("offer-list").await;
    assert_eq!((status, list["offers"].as_array().unwrap().is_empty()), (200, false));
    let (status, push) = samples.http("offer-push").await;
    assert_eq!((status, &push["state"], &push["sent"]), (200, &json!("completed"), &json!(1)));
    let (status, pushes) = samples.http("offer-pushes").await;
    assert_eq!((status, pushes["pushes"].is_array()), (200, true));
    let (status, deliveries) = samples.http("offer-deliveries").await;
    assert_eq!((status, &deliveries["deliveries"][0]["customer"]), (200, &json!(samples.bank.id("other"))));
    let (status, deliveries) = samples.http("offer-customer-deliveries").await;
    assert_eq!((status, deliveries), (200, json!({"deliveries": [], "cursor": null})));
}

async fn pushing_and_sending(samples: &Samples<'_>, offer: &Value) {
    // The stream delivers the push request again: no customer gets a second message.
    assert_eq!(samples.invoke("push-stream").await, json!({"batchItemFailures": []}));
    assert!(samples.invoke("push-schedule").await["started"].is_u64());
    assert_eq!(samples.invoke("audience-slice").await, json!({"batchItemFailures": []}));
    // Nothing is sent for a push that is completed. The report of the batch completes it again.
    for (number, name) in [(0, "email-batch"), (1, "sms-batch")] {
        samples.bank.tables().await_batch(offer, number, 1).await;
        assert_eq!(samples.invoke(name).await, json!({"batchItemFailures": []}));
        samples.bank.wait_until_completed(offer).await;
    }
    let swept = samples.invoke("push-sweep").await;
    for left in ["started", "resumed", "anew", "closed"] {
        assert_eq!(swept[left], 0, "nothing was left unfinished: {swept}");
    }
    assert_eq!(samples.invoke("push-publish").await, json!({"batchItemFailures": []}));
    let (status, push) = samples.http("offer-push-again").await;
    assert_eq!((status, &push["number"]), (202, &json!(2)));
    // Either response is right: the push may have completed already.
    let (status, _) = samples.http("offer-cancel").await;
    assert!([202, 409].contains(&status));
    let sent = samples.invoke("email-direct").await;
    let mail = samples.bank.mail().await;
    let of = |who: &str| mail.iter().filter(|mail| mail.to == samples.bank.address(who)).collect::<Vec<_>>();
    assert_eq!(of("other").len(), 1, "served once, by the push itself");
    let asha = of("asha");
    assert_eq!(asha.len(), 3, "one from the preview, one from the batch, one directly");
    assert_eq!(sent["messageId"], asha[2].header("Message-ID"));
    assert_eq!(asha[2].header("Reply-To"), "service@bank.example");
    assert!(asha[2].html.contains("<p>Get 5% cashback on 5000 spent</p></html>"), "{}", asha[2].html);

    let sent = samples.invoke("sms-direct").await;
    let texts = &samples.bank.texts(&["asha"]).await["asha"];
    assert_eq!(texts.len(), 2, "one from the batch, one directly");
    assert!(texts[0].message.ends_with("Get 5% cashback on 5000 spent\nReply STOP to opt out"));
    assert_eq!(texts[1].message, "Save Cash On Transactions: get 5% cashback on 5000 spent");
    assert!(sent["messageId"].is_string());
}

async fn consent_and_feedback(samples: &mut Samples<'_>) {
    let mail = samples.bank.mail().await;
    let mail = mail.iter().filter(|mail| mail.to == samples.bank.address("asha")).nth(1).unwrap();
    // The link of the customer's mail. The sample's own token has no valid signature.
    let link = mail.unsubscribe_link();
    let token = link.rsplit('/').next().unwrap();
    assert_eq!(samples.invoke("preferences-page").await["statusCode"], 404);
    samples.token = token.to_owned();
    let page = samples.invoke("preferences-page").await;
    assert_eq!((&page["statusCode"], page["body"].as_str().unwrap().contains("Unsubscribe")), (&json!(200), true));
    let behind_base_path = samples.invoke("preferences-page-base-path").await;
    assert_eq!(behind_base_path["statusCode"], 200, "https://www.bank.example/offers is mapped to the stage");
    assert_eq!(samples.suppression().await.0, 404, "a GET changes nothing");
    assert_eq!(samples.invoke("preferences-unsubscribe").await["statusCode"], 200);
    let (status, read) = samples.http("customer-suppression-read").await;
    assert_eq!((status, &read["reason"]), (200, &json!("optedOut")));
    // Feedback from SES.
    assert_eq!(samples.invoke("feedback-bounce-transient").await, json!({"actedOn": true}));
    assert_eq!(samples.suppression().await.1, "optedOut", "a full mailbox is no reason");
    assert_eq!(samples.invoke("feedback-bounce").await, json!({"actedOn": true}));
    assert_eq!(samples.suppression().await.1, "bounced");
    assert_eq!(samples.invoke("feedback-complaint").await, json!({"actedOn": true}));
    assert_eq!(samples.invoke("feedback-queue").await, json!({"batchItemFailures": []}));
    assert_eq!(samples.suppression().await.1, "complained");
    // Mail to the return path. The samples have no tag, so nothing follows from them.
    assert_eq!(samples.invoke("feedback-returned-mail").await, json!({"batchItemFailures": []}));
    assert_eq!(samples.invoke("feedback-inbound").await, json!({"actedOn": false}));
    // Events about customers, from the table's stream; and those that the stream lost. None is of that time.
    assert_eq!(samples.invoke("feedback-customer-event").await, json!({"batchItemFailures": []}));
    assert_eq!(samples.invoke("feedback-events-given-up").await, json!({"actedOn": false}));
    assert_eq!(samples.invoke("feedback-publish-events").await, json!({"actedOn": false}));
    // How far it is depends on how long the stack has been there.
    assert!(samples.invoke("feedback-migrate").await["migration"].is_string());
    let (status, lifted) = samples.http("customer-suppressions-lift").await;
    assert_eq!((status, &lifted["dryRun"]), (200, &json!(true)), "{lifted}");
    // SNS's delivery log of a text.
    assert_eq!(samples.invoke("feedback-sms-log").await, json!({"suppressed": 1}));
    assert_eq!(samples.bank.get("/suppressions/sms/%2B15550100999").await["reason"], "optedOut");
    let refused = samples.bank.invoke("email", &samples.read("email-direct")).await.unwrap_err().to_string();
    assert!(refused.contains("suppressed (complained)"), "{refused}");
    assert_eq!(samples.http("customer-suppression-lift").await.0, 204);
    assert_eq!(samples.suppression().await.0, 404);
}

async fn deleting_and_creating(samples: &Samples<'_>) {
    let (status, _) = samples.http("customer-delete").await;
    assert_eq!(status, 204);
    for name in ["offer-create", "offer-post"] {
        let (status, created) = samples.http(name).await;
        assert_eq!((status, &created["createdBy"]), (201, &json!("arn:aws:iam::123456789012:user/bank")), "{name}");
        samples.bank.wait_until_completed(&created).await;
    }
}

async fn each_fault_is_named(bank: &Bank, sam: Option<&Sam<'_>>) {
    let bad = json!({"recipient": "x", "subject": "S"});
    let error = invoke(bank, sam, "email", &bad).await.unwrap_err().to_string();
    for field in ["recipient", "emailFromAddress", "emailReplyToAddress", "content"] {
        assert!(error.contains(field), "{error}");
    }
}

/// Each route that a function serves has a sample.
#[test]
fn every_route_has_a_sample_event() {
    // API Gateway answers `/health` itself.
    let routes = routes().into_iter().filter(|route| route.path != "/health");
    let routes: BTreeSet<_> = routes.map(|route| (route.method, route.path)).collect();
    let sampled: BTreeSet<(String, String)> = fs::read_dir(folder())
        .unwrap()
        .filter_map(|entry| {
            let sample: Value = serde_json::from_slice(&fs::read(entry.unwrap().path()).unwrap()).unwrap();
            Some((sample["httpMethod"].as_str()?.to_owned(), sample["resource"].as_str()?.replace("+}", "}")))
        })
        .collect();
    assert!(routes.len() >= 12, "{routes:?}");
    assert_eq!(routes, sampled);
}
