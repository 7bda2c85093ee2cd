//! Refusals in a row, and pushes that are held because of them.

use std::time::Duration;

use domain::TransportId;
use domain::notification::Suspect;
use domain::push::waiting::Delay;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::limits::{BreakerState, Checked, Evidence, OpenResult, Probe, RUN_LENGTH, Scope};
use testing::Fault;

use crate::world::{World, address, push};

const SMTP: TransportId = TransportId::Smtp;
const LEASE: Duration = Duration::from_secs(100);
const SECOND: Duration = Duration::from_secs(1);

/// Of push 1.
fn scope() -> Scope {
    Scope::Push(push(1), SMTP)
}

async fn check(world: &World) -> Checked {
    let of_transport = world.limits().check_breaker(SMTP, LEASE).await.unwrap().evidence;
    world.limits().check_hold(push(1), SMTP, &of_transport, LEASE).await.unwrap()
}

async fn state(world: &World) -> BreakerState {
    check(world).await.state
}

async fn refuse(world: &World, suspect: Suspect, recipient: &str) -> Evidence {
    world.limits().add_refusal(push(1), SMTP, suspect, &address(recipient)).await.unwrap()
}

async fn hold(world: &World, suspect: Suspect, probe: Option<&Probe>) -> OpenResult {
    world.limits().hold(push(1), SMTP, suspect, probe, "554 5.7.1").await.unwrap()
}

async fn accept(world: &World, scope: Scope) {
    world.limits().record_acceptance(scope, world.now()).await.unwrap();
}

async fn probe(world: &World) -> Probe {
    match state(world).await {
        BreakerState::HalfOpen(probe) => probe,
        other => panic!("{other:?}"),
    }
}

fn item(world: &World, scope: Scope) -> Value {
    world.dynamo.item("Pacing", json!({"pk": scope.to_string()})).unwrap_or_default()
}

fn evidence(accepted_at: Option<Timestamp>, refused: usize) -> Evidence {
    Evidence { accepted_at, refused, is_cleared: false }
}

