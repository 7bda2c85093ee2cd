use std::num::NonZeroU32;

use domain::push::OutcomeCounts;
use jiff::SignedDuration;
use serde_json::json;

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A batch of these customers that was deferred this often.
fn batch(customers: &[&str], deferrals: u32) -> Batch {
    batch_with(customers, 0, deferrals)
}

/// The same, after `sent` messages were sent.
fn batch_with(customers: &[&str], sent: u64, deferrals: u32) -> Batch {
    let batch = json!({
        "push": {"offer": testing::OFFER, "number": 1}, "slice": 0, "generation": 1, "batch": 0, "channel": "email",
        "customers": customers, "tally": {"sent": sent}, "attempt": deferrals,
    });
    serde_json::from_value(batch).unwrap()
}

fn sent(sent: u64) -> Tally {
    OutcomeCounts { sent, ..OutcomeCounts::default() }.into()
}

#[test]
fn whole_batch_waits_longer_each_time() {
    let deferral = Deferral::whole(&batch(&["c-1"], 2), DeferReason::Store, 0.0);
    let expected = Deferral { again: batch(&["c-1"], 3), delay: seconds(2.25), reason: DeferReason::Store };
    assert_eq!(deferral, expected);
}

#[test]
fn batch_waits_for_half_as_long_to_as_long_again_as_the_outage_has_lasted() {
    for (lasted, block_left, probed_for, fraction, expected) in [
        // Not before the transport may be probed.
        (1, 2, None, 0.0, 3.0),
        (60, 2, None, 0.0, 31.0),
        (1_000, 30, None, 0.0, 501.0),
        (1_000, 30, None, 1.0, 900.0),
        (1_000, 1, Some(40), 1.0, 42.0),
        (10, 1, Some(40), 0.0, 6.0),
        // The clock of the one that opened the breaker is ahead.
        (-2, 1, None, 0.0, 2.0),
    ] {
        let bounds = after(block_left)..=probed_for.map_or(Timestamp::MAX, after);
        let deferral = Deferral::in_outage(&batch(&["c-1"], 2), bounds, after(-lasted), NOW, fraction);
        assert_eq!((deferral.delay, deferral.again), (seconds(expected), batch(&["c-1"], 2)), "{lasted} s");
    }
}

#[test]
fn progress_starts_the_backoff_again_and_some_reasons_do_not_grow_it() {
    for (customers, why, deferrals, delay, deferrals_again) in [
        (&["c-1"][..], Unfinished::NotAccepted, 2, 2.25, 3),
        (&["c-1"], Unfinished::StoreUnavailable, 2, 2.25, 3),
        (&["c-1"], Unfinished::Leased(after(900)), 2, 2.25, 3),
        (&["c-1"], Unfinished::BreakerOpen(Return::Soon), 2, 1.0, 2),
        (&["c-1"], Unfinished::BreakerOpen(Return::ToProbe(after(8))), 2, 9.0, 2),
        (&["c-1"], Unfinished::RateFull(after(5)), 2, 6.0, 2),
        (&["c-1"], Unfinished::NoTime, 2, 0.0, 2),
        // Another customer of the batch has an outcome.
        (&["c-1", "c-2"], Unfinished::NotAccepted, 2, 1.0, 1),
        (&["c-1", "c-2"], Unfinished::NoTime, 2, 0.0, 0),
    ] {
        let unfinished = vec![("c-1".parse().unwrap(), why)];
        let others = customers.len() as u64 - 1;
        let deferral = Deferral::rest(&batch(customers, deferrals), sent(others), unfinished, NOW, 0.0);
        let again = batch_with(&["c-1"], others, deferrals_again);
        assert_eq!((deferral.again, deferral.delay), (again, seconds(delay)), "{why:?} of {customers:?}");
    }
}

