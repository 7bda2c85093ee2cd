//! The events that other services subscribe to. The subscriber is the one in `docs/events`, deployed unchanged.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, ensure};
use aws_sdk_cloudformation::types::{Parameter, StackStatus};
use end_to_end::aws_proxy::{AwsCall, AwsProxy, ProxyAction};
use end_to_end::unsubscribe_page::{one_click, subscribe_again};
use end_to_end::{Bank, id_of, wait_for};
use serde_json::{Value, json};
use tokio::sync::Mutex;

/// One test at a time: some make the store or the bus fail.
static BUS: Mutex<()> = Mutex::const_new(());

fn documented(file: &str) -> String {
    std::fs::read_to_string(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/events")).join(file)).unwrap()
}

/// A deployed subscriber, and the events it received.
struct Subscriber<'a> {
    bank: &'a Bank,
    queue: String,
    heard: Vec<Value>,
}

impl<'a> Subscriber<'a> {
    async fn new(bank: &'a Bank) -> Self {
        let cloudformation = aws_sdk_cloudformation::Client::new(&bank.stack.sdk_config());
        let name = format!("subscriber-{}", bank.name);
        let bus = bank.aws().environment_of("push").await["EVENT_BUS"].clone();
        let parameter = Parameter::builder().parameter_key("EventBusName").parameter_value(bus).build();
        let create = cloudformation.create_stack().stack_name(&name).template_body(documented("subscriber.yaml"));
        create.parameters(parameter).send().await.unwrap();
        let queue = wait_for("the subscriber to be deployed", async || {
            let described = cloudformation.describe_stacks().stack_name(&name).send().await?;
            let stack = described.stacks().first().context("no stack")?;
            ensure!(stack.stack_status() == Some(&StackStatus::CreateComplete), "{:?}", stack.stack_status_reason());
            let output = stack.outputs().first().and_then(|output| output.output_value()).context("no output")?;
            Ok(output.to_owned())
        })
        .await;
        Self { bank, queue, heard: Vec::new() }
    }

    /// The events received about an offer, by kind, without duplicates.
    async fn events_of(&mut self, offer: &str) -> BTreeMap<String, Vec<Value>> {
        self.events_with("/offer/id", offer).await
    }

    /// The events received whose detail has this value, by kind, without duplicates. All received events are checked
    /// against their schemas.
    async fn events_with(&mut self, pointer: &str, value: &str) -> BTreeMap<String, Vec<Value>> {
        let sqs = aws_sdk_sqs::Client::new(&self.bank.stack.sdk_config());
        loop {
            let call = sqs.receive_message().queue_url(&self.queue).max_number_of_messages(10);
            let messages = call.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                break;
            }
            for message in messages {
                let event: Value = serde_json::from_str(message.body().unwrap()).unwrap();
                check(&event);
                self.heard.push(event);
                let handle = message.receipt_handle().unwrap();
                sqs.delete_message().queue_url(&self.queue).receipt_handle(handle).send().await.unwrap();
            }
        }
        // As the documentation asks of subscribers: an event that is delivered again has the same id.
        let mut by_kind = BTreeMap::<_, Vec<Value>>::new();
        let is_wanted = |event: &&Value| event["detail"].pointer(pointer).is_some_and(|found| found == value);
        for event in self.heard.iter().filter(is_wanted) {
            let heard = by_kind.entry(event["detail-type"].as_str().unwrap().to_owned()).or_default();
            if heard.iter().all(|earlier| earlier["id"] != event["detail"]["id"]) {
                heard.push(event["detail"].clone());
            }
        }
        by_kind
    }

    /// Waits until it has received this many kinds of events about an offer.
    async fn wait_for_events(&mut self, offer: &str, kinds: usize) -> BTreeMap<String, Vec<Value>> {
        wait_for("the subscriber to receive the events", async || {
            let heard = self.events_of(offer).await;
            ensure!(heard.len() >= kinds, "{:?}", heard.keys());
            Ok(heard)
        })
        .await
    }
}

/// Checks that an event is exactly as documented, without any field that is not in the schema.
fn check(event: &Value) {
    let kind = event["detail-type"].as_str().unwrap();
    assert_eq!(event["source"], "offercast");
    let mut schema = serde_json::from_str(&documented(&format!("{kind}.v1.json"))).unwrap();
    close(&mut schema);
    let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
    let faults: Vec<_> = validator.iter_errors(&event["detail"]).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{kind}: {faults:?} in {event}");
    assert!(!event.to_string().contains('@'), "no address: {event}");
}

