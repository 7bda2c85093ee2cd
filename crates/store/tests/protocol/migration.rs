//! What releases before keyed hashes stored is moved, once, and nothing is lost on the way.

use std::time::Duration;

use domain::Channel;
use serde_json::{Value, json};
use store::suppressions::{BulkReason, Migrated, MigrationStep, Reason, Selection};
use testing::{Fault, address_hash, customer_hash, hash_key};

use crate::world::{World, address, recipient};

pub(crate) const ASHA: &str = "asha@example.com";
const HOUR: Duration = Duration::from_secs(3_600);
/// The time from step to step, in `template.yaml`.
const SCHEDULE: Duration = Duration::from_secs(300);

/// The key of a customer's opt-out, as releases before keyed hashes stored it.
pub(crate) fn old_opt_out_key(id: &str) -> String {
    format!("customer#{}", customer_hash(Channel::Email, id).unkeyed().unwrap())
}

/// The key of a report, as releases before keyed hashes stored it.
pub(crate) fn old_report_key(at: &str) -> String {
    format!("address#{}", address(at).unkeyed().unwrap())
}

pub(crate) fn report_key(at: &str) -> String {
    format!("reported#{}", address(at))
}

pub(crate) fn opt_out_key(of: impl ToString) -> String {
    format!("optOut#{}", of.to_string())
}

fn old_item(pk: &str, at: &str, reason: &str, since: i64, by: &str) -> Value {
    json!({"pk": pk, "addressHash": address(at).unkeyed().unwrap(), "reason": reason, "since": since, "by": by})
}

/// The opt-out of a customer, as a release before keyed hashes stores it: an earlier one stays.
pub(crate) fn old_opt_out(world: &World, id: &str, at: &str) {
    let pk = old_opt_out_key(id);
    if stored(world, &pk).is_none() {
        let since = world.now().as_millisecond();
        world.dynamo.put("Suppressions", old_item(&pk, at, "optedOut", since, "customer"));
    }
}

/// A report, as a release before keyed hashes stores it.
pub(crate) fn old_report(world: &World, at: &str, reason: &str) {
    let pk = old_report_key(at);
    if stored(world, &pk).is_none_or(|stored| reason == "complained" && stored["reason"] != reason) {
        let since = world.now().as_millisecond();
        world.dynamo.put("Suppressions", old_item(&pk, at, reason, since, "ses"));
    }
}

pub(crate) fn stored(world: &World, pk: &str) -> Option<Value> {
    world.dynamo.item("Suppressions", json!({"pk": pk}))
}

pub(crate) async fn step(world: &World, page: i32) -> MigrationStep {
    world.suppressions().migrate_page(&hash_key(), page).await.unwrap()
}

/// The steps of the first hour, as the schedule makes them.
pub(crate) async fn begin(world: &World) {
    let MigrationStep::Waiting(until) = step(world, 100).await else { panic!("it does not wait") };
    while world.now() < until {
        assert_eq!(step(world, 100).await, MigrationStep::Waiting(until));
        world.clock.skip(SCHEDULE.min(until.duration_since(world.now()).unsigned_abs()));
    }
}

/// Migrates to the end. Returns what was found.
pub(crate) async fn finish(world: &World, page: i32) -> Migrated {
    let mut sum = Migrated::default();
    for _ in 0..500 {
        match step(world, page).await {
            MigrationStep::Page(migrated) => sum += migrated,
            MigrationStep::LastPage(_) => return sum,
            other => panic!("{other:?}"),
        }
    }
    panic!("it never ends");
}

pub(crate) async fn reason(world: &World, id: &str, at: &str) -> Option<Reason> {
    world.suppressions().lookup(&[recipient(id, at)]).await.unwrap()[0]
}