#[test]
fn only_a_cancelled_push_gives_up_a_batch_whose_page_is_not_committed() {
    for (customers, deferrals, push_is_cancelled, waited) in [
        (&["c-1"][..], 0, false, Some(0)),
        // These deferrals had other reasons.
        (&["c-1"], 16, true, Some(0)),
        (&[], 15, true, Some(15)),
        (&[], 16, true, None),
        (&[], 16, false, Some(16)),
    ] {
        let counted = 1 - customers.len() as u64;
        let batch = batch_with(customers, counted, deferrals);
        let deferral = Deferral::until_committed(&batch, sent(1), push_is_cancelled, 0.0);
        let expected = waited.map(|waited| Deferral {
            again: batch_with(&[], 1, waited + 1),
            delay: backoff(waited, 0.0),
            reason: DeferReason::PageNotCommitted,
        });
        assert_eq!(deferral, expected, "{customers:?} after {deferrals}, cancelled: {push_is_cancelled}");
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn after(seconds: i64) -> Timestamp {
    NOW + SignedDuration::from_secs(seconds)
}

#[test]
fn backoff_grows_up_to_its_limit() {
    for (deferrals, fraction, expected) in [
        (0, 0.0, 1.0),
        (0, 0.5, 1.25),
        (0, 1.0, 1.5),
        (1, 0.0, 1.5),
        (2, 0.0, 2.25),
        (2, 1.0, 3.375),
        (10, 0.0, 57.665_039_062),
        (16, 0.0, 656.840_835_571),
        (17, 0.0, 900.0),
        (16, 1.0, 900.0),
        (u32::MAX, 0.0, 900.0),
    ] {
        let difference = backoff(deferrals, fraction).as_secs_f64() - expected;
        assert!(difference.abs() < 1e-6, "{deferrals} deferrals, {fraction}: {difference}");
    }
}

#[test]
fn delay_until_a_moment_is_one_to_two_seconds_longer_and_bounded() {
    for (moment, fraction, expected) in [
        (after(10), 0.0, 11.0),
        (after(10), 1.0, 12.0),
        (NOW, 0.5, 1.5),
        (after(-5), 0.5, 1.5),
        (Timestamp::MIN, 0.0, 1.0),
        (after(899), 0.0, 900.0),
        (Timestamp::MAX, 1.0, 900.0),
    ] {
        assert_eq!(delay_until(moment, NOW, fraction), seconds(expected), "{moment}, {fraction}");
    }
}

/// The reason that decides when the batch can come again is reported, and its delay is used.
#[test]
fn each_set_of_unfinished_notifications_has_one_delay_and_reason() {
    let (rate, leased) = (Unfinished::RateFull(after(60)), Unfinished::Leased(after(3)));
    let (not_accepted, open, no_time, store) = (
        Unfinished::NotAccepted,
        Unfinished::BreakerOpen(Return::Soon),
        Unfinished::NoTime,
        Unfinished::StoreUnavailable,
    );
    let probes = Unfinished::BreakerOpen(Return::ToProbe(after(30)));
    // After three deferrals, the backoff is 3.375 s.
    for (unfinished, delay, reason) in [
        // The breaker may close at any moment, so its wait does not grow.
        (&[open][..], 1.0, DeferReason::BreakerOpen),
        (&[open, probes], 31.0, DeferReason::BreakerOpen),
        (&[no_time], 0.0, DeferReason::Deadline),
        (&[not_accepted], 3.375, DeferReason::Refused),
        (&[rate], 61.0, DeferReason::Rate),
        (&[Unfinished::RateFull(after(7)), rate], 8.0, DeferReason::Rate),
        (&[store], 3.375, DeferReason::Store),
        // Until the last lease ends, but no longer than the backoff.
        (&[Unfinished::Leased(after(1))], 2.0, DeferReason::Leased),
        (&[Unfinished::Leased(after(-9)), Unfinished::Leased(after(1))], 2.0, DeferReason::Leased),
        (&[leased], 3.375, DeferReason::Leased),
        (&[], 0.0, DeferReason::Leased),
        (&[leased, store, rate, not_accepted, no_time, open], 1.0, DeferReason::BreakerOpen),
        (&[leased, store, rate, not_accepted, no_time], 0.0, DeferReason::Deadline),
        (&[leased, store, rate, not_accepted], 3.375, DeferReason::Refused),
        (&[leased, store, rate], 61.0, DeferReason::Rate),
        (&[leased, store], 3.375, DeferReason::Store),
    ] {
        let wait = deferral_for(3, unfinished, NOW, 0.0);
        assert_eq!(wait, Wait { delay: seconds(delay), reason }, "{unfinished:?}");
    }
}

#[test]
fn batch_in_line_waits_for_up_to_a_quarter_of_what_is_left_of_its_push() {
    for (full_for, customers, fraction, expected) in [
        (0, 300, 0.0, 1.0),
        (0, 300, 0.5, 39.0),
        (0, 300, 1.0, 77.0),
        // Not before there may be a slot.
        (3, 4, 0.0, 4.0),
        (0, usize::MAX, 1.0, 900.0),
    ] {
        let backlog = Backlog { slices_left: 1, batches: 1, customers, per_second: NonZeroU32::MIN };
        let deferral = Deferral::in_line(&batch(&["c-1"], 2), after(full_for), backlog, NOW, fraction);
        let expected = Deferral { again: batch(&["c-1"], 2), delay: seconds(expected), reason: DeferReason::Rate };
        assert_eq!(deferral, expected, "{backlog:?}");
    }
}