fn close(schema: &mut Value) {
    if let Value::Object(object) = schema {
        if object.contains_key("properties") {
            object.insert("additionalProperties".to_owned(), false.into());
        }
        object.values_mut().for_each(close);
    }
}

fn once<'e>(heard: &'e BTreeMap<String, Vec<Value>>, kind: &str) -> &'e Value {
    let [event] = &heard[kind][..] else { panic!("once: {heard:?}") };
    event
}

#[tokio::test]
async fn events_report_offers_and_the_outcome_of_their_pushes() {
    let _guard = BUS.lock().await;
    let bank = Bank::open();
    let mut subscriber = Subscriber::new(&bank).await;
    bank.put_many(30).await;
    bank.put_customers(&[bank.customer("both", &json!({"channels": ["email", "sms"], "mobile": bank.mobile("both")}))])
        .await;

    let offer = bank.post_offer(&json!({"code": "EVENTS", "description": "Hello {{ customer.name }}"})).await;
    let push = bank.wait_until_completed(&offer).await;
    let heard = subscriber.wait_for_events(id_of(&offer), 2).await;
    let created = once(&heard, "offer.created");
    assert_eq!(created["offer"], offer, "as the API returns it");
    let completed = once(&heard, "push.completed");
    assert_eq!((&completed["offer"], &completed["push"]["number"]), (&offer, &json!(1)));
    for (name, count) in completed["push"]["counts"].as_object().unwrap() {
        assert_eq!(*count, push[name], "{name} in {push}");
    }
    assert_eq!(completed["push"]["counts"]["sent"], 32);

    // A second push publishes its own event, but not the offer's again.
    let again = bank.call("POST", &format!("/offers/{}/pushes", id_of(&offer)), &json!({})).await;
    assert_eq!(again.status, 202, "{}", again.text);
    bank.wait_until_push_completed(&offer, 2).await;
    let heard = wait_for("the second push's event", async || {
        let heard = subscriber.events_of(id_of(&offer)).await;
        ensure!(heard["push.completed"].len() == 2, "{heard:?}");
        Ok(heard)
    })
    .await;
    assert_eq!(heard["offer.created"].len(), 1);
    assert_eq!(heard["push.completed"][1]["push"]["counts"]["alreadyServed"], 32);

    // A push that is cancelled before its start, of an offer with all that an offer can have.
    let mut later = bank.whole_offer();
    later["validFrom"] = bank.in_seconds(3_000).into();
    later["eligibility"] = "".into();
    let later = bank.post_offer(&later).await;
    let cancelled = bank.call("POST", &format!("/offers/{}/pushes/1/cancel", id_of(&later)), &json!({})).await;
    assert_eq!(cancelled.status, 202, "{}", cancelled.text);
    let heard = subscriber.wait_for_events(id_of(&later), 2).await;
    assert_eq!(once(&heard, "offer.created")["offer"], later);
    let event = once(&heard, "push.cancelled");
    assert_eq!(event["push"]["cancelledBy"], cancelled.json()["cancelledBy"]);
    assert_eq!(event["push"]["counts"]["eligible"], 0);
    let ids: Vec<_> = subscriber.heard.iter().map(|event| event["detail"]["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&format!("{}/1/push.cancelled", id_of(&later)).as_str()), "{ids:?}");
}

#[tokio::test]
async fn pushes_continue_while_the_bus_is_down_and_events_follow_later() {
    let _guard = BUS.lock().await;
    let bank = Bank::open();
    let mut subscriber = Subscriber::new(&bank).await;
    bank.put_many(5).await;
    let (is_down, was_called) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
    let decide = {
        let (is_down, was_called) = (is_down.clone(), was_called.clone());
        move |_: &AwsCall<'_>| {
            was_called.store(true, Ordering::Relaxed);
            if is_down.load(Ordering::Relaxed) { ProxyAction::Throttle } else { ProxyAction::Pass }
        }
    };
    let bus = AwsProxy::start(&bank.stack.endpoint_url, decide).await;
    bank.aws().set_environment("push", "AWS_ENDPOINT_URL_EVENTBRIDGE", Some(&bus.url)).await;
    let offer = bank.post_offer(&json!({"code": "DOWN", "description": "Hello"})).await;
    assert_eq!(bank.wait_until_completed(&offer).await["sent"], 5);
    wait_for("the function to call the bus", async || {
        ensure!(was_called.load(Ordering::Relaxed));
        Ok(())
    })
    .await;
    assert!(subscriber.events_of(id_of(&offer)).await.is_empty());
    is_down.store(false, Ordering::Relaxed);
    // As the schedule does once the mark is old enough.
    bank.sweep(&offer).await;
    let heard = subscriber.wait_for_events(id_of(&offer), 2).await;
    assert_eq!(once(&heard, "push.completed")["push"]["counts"]["sent"], 5);
    once(&heard, "offer.created");
    assert_eq!(bank.sweep(&offer).await["published"], 0, "the mark is cleared");
    bank.aws().set_environment("push", "AWS_ENDPOINT_URL_EVENTBRIDGE", None).await;
}

#[tokio::test]
async fn events_report_what_customers_decide() {
    let _guard = BUS.lock().await;
    let bank = Bank::open();
    let mut subscriber = Subscriber::new(&bank).await;
    bank.put_customers(&[bank.customer("asha", &json!({})), bank.customer("ines", &json!({}))]).await;
    let offer = bank.post_offer(&json!({"code": "DECIDE", "description": "Hello"})).await;
    bank.wait_until_completed(&offer).await;
    let mail = bank.mail().await;
    let link_of = |who: &str| {
        let mail = mail.iter().find(|mail| mail.to == bank.address(who));
        mail.expect("the customer has mail").unsubscribe_link().to_owned()
    };
    let (asha, ines) = (link_of("asha"), link_of("ines"));
    for _ in 0..3 {
        assert_eq!(one_click(&asha).await.status(), 200);
    }
    assert_eq!(subscribe_again(&asha).await.status(), 200);
    // Of what comes later, the event shows that no other one of the first customer is still to come.
    assert_eq!(one_click(&ines).await.status(), 200);
    wait_for("the events about the customers", async || {
        let heard = subscriber.events_with("/customer/id", &bank.id("ines")).await;
        ensure!(heard.contains_key("customer.unsubscribed"), "{:?}", heard.keys());
        let heard = subscriber.events_with("/customer/id", &bank.id("asha")).await;
        ensure!(heard.contains_key("customer.resubscribed"), "{:?}", heard.keys());
        Ok(())
    })
    .await;
    let heard = subscriber.events_with("/customer/id", &bank.id("asha")).await;
    assert_eq!(heard.len(), 2, "{heard:?}");
    let (left, back) = (once(&heard, "customer.unsubscribed"), once(&heard, "customer.resubscribed"));
    for event in [left, back] {
        assert_eq!((&event["customer"], &event["channel"]), (&json!({"id": bank.id("asha")}), &json!("email")));
    }
    let at = |event: &Value| event["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    assert!(at(left) < at(back), "{heard:?}");

    // What the stream lost is published again from the table, with the same ids.
    let (since, until) = (at(left) - Duration::from_secs(60), at(back) + Duration::from_secs(60));
    subscriber.heard.clear();
    let call = json!({"publishEvents": {"since": since.to_string(), "until": until.to_string()}});
    assert_eq!(bank.invoke("feedback", &call).await.unwrap(), json!({"actedOn": true}));
    wait_for("the events to come again", async || {
        let again = subscriber.events_with("/customer/id", &bank.id("asha")).await;
        ensure!(again == heard, "{again:?}");
        Ok(())
    })
    .await;
}

mod enforced_roles {
    use super::*;

    #[tokio::test]
    async fn no_event_is_published_for_an_offer_that_was_not_stored() {
        let _guard = BUS.lock().await;
        let bank = Bank::open();
        let mut subscriber = Subscriber::new(&bank).await;
        let offer = json!({"code": bank.name, "description": "Hello", "eligibility": bank.rule("")});
        bank.aws().deny_writes("offer").await;
        let refused = bank.call("POST", "/offers", &offer).await;
        bank.aws().allow_writes("offer").await;
        assert_eq!(refused.status, 503, "{}", refused.text);

        // Events of the next stored offer arrive later than any event of the failed one would.
        let stored = bank.call("POST", "/offers", &offer).await;
        assert_eq!(stored.status, 201, "{}", stored.text);
        subscriber.wait_for_events(id_of(&stored.json()), 2).await;
        let own = |event: &&Value| event["detail"]["offer"]["code"] == bank.name.as_str();
        let heard: Vec<_> = subscriber.heard.iter().filter(own).collect();
        assert!(heard.iter().all(|event| event["detail"]["offer"]["id"] == stored.json()["id"]), "{heard:?}");
        assert_eq!(heard.iter().filter(|event| event["detail-type"] == "offer.created").count(), 1);
    }
}