/// Whether an item holds an unkeyed hash.
fn is_old(item: &Value) -> bool {
    let text = item.to_string();
    let hex = |part: &str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split(|byte: char| !byte.is_ascii_alphanumeric()).any(hex)
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_item_is_moved_and_no_unkeyed_hash_is_left() {
    let world = World::new();
    let unkeyed = address(ASHA).unkeyed().unwrap();
    let since = world.now().as_millisecond();
    old_opt_out(&world, "c-1", ASHA);
    old_report(&world, "gone@example.com", "bounced");
    old_report(&world, "angry@example.com", "complained");
    for item in [
        json!({"pk": format!("bounces#{unkeyed}"), "bounces": [], "version": 1, "expiresAt": since}),
        json!({"pk": format!("unknown#{unkeyed}"), "firstSeen": since, "expiresAt": since}),
        json!({"pk": "lift#1", "lifted": unkeyed, "reasons": ["bounced"], "at": since, "by": "operator"}),
        json!({"pk": "lift#2", "lifted": address(ASHA).to_string(), "reasons": [], "at": since, "by": "operator"}),
        json!({"pk": format!("bounces#{}", address(ASHA)), "bounces": [], "version": 1, "expiresAt": since}),
    ] {
        world.dynamo.put("Suppressions", item);
    }
    begin(&world).await;
    let migrated = finish(&world, 100).await;
    assert_eq!(migrated, Migrated { moved: 3, rewritten: 1, dropped: 2, ..Migrated::default() });
    assert_eq!(reason(&world, "c-1", "new@example.com").await, Some(Reason::OptedOut));
    assert_eq!(reason(&world, "c-2", ASHA).await, Some(Reason::OptedOut), "it holds for the address as well");
    assert_eq!(reason(&world, "c-2", "gone@example.com").await, Some(Reason::Bounced));
    assert_eq!(reason(&world, "c-2", "angry@example.com").await, Some(Reason::Complained));
    let hash = address(ASHA).to_string();
    for pk in [opt_out_key(customer_hash(Channel::Email, "c-1")), opt_out_key(&hash)] {
        let expected = json!({"pk": pk, "addressHash": hash, "reason": "optedOut", "since": since, "by": "customer"});
        assert_eq!(stored(&world, &pk), Some(expected));
    }
    let gone = report_key("gone@example.com");
    let expected = json!({"pk": gone, "addressHash": address("gone@example.com").to_string(), "reason": "bounced",
                          "since": since, "by": "ses"});
    assert_eq!(stored(&world, &gone), Some(expected));
    assert_eq!(stored(&world, "lift#1").unwrap()["lifted"], hash);
    assert!(stored(&world, &format!("bounces#{hash}")).is_some(), "what is counted now stays");
    let items = world.dynamo.items("Suppressions");
    assert!(!items.iter().any(is_old), "{items:#?}");
    assert!(!items.iter().any(|item| item["pk"].as_str().unwrap().starts_with("event#")), "nothing is announced");
}

#[tokio::test(start_paused = true)]
async fn nothing_moves_for_an_hour_because_functions_of_the_release_before_may_run() {
    let world = World::new();
    old_opt_out(&world, "c-1", ASHA);
    let until = world.now() + HOUR;
    for _ in 0..60 {
        assert_eq!(step(&world, 100).await, MigrationStep::Waiting(until));
        assert!(stored(&world, &old_opt_out_key("c-1")).is_some());
        world.clock.skip(Duration::from_secs(59));
    }
    world.clock.skip(Duration::from_secs(60));
    assert!(matches!(step(&world, 100).await, MigrationStep::Page(_)));
    assert_eq!(stored(&world, &old_opt_out_key("c-1")), None);
}

#[tokio::test(start_paused = true)]
async fn an_update_that_was_rolled_back_and_is_repeated_waits_again() {
    let world = World::new();
    old_opt_out(&world, "c-1", ASHA);
    begin(&world).await;
    // The release before is back, and what it stores is not to be moved under it.
    world.clock.skip(HOUR);
    assert_eq!(step(&world, 100).await, MigrationStep::Waiting(world.now() + HOUR));
    assert!(stored(&world, &old_opt_out_key("c-1")).is_some());
    for _ in 0..12 {
        assert!(stored(&world, &old_opt_out_key("c-1")).is_some());
        world.clock.skip(SCHEDULE);
        step(&world, 100).await;
    }
    assert_eq!(stored(&world, &old_opt_out_key("c-1")), None);
}

#[tokio::test(start_paused = true)]
async fn it_is_finished_once_a_whole_pass_found_nothing_old() {
    let world = World::new();
    for number in 0..10 {
        old_opt_out(&world, &format!("c-{number}"), &format!("{number}@example.com"));
    }
    begin(&world).await;
    let is_finished = || stored(&world, "migration#keyedHashes").is_some();
    // A pass over everything that moves what it finds.
    let mut found = 0;
    while found < 10 {
        let MigrationStep::Page(migrated) = step(&world, 3).await else { panic!("finished early") };
        found += migrated.moved;
    }
    // Something old is stored behind it.
    old_opt_out(&world, "late", "late@example.com");
    assert!(!is_finished());
    assert_eq!(finish(&world, 3).await.moved, 1);
    assert!(is_finished());
    assert_eq!(stored(&world, &old_opt_out_key("late")), None);
    // From now on an invocation reads one item, and the next one of the same environment none.
    world.dynamo.forget_calls();
    let suppressions = world.suppressions();
    for _ in 0..2 {
        assert_eq!(suppressions.migrate_page(&hash_key(), 3).await.unwrap(), MigrationStep::Finished);
    }
    assert_eq!(world.dynamo.calls(), [("GetItem", "Suppressions")]);
}

#[tokio::test(start_paused = true)]
async fn a_new_stack_is_finished_after_the_first_hour() {
    let world = World::new();
    begin(&world).await;
    assert_eq!(step(&world, 100).await, MigrationStep::LastPage(Migrated::default()));
    assert_eq!(step(&world, 100).await, MigrationStep::Finished);
}

#[tokio::test(start_paused = true)]
async fn an_item_that_cannot_be_read_stops_no_other_and_keeps_the_migration_from_ending() {
    let world = World::new();
    world.dynamo.put("Suppressions", json!({"pk": old_report_key(ASHA), "reason": "of a later release", "since": 1}));
    // No release finds this one.
    world.dynamo.put("Suppressions", json!({"pk": "address#nobody", "reason": "bounced", "since": 1}));
    old_opt_out(&world, "c-1", "x@example.com");
    begin(&world).await;
    let unreadable = Migrated { unreadable: 1, ..Migrated::default() };
    assert_eq!(step(&world, 100).await, MigrationStep::Page(Migrated { moved: 1, ..unreadable }));
    assert_eq!(step(&world, 100).await, MigrationStep::Page(unreadable));
    world.dynamo.delete("Suppressions", json!({"pk": old_report_key(ASHA)}));
    assert_eq!(step(&world, 100).await, MigrationStep::LastPage(Migrated::default()));
}

#[tokio::test(start_paused = true)]
async fn old_and_new_items_of_one_person_become_one() {
    let (second, customer) = (Duration::from_secs(1), opt_out_key(customer_hash(Channel::Email, "c-1")));
    // The old opt-out is earlier than the new one, or later.
    for old_is_earlier in [true, false] {
        let world = World::new();
        let new = |world: &World| {
            let hash = address("new@example.com").to_string();
            let since = world.now().as_millisecond();
            let item = json!({"pk": customer, "addressHash": hash, "reason": "optedOut", "since": since, "by": "x"});
            world.dynamo.put("Suppressions", item);
        };
        let earliest = world.now().as_millisecond();
        if old_is_earlier {
            old_opt_out(&world, "c-1", ASHA);
            world.clock.skip(second);
            new(&world);
        } else {
            new(&world);
            world.clock.skip(second);
            old_opt_out(&world, "c-1", ASHA);
        }
        begin(&world).await;
        finish(&world, 100).await;
        let kept = stored(&world, &customer).unwrap();
        let at = if old_is_earlier { ASHA } else { "new@example.com" };
        assert_eq!((&kept["since"], &kept["addressHash"]), (&json!(earliest), &json!(address(at).to_string())));
        assert_eq!(reason(&world, "c-2", ASHA).await, Some(Reason::OptedOut), "of the address in any case");
    }
    // A report that was lifted since, and reports of either strength.
    for (old, new, expected) in [
        ("bounced", json!({"liftedAt": i64::MAX / 2_000_000}), None),
        ("bounced", json!({"liftedAt": 1}), Some(Reason::Bounced)),
        ("complained", json!({"reason": "bounced", "since": 5}), Some(Reason::Complained)),
        ("bounced", json!({"reason": "complained", "since": 5}), Some(Reason::Complained)),
    ] {
        let world = World::new();
        let mut item = new.clone();
        item["pk"] = json!(report_key(ASHA));
        item["addressHash"] = json!(address(ASHA).to_string());
        world.dynamo.put("Suppressions", item);
        old_report(&world, ASHA, old);
        begin(&world).await;
        finish(&world, 100).await;
        assert_eq!(reason(&world, "c-1", ASHA).await, expected, "{old}, {new}");
        assert_eq!(stored(&world, &report_key(ASHA)).unwrap()["liftedAt"], new["liftedAt"], "{old}, {new}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_ahead_does_not_outlive_a_lift() {
    let world = World::new();
    let ahead = (world.now() + 9 * HOUR).as_millisecond();
    let old = old_item(&old_report_key(ASHA), ASHA, "bounced", ahead, "ses");
    world.dynamo.put("Suppressions", old);
    begin(&world).await;
    finish(&world, 100).await;
    assert!(stored(&world, &report_key(ASHA)).unwrap()["since"].as_i64().unwrap() <= world.now().as_millisecond());
    world.clock.skip(Duration::from_secs(1));
    world.suppressions().lift(&address(ASHA), &[], &hash_key(), "operator").await.unwrap();
    assert_eq!(reason(&world, "c-1", ASHA).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_migration_that_is_interrupted_anywhere_loses_nothing_and_is_continued() {
    let operations = ["GetItem", "Scan", "BatchGetItem", "TransactWriteItems", "DeleteItem", "UpdateItem"];
    for operation in operations {
        for earlier in 0..3 {
            for fault in [Fault::Refuse, Fault::LoseResponse] {
                let world = World::new();
                let unkeyed = address(ASHA).unkeyed().unwrap();
                old_opt_out(&world, "c-1", ASHA);
                old_report(&world, "gone@example.com", "bounced");
                world.dynamo.put("Suppressions", json!({"pk": format!("unknown#{unkeyed}"), "firstSeen": 1}));
                let record = json!({"pk": "lift#1", "lifted": unkeyed, "reasons": [], "at": 1, "by": "operator"});
                world.dynamo.put("Suppressions", record);
                begin(&world).await;
                let faults = std::iter::repeat_n(Fault::Nothing, earlier).chain([fault.clone()]);
                world.dynamo.inject(operation, "Suppressions", faults);
                let mut is_finished = false;
                for _ in 0..20 {
                    // As a new process: it knows only what is stored.
                    let step = world.suppressions().migrate_page(&hash_key(), 3).await;
                    is_finished = matches!(step, Ok(MigrationStep::Finished));
                    world.clock.skip(SCHEDULE);
                    let left = world.dynamo.faults_left();
                    world.dynamo.clear_faults();
                    let found =
                        [reason(&world, "c-1", "x@example.com").await, reason(&world, "x", "gone@example.com").await];
                    assert_eq!(
                        found,
                        [Some(Reason::OptedOut), Some(Reason::Bounced)],
                        "{operation} {earlier} {fault:?}"
                    );
                    let again = std::iter::repeat_n(Fault::Nothing, left.saturating_sub(1)).chain([fault.clone()]);
                    world.dynamo.inject(operation, "Suppressions", again.take(left));
                    if is_finished {
                        break;
                    }
                }
                assert!(is_finished, "{operation} {earlier} {fault:?}");
                assert!(!world.dynamo.items("Suppressions").iter().any(is_old), "{operation} {earlier} {fault:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_migrations_at_the_same_time_do_no_harm() {
    let world = World::new();
    for number in 0..30 {
        old_opt_out(&world, &format!("c-{number}"), &format!("{number}@example.com"));
        old_report(&world, &format!("{number}@example.net"), "bounced");
    }
    begin(&world).await;
    world.dynamo.set_latency(Duration::from_millis(5));
    let run = async |page| {
        for _ in 0..200 {
            if step(&world, page).await == MigrationStep::Finished {
                return;
            }
        }
        panic!("it never ends");
    };
    tokio::join!(run(7), run(7), run(20));
    world.dynamo.set_latency(Duration::ZERO);
    for number in 0..30 {
        assert_eq!(reason(&world, &format!("c-{number}"), "x@example.com").await, Some(Reason::OptedOut));
        assert_eq!(reason(&world, "x", &format!("{number}@example.com")).await, Some(Reason::OptedOut));
        assert_eq!(reason(&world, "x", &format!("{number}@example.net")).await, Some(Reason::Bounced));
    }
    assert!(!world.dynamo.items("Suppressions").iter().any(is_old));
}

#[tokio::test(start_paused = true)]
async fn old_reports_are_lifted_in_bulk_but_not_what_was_reported_beside_them() {
    let world = World::new();
    let selection = Selection { reason: BulkReason::Bounced, channel: None, since: None, until: None };
    for at in [ASHA, "angry@example.com"] {
        old_report(&world, at, "bounced");
    }
    let angry = address_hash(Channel::Email, "angry@example.com");
    let complaint = crate::world::report(&angry, world.now(), "ses");
    world.suppressions().suppress(&complaint, Reason::Complained).await.unwrap();
    let lifted = world.suppressions().lift_page(&selection, None, false, &hash_key(), "operator").await.unwrap();
    assert_eq!(lifted.lifted, 2);
    for at in [ASHA, "angry@example.com"] {
        assert_eq!(stored(&world, &old_report_key(at)), None, "{at}");
    }
    assert_eq!(reason(&world, "c-1", ASHA).await, None);
    assert_eq!(reason(&world, "c-1", "angry@example.com").await, Some(Reason::Complained));
}