#[tokio::test(start_paused = true)]
async fn recipients_in_a_row_are_counted_once_each_until_one_is_accepted() {
    for (suspect, scope) in [(Suspect::Sender, Scope::Transport(SMTP)), (Suspect::Content, scope())] {
        let world = World::new();
        for (recipient, refused) in [("a@x.example", 1), ("b@x.example", 2), ("a@x.example", 2), ("c@x.example", 3)] {
            assert_eq!(refuse(&world, suspect, recipient).await, evidence(None, refused), "{suspect} {recipient}");
        }
        let accepted_at = world.now();
        accept(&world, scope).await;
        assert_eq!(refuse(&world, suspect, "d@x.example").await, evidence(Some(accepted_at), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_is_no_longer_than_it_takes_to_hold_a_push() {
    let world = World::new();
    for number in 0..20 {
        let counted = refuse(&world, Suspect::Sender, &format!("{number}@x.example")).await.refused;
        assert_eq!(counted, RUN_LENGTH.min(number + 1));
    }
    let stored = item(&world, Scope::Transport(SMTP));
    assert_eq!(stored["refused"].as_array().unwrap().len(), RUN_LENGTH);
}

/// The transport's evidence is for all pushes; the content's is for its push.
#[tokio::test(start_paused = true)]
async fn each_suspect_has_its_own_evidence() {
    let world = World::new();
    refuse(&world, Suspect::Sender, "a@x.example").await;
    refuse(&world, Suspect::Content, "a@x.example").await;
    let other = world.limits().add_refusal(push(2), SMTP, Suspect::Sender, &address("b@x.example")).await.unwrap();
    let content = world.limits().add_refusal(push(2), SMTP, Suspect::Content, &address("b@x.example")).await.unwrap();
    assert_eq!((other.refused, content.refused), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_held_push_is_probed_by_one_caller_and_each_failure_holds_it_for_longer() {
    let world = World::new();
    assert_eq!(state(&world).await, BreakerState::Closed);
    assert_eq!(hold(&world, Suspect::Sender, None).await, OpenResult::Opened { until: world.now() + SECOND });
    assert_eq!(hold(&world, Suspect::Sender, None).await, OpenResult::Superseded);
    assert_eq!(
        state(&world).await,
        BreakerState::Open { until: world.now() + SECOND, since: world.now(), probed_until: None }
    );
    for seconds in [2, 4, 8, 16, 32, 60, 60] {
        let BreakerState::Open { until, .. } = state(&world).await else { panic!("not held") };
        tokio::time::sleep(Duration::try_from(until.duration_since(world.now())).unwrap()).await;
        let probe = probe(&world).await;
        assert_eq!(probe.block_end(), until);
        assert!(matches!(state(&world).await, BreakerState::Open { .. }), "one probe at a time");
        let longer = OpenResult::Opened { until: world.now() + Duration::from_secs(seconds) };
        assert_eq!(hold(&world, Suspect::Sender, Some(&probe)).await, longer);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_concerns_its_push_on_its_transport() {
    let world = World::new();
    hold(&world, Suspect::Content, None).await;
    let limits = world.limits();
    let none = Evidence::default();
    for (number, transport) in [(2, SMTP), (1, TransportId::Ses)] {
        let checked = limits.check_hold(push(number), transport, &none, LEASE).await.unwrap();
        assert_eq!(checked.state, BreakerState::Closed, "{number} {transport}");
    }
    assert_eq!(limits.check_breaker(SMTP, LEASE).await.unwrap().state, BreakerState::Closed);
    let outage = Delay::Outage { last_error: Some("554 5.7.1".to_owned()), blocked_until: world.now() + SECOND };
    assert_eq!(limits.delay(push(1), SMTP).await.unwrap(), Some(outage));
    assert_eq!(limits.delay(push(2), SMTP).await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn an_accepted_message_of_the_push_ends_its_hold() {
    let world = World::new();
    hold(&world, Suspect::Content, None).await;
    refuse(&world, Suspect::Content, "a@x.example").await;
    tokio::time::sleep(SECOND).await;
    probe(&world).await;
    accept(&world, scope()).await;
    let Checked { state, evidence: found, .. } = check(&world).await;
    assert_eq!((state, found), (BreakerState::Closed, evidence(Some(world.now()), 0)));
    let stored = item(&world, scope());
    for gone in ["blockedUntil", "failures", "probeUntil", "probeToken", "refused"] {
        assert_eq!(stored[gone], Value::Null, "{gone}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_accepted_message_of_another_push_clears_one_that_was_held_because_of_us() {
    for (suspect, is_cleared) in [(Suspect::Sender, true), (Suspect::Content, false)] {
        let world = World::new();
        // Before the hold: it shows nothing.
        accept(&world, Scope::Transport(SMTP)).await;
        hold(&world, suspect, None).await;
        assert!(matches!(state(&world).await, BreakerState::Open { .. }), "{suspect}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        accept(&world, Scope::Transport(SMTP)).await;
        let checked = check(&world).await;
        assert_eq!((checked.state == BreakerState::Closed, checked.evidence.is_cleared), (is_cleared, is_cleared));
        // The others' messages are accepted no more: the next row of refusals counts again.
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(!check(&world).await.evidence.is_cleared);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_has_grown_since_is_not_cleared() {
    let world = World::new();
    hold(&world, Suspect::Sender, None).await;
    tokio::time::sleep(SECOND).await;
    let probe = probe(&world).await;
    accept(&world, Scope::Transport(SMTP)).await;
    let limits = world.limits();
    let before_the_probe = limits.check_breaker(SMTP, LEASE).await.unwrap().evidence;
    tokio::time::sleep(SECOND).await;
    hold(&world, Suspect::Sender, Some(&probe)).await;
    let checked = limits.check_hold(push(1), SMTP, &before_the_probe, LEASE).await.unwrap();
    assert!(matches!(checked.state, BreakerState::Open { .. }), "{checked:?}");
}

#[tokio::test(start_paused = true)]
async fn repeated_writes_find_what_they_wrote() {
    let world = World::new();
    world.dynamo.inject("UpdateItem", "Pacing", [Fault::LoseResponse]);
    assert_eq!(refuse(&world, Suspect::Sender, "a@x.example").await.refused, 1);
    world.dynamo.inject("UpdateItem", "Pacing", [Fault::LoseResponse]);
    assert!(matches!(hold(&world, Suspect::Sender, None).await, OpenResult::Opened { .. }));
    world.dynamo.inject("UpdateItem", "Pacing", [Fault::LoseResponse]);
    accept(&world, scope()).await;
    assert_eq!(state(&world).await, BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_item_of_a_push_expires() {
    let world = World::new();
    let month = (world.now() + Duration::from_secs(30 * 24 * 3600)).as_second();
    refuse(&world, Suspect::Content, "a@x.example").await;
    assert_eq!(item(&world, scope())["expiresAt"], month);
    let world = World::new();
    hold(&world, Suspect::Sender, None).await;
    assert_eq!(item(&world, scope())["expiresAt"], month);
    accept(&world, Scope::Transport(SMTP)).await;
    assert_eq!(item(&world, Scope::Transport(SMTP))["expiresAt"], Value::Null, "the transport's item stays");
}
