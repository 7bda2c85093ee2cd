//! Who must not be sent anything.

use std::time::Duration;

use domain::unsubscribe::Subscription;
use domain::{Channel, CustomerHash};
use jiff::Timestamp;
use serde_json::{Value, json};
use store::suppressions::{Notified, OptOut, Reason, Report, Suppression};
use testing::{Fault, address_hash, customer_hash, hash_key};

use crate::world::{World, address, customer, offer_id, recipient, report};

const EMAIL: Channel = Channel::Email;
const ASHA: &str = "asha@example.com";

/// The link of a message to a customer at an address.
fn link(id: &str, at: &str) -> Subscription {
    Subscription { customer: customer(id), channel: EMAIL, address: address(at) }
}

async fn opt_out(world: &World, id: &str, address: &str) {
    world.suppressions().opt_out(&link(id, address), &hash_key(), world.now()).await.unwrap();
}

async fn opt_in(world: &World, id: &str, address: &str) -> bool {
    world.suppressions().opt_in(&link(id, address), &hash_key(), world.now()).await.unwrap()
}

async fn suppress(world: &World, reason: Reason, at: Timestamp) {
    world.suppressions().suppress(&report(&address(ASHA), at, "ses"), reason).await.unwrap();
}

async fn reason(world: &World, id: &str, address: &str) -> Option<Reason> {
    world.suppressions().lookup(&[recipient(id, address)]).await.unwrap()[0]
}

async fn for_address(world: &World, address: &str, holders: &[CustomerHash]) -> Option<Suppression> {
    world.suppressions().for_address(&address_hash(EMAIL, address), holders).await.unwrap()
}

fn events(world: &World) -> Vec<Value> {
    let items = world.dynamo.items("Suppressions").into_iter();
    items.filter(|item| item["pk"].as_str().unwrap().starts_with("event#")).collect()
}

#[tokio::test(start_paused = true)]
async fn an_opt_out_holds_for_everyone_at_the_address_and_for_the_customer_anywhere() {
    let world = World::new();
    opt_out(&world, "c-1", ASHA).await;
    for (id, address, expected) in [
        ("c-1", ASHA, Some(Reason::OptedOut)),
        ("c-1", "Asha@EXAMPLE.com", Some(Reason::OptedOut)),
        // The same customer at another address.
        ("c-1", "new@example.com", Some(Reason::OptedOut)),
        // The same address of another customer, or of the same one under another id.
        ("crm-77", ASHA, Some(Reason::OptedOut)),
        ("crm-77", "new@example.com", None),
    ] {
        assert_eq!(reason(&world, id, address).await, expected, "{id} at {address}");
        let stored = for_address(&world, address, &[customer_hash(EMAIL, id)]).await;
        assert_eq!(stored.map(|stored| stored.reason), expected, "{id} at {address}");
    }
    let by_text = store::suppressions::Recipient {
        customer: customer_hash(Channel::Sms, "c-1"),
        address: address_hash(Channel::Sms, ASHA),
    };
    assert_eq!(world.suppressions().lookup(&[by_text]).await.unwrap(), [None], "on the other channel");
}

#[tokio::test(start_paused = true)]
async fn an_opt_out_keeps_its_date_and_ends_when_the_customer_subscribes_again() {
    let world = World::new();
    let since = world.now();
    opt_out(&world, "c-1", ASHA).await;
    world.clock.skip(Duration::from_secs(60));
    opt_out(&world, "c-1", ASHA).await;
    let opted_out = world.suppressions().opted_out(&link("c-1", ASHA), &hash_key()).await.unwrap();
    assert_eq!(opted_out, Some(OptOut { since, may_be_undone: true }));
    assert!(opt_in(&world, "c-1", ASHA).await);
    assert_eq!(reason(&world, "c-1", ASHA).await, None);
    assert_eq!(world.suppressions().opted_out(&link("c-1", ASHA), &hash_key()).await.unwrap(), None);
    assert!(opt_in(&world, "c-1", ASHA).await, "repeated");
    let kinds: Vec<_> = events(&world).into_iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds.len(), 2, "repeating announces nothing: {kinds:?}");
}

