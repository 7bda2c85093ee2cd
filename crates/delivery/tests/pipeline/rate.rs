//! The rate limit: sends are spread over time, and all functions together stay below it.

use std::time::Duration;

use delivery::{DeferReason, Delivered};
use domain::TransportId;
use domain::queue::{Batch, Notifications};
use jiff::SignedDuration;
use serde_json::json;
use testing::Fault;

use crate::bank::{Bank, assert_waits, first_of, sent};
use crate::provider::accepted;
use crate::stored::after;

/// All slots before this time are reserved by others.
fn reserve_until(bank: &Bank, seconds: f64) {
    let next_send = after(seconds).as_microsecond();
    bank.dynamo.put("Pacing", json!({"pk": "smtp", "nextSend": next_send, "reservedBy": "others"}));
}

#[tokio::test(start_paused = true)]
async fn sends_are_as_far_apart_as_the_rate_demands() {
    let bank = Bank::with_customers(10).await.with_rate(4);
    let batch = bank.push(1).await;
    assert_eq!(bank.complete(&batch).await, sent(10));
    assert_eq!(bank.smtp.times(), (0..10).map(|number| number * 250).collect::<Vec<_>>());
    assert_eq!(bank.smtp.customers()[..3], ["c-1", "c-2", "c-3"]);
    // Slots for four, four and two: none is reserved in vain.
    assert_eq!(bank.limits_of(TransportId::Smtp)["nextSend"], after(2.5).as_microsecond());
}

#[tokio::test(start_paused = true)]
async fn slots_are_reserved_only_for_those_who_are_left() {
    let bank = Bank::with_customers(6).await.with_rate(4);
    let batch = bank.push(1).await;
    // Under a number of its own, so that its report does not complete the push.
    let first = Batch { number: 7, ..first_of(&batch, 4) };
    bank.deliver(&first).await;
    tokio::time::advance(after(10.0).duration_since(bank.clock.now()).unsigned_abs()).await;
    bank.deliver(&batch).await;
    assert_eq!(bank.smtp.times()[4..], [10_000, 10_250]);
    assert_eq!(bank.limits_of(TransportId::Smtp)["nextSend"], after(10.5).as_microsecond());
}

#[tokio::test(start_paused = true)]
async fn functions_share_the_rate() {
    let bank = Bank::with_customers(16).await.with_rate(2);
    let batches = bank.push_in_batches_of(8, 1).await;
    bank.dynamo.set_latency(Duration::from_millis(5));
    let (first, second) = tokio::join!(bank.deliver_to_the_end(&batches[0]), bank.deliver_to_the_end(&batches[1]));
    assert_eq!((first, second), (Delivered::Completed(sent(8)), Delivered::Completed(sent(8))));
    assert_eq!(bank.smtp.reached().len(), 16);
    // Each function allows for the latency when it reserves, so slots are exact and sends are not early.
    let times = bank.smtp.times();
    let closest = times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap();
    assert!(closest >= 490, "{times:?}");
    assert!(times[15] < 12_000, "the rate is used: {times:?}");
    assert_eq!(bank.slice(1)["sent"], 16);
}

/// A function that waited would be taken from the batches of other pushes.
#[tokio::test(start_paused = true)]
async fn batch_that_finds_no_free_slot_is_deferred_at_once() {
    // Others have reserved slots as far ahead as another push's turn goes.
    let bank = Bank::with_customers(1).await;
    let batch = bank.push(1).await;
    reserve_until(&bank, 2.0);
    assert_eq!(bank.complete(&batch).await, sent(1));
    assert_eq!(bank.smtp.times(), [2_000]);

    let bank = Bank::with_customers(50).await.with_rate(1);
    let batch = bank.push(1).await;
    reserve_until(&bank, 2.001);
    let deferral = bank.defer(&batch).await;
    // One slice with one batch of 50 is left, so up to a third of 50 seconds, and a second or two.
    assert_waits(&deferral, DeferReason::Rate, 1.0..=18.7);
    assert_eq!(deferral.again, batch);
    assert_eq!((bank.smtp.count(), bank.deliveries_in("claimed")), (0, 0));
    assert_eq!(bank.sources.now(), after(0.0), "nothing waits in vain");
    assert_eq!(bank.dynamo.count("UpdateItem", "Pacing"), 0);
    assert_eq!(bank.dynamo.count("BatchGetItem", "Customers"), 0, "nor is anything read that may change until then");
}

