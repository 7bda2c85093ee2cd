//! What customers, operators and providers do while hashes are migrated.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::Channel;
use domain::unsubscribe::Subscription;
use proptest::prelude::*;
use serde_json::json;
use store::suppressions::{BulkReason, Reason, Selection};
use testing::{Dynamo, Fault, customer_hash, hash_key};

use crate::migration::{
    ASHA, begin, finish, old_opt_out, old_opt_out_key, old_report, old_report_key, opt_out_key, reason, report_key,
    step, stored,
};
use crate::world::{World, address, customer, recipient, report};

fn link(id: &str, at: &str) -> Subscription {
    Subscription { customer: customer(id), channel: Channel::Email, address: address(at) }
}

/// Moves the items of a customer at an address, as the migration does.
fn move_now(dynamo: &Dynamo, id: &str, at: &str) {
    let hash = address(at).to_string();
    let customer = opt_out_key(customer_hash(Channel::Email, id));
    for (old, new) in
        [(old_opt_out_key(id), vec![customer, opt_out_key(&hash)]), (old_report_key(at), vec![report_key(at)])]
    {
        let Some(mut item) = dynamo.item("Suppressions", json!({"pk": old})) else { continue };
        for pk in new {
            let lifted_at = dynamo.item("Suppressions", json!({"pk": pk})).map(|new| new["liftedAt"].clone());
            if lifted_at.and_then(|at| at.as_i64()) >= item["since"].as_i64() {
                continue;
            }
            item["pk"] = json!(pk);
            item["addressHash"] = json!(hash);
            dynamo.put("Suppressions", item.clone());
        }
        dynamo.delete("Suppressions", json!({"pk": old}));
    }
}

/// Each moment of what `run` does: before the nth call of this operation.
const MOMENTS: [(&str, usize); 14] = [
    ("Query", 0),
    ("Query", 1),
    ("BatchGetItem", 0),
    ("BatchGetItem", 1),
    ("PutItem", 0),
    ("TransactWriteItems", 0),
    ("TransactWriteItems", 1),
    ("UpdateItem", 0),
    ("DeleteItem", 0),
    ("DeleteItem", 1),
    ("DeleteItem", 2),
    ("DeleteItem", 3),
    ("DeleteItem", 4),
    ("Scan", 0),
];

fn inject_move(world: &World, (operation, earlier): (&str, usize)) {
    let moves = Fault::before(|dynamo| move_now(dynamo, "c-1", ASHA));
    let faults = std::iter::repeat_n(Fault::Nothing, earlier).chain([moves]);
    world.dynamo.inject(operation, "Suppressions", faults);
}