#[tokio::test(start_paused = true)]
async fn the_mailbox_that_a_customer_had_before_cannot_subscribe_them_again() {
    let world = World::new();
    opt_out(&world, "c-1", "new@example.com").await;
    let old = link("c-1", ASHA);
    let opted_out = world.suppressions().opted_out(&old, &hash_key()).await.unwrap().unwrap();
    assert!(!opted_out.may_be_undone);
    assert!(!opt_in(&world, "c-1", ASHA).await);
    assert_eq!(reason(&world, "c-1", "new@example.com").await, Some(Reason::OptedOut));
    // It can end the subscription of its own address.
    opt_out(&world, "c-1", ASHA).await;
    assert_eq!(reason(&world, "c-2", ASHA).await, Some(Reason::OptedOut));
}

#[tokio::test(start_paused = true)]
async fn another_customer_at_the_address_who_subscribes_again_is_subscribed() {
    let world = World::new();
    opt_out(&world, "c-1", ASHA).await;
    assert!(opt_in(&world, "c-2", ASHA).await);
    assert_eq!(reason(&world, "c-2", ASHA).await, None);
    assert_eq!(reason(&world, "c-1", ASHA).await, Some(Reason::OptedOut));
}

#[tokio::test(start_paused = true)]
async fn two_clicks_at_the_same_time_are_one_opt_out() {
    let world = World::new();
    world.dynamo.set_latency(Duration::from_millis(5));
    tokio::join!(opt_out(&world, "c-1", ASHA), opt_out(&world, "c-1", ASHA), opt_out(&world, "c-2", ASHA));
    assert_eq!(reason(&world, "c-1", ASHA).await, Some(Reason::OptedOut));
    assert_eq!(events(&world).len(), 2, "one of each customer");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_stored_in_clear_or_with_a_hash_that_can_be_searched() {
    let world = World::new();
    opt_out(&world, "c-1", ASHA).await;
    suppress(&world, Reason::Bounced, world.now()).await;
    let items: Vec<_> =
        world.dynamo.items("Suppressions").into_iter().filter(|item| item.get("kind").is_none()).collect();
    let stored = json!(items).to_string();
    assert_eq!(items.len(), 3, "{stored}");
    assert!(!stored.contains("asha") && !stored.contains("c-1"), "{stored}");
    assert!(!stored.contains(&address(ASHA).unkeyed().unwrap()), "{stored}");
    assert!(!stored.contains(&customer_hash(EMAIL, "c-1").unkeyed().unwrap()), "{stored}");
}

#[tokio::test(start_paused = true)]
async fn a_report_holds_for_everyone_who_has_the_address() {
    let world = World::new();
    suppress(&world, Reason::Bounced, world.now()).await;
    assert_eq!(reason(&world, "c-1", ASHA).await, Some(Reason::Bounced));
    assert_eq!(reason(&world, "c-2", ASHA).await, Some(Reason::Bounced));
    assert_eq!(reason(&world, "c-1", "corrected@example.com").await, None, "the address was wrong, not the customer");
}

#[tokio::test(start_paused = true)]
async fn a_complaint_is_the_customers_opt_out_as_well() {
    let world = World::new();
    let notified =
        Notified { offer: offer_id(), customer: customer("c-1"), channel: EMAIL, hash: customer_hash(EMAIL, "c-1") };
    for (kind, reason_of_report) in [("customer.bounced", Reason::Bounced), ("customer.complained", Reason::Complained)]
    {
        let hash = address(ASHA);
        let complaint = Report { notified: Some(&notified), ..report(&hash, world.now(), "ses") };
        for _again in 0..2 {
            world.suppressions().suppress(&complaint, reason_of_report).await.unwrap();
        }
        let event = events(&world).into_iter().find(|event| event["kind"] == kind).unwrap();
        assert_eq!((&event["customer"], &event["offer"]), (&json!("c-1"), &json!(offer_id().to_string())));
    }
    assert_eq!(events(&world).len(), 2);
    assert_eq!(reason(&world, "c-1", ASHA).await, Some(Reason::Complained));
    assert_eq!(reason(&world, "c-1", "new@example.com").await, Some(Reason::OptedOut));
    assert_eq!(reason(&world, "c-2", "new@example.com").await, None);
}

/// A complaint about a message to this customer at Asha's address.
async fn complain(world: &World, id: &str, at: Timestamp) {
    let (hash, channel) = (customer_hash(EMAIL, id), EMAIL);
    let notified = Notified { offer: offer_id(), customer: customer(id), channel, hash };
    let address = address(ASHA);
    let complaint = Report { notified: Some(&notified), ..report(&address, at, "ses") };
    world.suppressions().suppress(&complaint, Reason::Complained).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn each_customer_at_an_address_who_complains_is_opted_out() {
    let world = World::new();
    suppress(&world, Reason::Complained, world.now()).await;
    for id in ["c-1", "c-2"] {
        world.clock.skip(Duration::from_secs(60));
        complain(&world, id, world.now()).await;
        complain(&world, id, world.now()).await;
        assert_eq!(reason(&world, id, "new@example.com").await, Some(Reason::OptedOut), "{id}");
    }
    assert_eq!(events(&world).len(), 2, "one of each");
}

#[tokio::test(start_paused = true)]
async fn a_complaint_that_is_reported_again_undoes_neither_a_subscription_nor_a_lift() {
    let world = World::new();
    let at = world.now();
    complain(&world, "c-1", at).await;
    world.clock.skip(Duration::from_secs(60));
    assert!(opt_in(&world, "c-1", ASHA).await);
    complain(&world, "c-1", at).await;
    assert_eq!(reason(&world, "c-1", "new@example.com").await, None, "subscribed since");
    world.clock.skip(Duration::from_secs(60));
    complain(&world, "c-1", world.now()).await;
    assert_eq!(reason(&world, "c-1", "new@example.com").await, Some(Reason::OptedOut), "another complaint");
    world.clock.skip(Duration::from_secs(60));
    world.suppressions().lift(&address(ASHA), &[], &hash_key(), "operator").await.unwrap();
    complain(&world, "c-1", at).await;
    assert_eq!(reason(&world, "c-1", ASHA).await, None, "lifted since");
}

#[tokio::test(start_paused = true)]
async fn a_customer_who_opts_out_during_a_lift_stays_opted_out() {
    for delay in (5..100).step_by(5) {
        let world = World::new();
        complain(&world, "c-1", world.now()).await;
        opt_out(&world, "c-2", ASHA).await;
        world.dynamo.set_latency(Duration::from_millis(5));
        let opts_out = async {
            tokio::time::sleep(Duration::from_millis(delay)).await;
            opt_out(&world, "c-3", ASHA).await;
        };
        let (suppressions, asha, key) = (world.suppressions(), address(ASHA), hash_key());
        let (lifted, ()) = tokio::join!(suppressions.lift(&asha, &[], &key, "operator"), opts_out);
        assert!(lifted.unwrap());
        assert_eq!(reason(&world, "c-3", "new@example.com").await, Some(Reason::OptedOut), "after {delay} ms");
        assert_eq!(reason(&world, "c-1", "new@example.com").await, None, "after {delay} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn an_opt_out_after_a_subscription_by_a_clock_that_is_ahead_is_stored() {
    let world = World::new();
    opt_out(&world, "c-1", ASHA).await;
    let ahead = world.now() + Duration::from_secs(2);
    assert!(world.suppressions().opt_in(&link("c-1", ASHA), &hash_key(), ahead).await.unwrap());
    opt_out(&world, "c-1", ASHA).await;
    assert_eq!(reason(&world, "c-1", "new@example.com").await, Some(Reason::OptedOut));
}

#[tokio::test(start_paused = true)]
async fn subscribing_again_does_not_take_back_an_opt_out_that_came_meanwhile() {
    let world = World::new();
    opt_out(&world, "c-1", ASHA).await;
    let pk = json!({"pk": format!("optOut#{}", customer_hash(EMAIL, "c-1"))});
    let elsewhere = address("new@example.com").to_string();
    let later = (world.now() + Duration::from_secs(1)).as_millisecond();
    world.dynamo.inject(
        "TransactWriteItems",
        "Suppressions",
        [Fault::before(move |dynamo| {
            dynamo.set("Suppressions", &pk, "since", later);
            dynamo.set("Suppressions", &pk, "addressHash", elsewhere.clone());
        })],
    );
    assert!(!opt_in(&world, "c-1", ASHA).await);
    assert_eq!(reason(&world, "c-1", "new@example.com").await, Some(Reason::OptedOut));
}

#[tokio::test(start_paused = true)]
async fn only_a_complaint_replaces_an_earlier_report() {
    for (first, second, expected) in [
        (Reason::Bounced, Reason::OptedOut, Reason::Bounced),
        (Reason::OptedOut, Reason::Bounced, Reason::OptedOut),
        (Reason::Bounced, Reason::Complained, Reason::Complained),
        (Reason::OptedOut, Reason::Complained, Reason::Complained),
        (Reason::Complained, Reason::Bounced, Reason::Complained),
        (Reason::Complained, Reason::Complained, Reason::Complained),
    ] {
        let world = World::new();
        let at = world.now();
        suppress(&world, first, at).await;
        world.clock.skip(Duration::from_secs(1));
        suppress(&world, second, world.now()).await;
        let since = if expected == first { at } else { world.now() };
        let stored = for_address(&world, ASHA, &[]).await;
        assert_eq!(stored, Some(Suppression { reason: expected, since }), "{second} after {first}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_strongest_of_several_reasons_counts() {
    let world = World::new();
    opt_out(&world, "c-1", ASHA).await;
    suppress(&world, Reason::Complained, world.now()).await;
    assert_eq!(reason(&world, "c-1", ASHA).await, Some(Reason::Complained));
    assert_eq!(for_address(&world, ASHA, &[]).await.map(|stored| stored.reason), Some(Reason::Complained));
}

#[tokio::test(start_paused = true)]
async fn recipients_are_looked_up_a_hundred_keys_at_a_time() {
    let world = World::new();
    world.dynamo.put("Suppressions", json!({"pk": "migration#keyedHashes"}));
    let suppressions = world.suppressions();
    suppressions.lookup(&[recipient("c-0", ASHA)]).await.unwrap();
    let recipients: Vec<_> =
        (0..100).map(|number| recipient(&format!("c-{number}"), &format!("{number}@example.com"))).collect();
    let bounced = address("99@example.com");
    suppressions.suppress(&report(&bounced, world.now(), "ses"), Reason::Bounced).await.unwrap();
    world.dynamo.forget_calls();
    // DynamoDB may leave some of them, which are read again.
    world.dynamo.inject("BatchGetItem", "Suppressions", [Fault::Nothing, Fault::Nothing, Fault::Unprocessed(39)]);
    let found = suppressions.lookup(&recipients).await.unwrap();
    assert_eq!((found.len(), found[99]), (100, Some(Reason::Bounced)));
    assert!(found[..99].iter().all(Option::is_none));
    assert_eq!(world.dynamo.count("BatchGetItem", "Suppressions"), 4, "three keys each, and 39 again");
    let request = &world.dynamo.requests("BatchGetItem", "Suppressions")[0];
    assert_eq!(request["RequestItems"]["Suppressions"]["ConsistentRead"], true, "an opt-out counts at once");
}

#[tokio::test(start_paused = true)]
async fn lifting_leaves_a_record_of_who_asked_and_nothing_that_suppresses() {
    let world = World::new();
    let hash = address(ASHA);
    opt_out(&world, "c-1", ASHA).await;
    suppress(&world, Reason::Bounced, world.now()).await;
    assert!(world.suppressions().lift(&hash, &[], &hash_key(), "operator").await.unwrap());
    for address in [ASHA, "new@example.com"] {
        assert_eq!(reason(&world, "c-1", address).await, None, "{address}");
    }
    assert_eq!(for_address(&world, ASHA, &[]).await, None);
    let items = world.dynamo.items("Suppressions");
    let records: Vec<_> = items.iter().filter(|item| item["pk"].as_str().unwrap().starts_with("lift#")).collect();
    let [record] = records[..] else { panic!("{records:?}") };
    assert_eq!((&record["lifted"], &record["by"]), (&json!(hash.to_string()), &json!("operator")));
    assert_eq!(record["reasons"], json!(["optedOut", "bounced"]));
    assert_eq!(record["at"], world.now().as_millisecond());
    // There is nothing left to lift; that is recorded as well.
    assert!(!world.suppressions().lift(&hash, &[], &hash_key(), "operator").await.unwrap());
    assert_eq!(world.dynamo.items("Suppressions").len(), items.len() + 1);
}

#[tokio::test(start_paused = true)]
async fn lifting_an_address_lifts_the_opt_outs_of_those_who_have_it_now() {
    let world = World::new();
    opt_out(&world, "c-1", ASHA).await;
    let (new, holders) = ("new@example.com", [customer_hash(EMAIL, "c-1")]);
    assert_eq!(for_address(&world, new, &holders).await.map(|stored| stored.reason), Some(Reason::OptedOut));
    assert!(world.suppressions().lift(&address(new), &holders, &hash_key(), "operator").await.unwrap());
    assert_eq!(for_address(&world, new, &holders).await, None);
    assert_eq!(reason(&world, "c-1", new).await, None);
    assert_eq!(reason(&world, "c-2", ASHA).await, Some(Reason::OptedOut), "whoever has the old one now");
}

#[tokio::test(start_paused = true)]
async fn an_older_report_does_not_undo_a_lift_and_a_younger_one_suppresses() {
    let world = World::new();
    let bounced_at = world.now();
    suppress(&world, Reason::Bounced, bounced_at).await;
    world.clock.skip(Duration::from_secs(60));
    world.suppressions().lift(&address(ASHA), &[], &hash_key(), "operator").await.unwrap();
    world.clock.skip(Duration::from_secs(60));
    for reason in Reason::ALL {
        suppress(&world, reason, bounced_at).await;
        assert_eq!(for_address(&world, ASHA, &[]).await, None, "{reason}, delivered again");
    }
    // A clock that is ahead says nothing of the order.
    suppress(&world, Reason::Bounced, world.now() + Duration::from_secs(3_600)).await;
    let stored = for_address(&world, ASHA, &[]).await;
    assert_eq!(stored, Some(Suppression { reason: Reason::Bounced, since: world.now() }));
    world.clock.skip(Duration::from_secs(60));
    world.suppressions().lift(&address(ASHA), &[], &hash_key(), "operator").await.unwrap();
    assert_eq!(for_address(&world, ASHA, &[]).await, None);
}

/// What a release before keyed hashes stored.
#[tokio::test(start_paused = true)]
async fn what_was_stored_without_a_key_holds_until_it_is_migrated() {
    let world = World::new();
    let unkeyed = address(ASHA).unkeyed().unwrap();
    let opted_out = format!("customer#{}", customer_hash(EMAIL, "c-1").unkeyed().unwrap());
    for (pk, reason) in [(opted_out.clone(), "optedOut"), (format!("address#{unkeyed}"), "bounced")] {
        let item = json!({"pk": pk, "addressHash": unkeyed, "reason": reason, "since": 1_000, "by": "x"});
        world.dynamo.put("Suppressions", item);
    }
    assert_eq!(reason(&world, "c-1", ASHA).await, Some(Reason::Bounced));
    assert_eq!(reason(&world, "c-1", "new@example.com").await, Some(Reason::OptedOut));
    let stored = for_address(&world, ASHA, &[]).await;
    assert_eq!(stored.map(|stored| stored.reason), Some(Reason::Bounced));
    let opt_out = world.suppressions().opted_out(&link("c-1", ASHA), &hash_key()).await.unwrap();
    assert!(opt_out.is_some_and(|opt_out| opt_out.may_be_undone));
    assert!(opt_in(&world, "c-1", ASHA).await);
    assert_eq!(world.dynamo.item("Suppressions", json!({"pk": opted_out})), None);
    assert!(world.suppressions().lift(&address(ASHA), &[], &hash_key(), "operator").await.unwrap());
    assert_eq!(reason(&world, "c-1", ASHA).await, None);
}