/// There may be thousands of batches of one push, which those of another push must not wait for.
#[tokio::test(start_paused = true)]
async fn next_batches_of_a_push_are_deferred_without_a_call_until_there_may_be_a_slot() {
    let bank = Bank::with_customers(40).await.with_rate(1);
    let batches = bank.push_in_batches_of(10, 1).await;
    let function = bank.function();
    let deliver = async |batch: &Batch| function.deliver(batch, after(300.0)).await.unwrap();
    reserve_until(&bank, 3.0);
    let Delivered::Deferred(first) = deliver(&batches[0]).await else { panic!("there is no slot") };
    let calls = bank.dynamo.calls().len();
    let Delivered::Deferred(second) = deliver(&batches[1]).await else { panic!("there is no slot") };
    assert_eq!((second.again.clone(), second.reason), (batches[1].clone(), first.reason));
    assert_eq!(bank.dynamo.calls().len(), calls);
    // A batch without customers only waits for its report, and one of another push has a turn of its own.
    let reported = Batch { notifications: Notifications::new(Vec::new(), sent(10)).unwrap(), ..batches[2].clone() };
    assert_eq!(deliver(&reported).await, Delivered::Completed(sent(10)));
    let other = bank.another_offer(1).await.push(1).await;
    assert_eq!(deliver(&other).await, Delivered::Completed(sent(1)));
    // Where others have taken no slots since, this one is free.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(deliver(&batches[3]).await, Delivered::Completed(sent(10)));
}

#[tokio::test(start_paused = true)]
async fn batch_whose_slots_others_take_first_waits_for_a_second_and_a_half_and_no_longer() {
    // Slots are reserved up to two seconds ahead after the turn of others.
    for (free_at, is_sent) in [(3.5, true), (3.501, false)] {
        let bank = Bank::with_customers(1).await;
        let batch = bank.push(1).await;
        let dynamo = bank.dynamo.clone();
        let others = move |_: &_| {
            let next_send = after(free_at).as_microsecond();
            dynamo.put("Pacing", json!({"pk": "smtp", "nextSend": next_send, "reservedBy": "others"}));
        };
        bank.dynamo.inject("UpdateItem", "Pacing", [Fault::before(others)]);
        if is_sent {
            assert_eq!(bank.complete(&batch).await, sent(1));
            assert_eq!(bank.smtp.times(), [3_500]);
        } else {
            // At 1.501 s a slot can be reserved, and those who are deferred do not all come at once.
            assert_waits(&bank.defer(&batch).await, DeferReason::Rate, 2.501..=3.501);
            assert_eq!((bank.smtp.count(), bank.sources.now()), (0, after(0.0)), "nothing waits in vain");
            assert_eq!(bank.dynamo.count("UpdateItem", "Pacing"), 1, "one of the batch asks for all");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn rest_of_a_batch_is_deferred_once_others_use_the_whole_rate() {
    let bank = Bank::with_customers(6).await.with_rate(2);
    let batch = bank.push(1).await;
    let dynamo = bank.dynamo.clone();
    bank.smtp.replies(move |number, _| {
        if number == 1 {
            dynamo.set("Pacing", json!({"pk": "smtp"}), "nextSend", after(20.0).as_microsecond());
        }
        accepted()
    });
    let deferral = bank.defer(&batch).await;
    assert_eq!(bank.smtp.times(), [0, 500, 1_000, 1_500]);
    assert_eq!((deferral.again.counts(), deferral.again.customers().len()), (sent(4), 2));
    assert_waits(&deferral, DeferReason::Rate, 18.0..=20.0);
}

#[tokio::test(start_paused = true)]
async fn slots_that_lapse_in_a_slow_store_are_reserved_again() {
    let bank = Bank::with_customers(4).await.with_rate(4);
    let batch = bank.push(1).await;
    bank.dynamo.inject("UpdateItem", "Pacing", [Fault::Nothing, Fault::Delay(Duration::from_secs(2))]);
    assert_eq!(bank.complete(&batch).await, sent(4));
    let times = bank.smtp.times();
    assert!(times[0] >= 2_000, "{times:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 250), "{times:?}");
    assert_eq!(bank.dynamo.faults_left(), 0);
}

#[tokio::test(start_paused = true)]
async fn sender_that_loses_every_slot_to_others_gives_up_after_five_seconds() {
    let bank = Bank::with_customers(2).await;
    let batch = bank.push(1).await;
    bank.dynamo.set_latency(Duration::from_millis(100));
    let clock = bank.clock.clone();
    // A sender that appends to the slots of others finds that they have passed; one that starts anew finds new ones.
    let race = Fault::before(move |dynamo| {
        let appends =
            dynamo.requests("UpdateItem", "Pacing").last().unwrap().to_string().contains("nextSend + :length");
        let ahead = SignedDuration::from_millis(if appends { -1_000 } else { 500 });
        let next_send = (clock.now() + ahead).as_microsecond();
        dynamo.put("Pacing", json!({"pk": "smtp", "nextSend": next_send, "reservedBy": "others"}));
    });
    bank.dynamo.inject_always("UpdateItem", "Pacing", race);
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::Rate, 1.0..=2.1);
    let took = bank.clock.now().duration_since(after(0.0)).as_secs();
    assert!((5..7).contains(&took), "{took} s");
    assert_eq!(bank.smtp.count(), 0);
    assert_eq!(bank.limits_of(TransportId::Smtp)["reservedBy"], "others");
}