#[tokio::test(start_paused = true)]
async fn a_reader_finds_what_is_moved_while_it_reads() {
    for moment in MOMENTS {
        let world = World::new();
        old_opt_out(&world, "c-1", ASHA);
        inject_move(&world, moment);
        assert_eq!(reason(&world, "c-1", "x@example.com").await, Some(Reason::OptedOut), "{moment:?}");
        world.dynamo.clear_faults();

        let world = World::new();
        old_report(&world, ASHA, "bounced");
        inject_move(&world, moment);
        assert_eq!(reason(&world, "c-2", ASHA).await, Some(Reason::Bounced), "{moment:?}");
        world.dynamo.clear_faults();

        let world = World::new();
        old_opt_out(&world, "c-1", ASHA);
        inject_move(&world, moment);
        let found = world.suppressions().for_address(&address(ASHA), &[]).await.unwrap();
        assert_eq!(found.map(|found| found.reason), Some(Reason::OptedOut), "{moment:?}");

        let world = World::new();
        old_opt_out(&world, "c-1", ASHA);
        inject_move(&world, moment);
        assert!(world.suppressions().opted_out(&link("c-1", ASHA), &hash_key()).await.unwrap().is_some(), "{moment:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_lifted_or_subscribes_again_while_items_move_stays_so() {
    for moment in MOMENTS {
        let bulk = Selection { reason: BulkReason::Bounced, channel: None, since: None, until: None };
        for how in ["lift", "opt in", "bulk"] {
            let world = World::new();
            if how != "bulk" {
                old_opt_out(&world, "c-1", ASHA);
            }
            if how != "opt in" {
                old_report(&world, ASHA, "bounced");
            }
            world.clock.skip(Duration::from_secs(1));
            inject_move(&world, moment);
            let suppressions = world.suppressions();
            match how {
                "lift" => {
                    suppressions.lift(&address(ASHA), &[], &hash_key(), "operator").await.unwrap();
                }
                "bulk" => {
                    suppressions.lift_page(&bulk, None, false, &hash_key(), "operator").await.unwrap();
                    if stored(&world, &report_key(ASHA)).is_some_and(|report| report["reason"] == "bounced") {
                        // It moved before the page was read, to where the page had been read before or not yet.
                        assert_eq!(moment, ("Scan", 0));
                        continue;
                    }
                }
                _ => assert!(suppressions.opt_in(&link("c-1", ASHA), &hash_key(), world.now()).await.unwrap()),
            }
            world.dynamo.clear_faults();
            begin(&world).await;
            finish(&world, 10).await;
            for (id, at) in [("c-1", ASHA), ("c-1", "x@example.com"), ("x", ASHA)] {
                assert_eq!(reason(&world, id, at).await, None, "{how} {moment:?}: {id} at {at}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_since_the_item_was_read_is_respected() {
    const LATER: i64 = 1 << 42;
    type Change = fn(&Dynamo);
    let cases: [(&str, bool, Change, Option<Reason>); 6] = [
        ("subscribed again", true, |dynamo| dynamo.delete("Suppressions", json!({"pk": old_opt_out_key("c-1")})), None),
        (
            "opted out anew",
            true,
            |dynamo| {
                let pk = opt_out_key(customer_hash(Channel::Email, "c-1"));
                dynamo.put("Suppressions", json!({"pk": pk, "reason": "optedOut", "since": 1, "by": "customer"}));
            },
            Some(Reason::OptedOut),
        ),
        (
            "lifted",
            false,
            |dynamo| {
                dynamo.delete("Suppressions", json!({"pk": old_report_key(ASHA)}));
                dynamo.put("Suppressions", json!({"pk": report_key(ASHA), "liftedAt": LATER}));
            },
            None,
        ),
        (
            "lifted where it moves to",
            false,
            |dynamo| dynamo.put("Suppressions", json!({"pk": report_key(ASHA), "liftedAt": LATER})),
            None,
        ),
        (
            "complained",
            false,
            |dynamo| {
                let item = json!({"pk": report_key(ASHA), "reason": "complained", "since": 1, "by": "ses"});
                dynamo.put("Suppressions", item);
            },
            Some(Reason::Complained),
        ),
        (
            "complained in the release before",
            false,
            |dynamo| dynamo.set("Suppressions", json!({"pk": old_report_key(ASHA)}), "reason", "complained"),
            Some(Reason::Complained),
        ),
    ];
    for (name, is_opt_out, change, expected) in cases {
        for moment in ["BatchGetItem", "TransactWriteItems"] {
            let world = World::new();
            if is_opt_out {
                old_opt_out(&world, "c-1", ASHA);
            } else {
                old_report(&world, ASHA, "bounced");
            }
            begin(&world).await;
            world.dynamo.inject(moment, "Suppressions", [Fault::before(change)]);
            finish(&world, 10).await;
            assert_eq!(world.dynamo.faults_left(), 0);
            assert_eq!(reason(&world, "c-1", ASHA).await, expected, "{name} before {moment}");
            if is_opt_out {
                assert_eq!(reason(&world, "c-1", "x@example.com").await, expected, "{name} before {moment}");
            }
        }
    }
}

const CUSTOMERS: [&str; 3] = ["c-0", "c-1", "c-2"];
const ADDRESSES: [&str; 3] = ["0@example.com", "1@example.com", "2@example.com"];

#[derive(Debug, Clone, Copy)]
enum Change {
    Step,
    OptOut(usize, usize),
    OldOptOut(usize, usize),
    OptIn(usize, usize),
    Lift(usize),
    Suppress(usize),
    OldReport(usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = || 0..3usize;
    prop_oneof![
        4 => Just(Change::Step),
        2 => (at(), at()).prop_map(|(customer, address)| Change::OptOut(customer, address)),
        3 => (at(), at()).prop_map(|(customer, address)| Change::OldOptOut(customer, address)),
        2 => (at(), at()).prop_map(|(customer, address)| Change::OptIn(customer, address)),
        1 => at().prop_map(Change::Lift),
        1 => at().prop_map(Change::Suppress),
        1 => at().prop_map(Change::OldReport),
    ]
}

/// Who must and who may be suppressed.
#[derive(Debug, Default)]
struct Model {
    /// Customers who opted out, and have neither subscribed again since nor been lifted.
    opted_out: BTreeSet<usize>,
    /// The addresses at which a customer opted out, as long as that may hold.
    at: BTreeMap<usize, BTreeSet<usize>>,
    /// Addresses whose opt-out must hold, and those whose opt-out may.
    addresses: BTreeSet<usize>,
    possible: BTreeSet<usize>,
    reported: BTreeSet<usize>,
}

impl Model {
    async fn apply(&mut self, world: &World, change: Change) {
        let suppressions = world.suppressions();
        world.clock.skip(Duration::from_secs(1));
        match change {
            Change::Step => {
                step(world, 2).await;
            }
            Change::OptOut(customer, address) => {
                let of = link(CUSTOMERS[customer], ADDRESSES[address]);
                suppressions.opt_out(&of, &hash_key(), world.now()).await.unwrap();
                self.note(customer, address);
                self.addresses.insert(address);
            }
            Change::OldOptOut(customer, address) => {
                old_opt_out(world, CUSTOMERS[customer], ADDRESSES[address]);
                self.note(customer, address);
            }
            Change::OptIn(customer, address) => {
                let of = link(CUSTOMERS[customer], ADDRESSES[address]);
                let is_elsewhere = self.at.get(&customer).is_some_and(|at| at.iter().any(|at| *at != address));
                let is_subscribed = suppressions.opt_in(&of, &hash_key(), world.now()).await.unwrap();
                assert!(is_subscribed || is_elsewhere, "{self:?}");
                if is_subscribed {
                    self.opted_out.remove(&customer);
                    self.at.remove(&customer);
                    self.addresses.remove(&address);
                    self.keep_possible(world, address);
                }
            }
            Change::Lift(address) => {
                let hash = crate::world::address(ADDRESSES[address]);
                suppressions.lift(&hash, &[], &hash_key(), "operator").await.unwrap();
                self.at.retain(|customer, at| {
                    if at.remove(&address) {
                        self.opted_out.remove(customer);
                    }
                    !at.is_empty()
                });
                self.addresses.remove(&address);
                self.reported.remove(&address);
                self.keep_possible(world, address);
            }
            Change::Suppress(address) => {
                let hash = crate::world::address(ADDRESSES[address]);
                suppressions.suppress(&report(&hash, world.now(), "ses"), Reason::Bounced).await.unwrap();
                self.reported.insert(address);
            }
            Change::OldReport(address) => {
                old_report(world, ADDRESSES[address], "complained");
                self.reported.insert(address);
            }
        }
    }

    fn note(&mut self, customer: usize, address: usize) {
        self.opted_out.insert(customer);
        self.at.entry(customer).or_default().insert(address);
        self.possible.insert(address);
    }

    /// An old opt-out of another customer at the address will hold for the address once it is moved.
    fn keep_possible(&mut self, world: &World, address: usize) {
        let hash = crate::world::address(ADDRESSES[address]).unkeyed().unwrap();
        let is_at = |item: serde_json::Value| item["addressHash"] == hash;
        if !CUSTOMERS.iter().any(|id| stored(world, &old_opt_out_key(id)).is_some_and(is_at)) {
            self.possible.remove(&address);
        }
    }

    async fn check(&self, world: &World) {
        let recipients: Vec<_> = CUSTOMERS.iter().flat_map(|id| ADDRESSES.map(|at| recipient(id, at))).collect();
        let mut found = world.suppressions().lookup(&recipients).await.unwrap().into_iter();
        for (customer, id) in CUSTOMERS.iter().enumerate() {
            for (address, at) in ADDRESSES.iter().enumerate() {
                let is_suppressed = found.next().unwrap().is_some();
                let reported = self.reported.contains(&address);
                let must = self.opted_out.contains(&customer) || self.addresses.contains(&address) || reported;
                let may = self.at.contains_key(&customer) || self.possible.contains(&address) || reported;
                assert!(is_suppressed || !must, "{id} at {at} is lost: {self:?}");
                assert!(!is_suppressed || may, "{id} at {at} is suppressed: {self:?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whoever_opted_out_is_suppressed_at_every_moment_and_whoever_was_lifted_is_not(
        before in prop::collection::vec(change(), 0..8),
        during in prop::collection::vec(change(), 1..24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (world, mut model) = (World::new(), Model::default());
            for change in before {
                model.apply(&world, change).await;
            }
            begin(&world).await;
            for change in during {
                model.apply(&world, change).await;
                model.check(&world).await;
                // Once it is finished, no release stores anything old.
                if stored(&world, "migration#keyedHashes").is_some() {
                    return;
                }
            }
            finish(&world, 3).await;
            model.check(&world).await;
        });
    }
}
