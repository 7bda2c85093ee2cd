//! The time that is left: what is started, is claimed, sent and recorded before the deadline.

use std::time::Duration;

use delivery::{DeferReason, Deferral, Delivered};
use domain::TransportId;
use domain::queue::Batch;
use serde_json::Value;

use crate::bank::{Bank, SES_DURATION, SMTP_DURATION, assert_waits, customers_of, deferral, first_of, sent};
use crate::stored::after;

/// A call of the store before the message; and the record and the deferral after it.
const STORE: Duration = Duration::from_secs(8 + 20);

/// Delivers a batch that comes again, with this much time.
async fn defer_within(bank: &Bank, batch: &Batch, time: Duration) -> Deferral {
    deferral(bank.function().deliver(batch, bank.sources.now() + time).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn notification_is_started_only_if_it_can_be_finished() {
    let bank = Bank::with_customers(3).await;
    let batch = bank.push(1).await;
    let too_little = STORE + SMTP_DURATION - Duration::from_millis(1);
    let deferral = defer_within(&bank, &batch, too_little).await;
    // Another invocation can take it immediately.
    assert_waits(&deferral, DeferReason::Deadline, 0.0..=0.0);
    assert_eq!((deferral.again.customers().len(), deferral.again.deferrals), (3, 0));
    assert_eq!((bank.smtp.count(), bank.dynamo.count("UpdateItem", "Deliveries")), (0, 0));
    assert_eq!(bank.limits_of(TransportId::Smtp), Value::Null);

    let one = first_of(&batch, 1);
    let enough = bank.sources.now() + STORE + SMTP_DURATION;
    bank.function().deliver(&one, enough).await.unwrap();
    assert_eq!(bank.smtp.customers(), ["c-1"]);
}

#[tokio::test(start_paused = true)]
async fn transport_that_is_faster_needs_less_time() {
    let bank = Bank::with_customers(1).await.with_fallback();
    bank.limits().open_breaker(TransportId::Smtp, None, "down").await.unwrap();
    let batch = bank.push(1).await;
    let deferral = defer_within(&bank, &batch, STORE + SES_DURATION - Duration::from_millis(1)).await;
    assert_waits(&deferral, DeferReason::Deadline, 0.0..=0.0);
    bank.function().deliver(&batch, bank.sources.now() + STORE + SES_DURATION).await.unwrap();
    assert_eq!(bank.ses.customers(), ["c-1"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_started_in_time_is_finished_and_the_rest_is_deferred() {
    let bank = Bank::with_customers(10).await.with_rate(1);
    let batch = bank.push(1).await;
    let deferral = defer_within(&bank, &batch, STORE + SMTP_DURATION + Duration::from_millis(3_500)).await;
    assert_eq!(bank.smtp.times(), [0, 1_000, 2_000, 3_000]);
    assert_waits(&deferral, DeferReason::Deadline, 0.0..=0.0);
    assert_eq!(deferral.again.counts(), sent(4));
    assert_eq!(customers_of(&deferral.again), ["c-10", "c-5", "c-6", "c-7", "c-8", "c-9"]);
    // The fifth and the sixth had a slot, but no time when it came. The others asked for none.
    assert_eq!(bank.delivery("c-5"), Value::Null);
    assert_eq!(bank.limits_of(TransportId::Smtp)["nextSend"], after(6.0).as_microsecond());
    // Those slots are lost, and the rest waits for later ones.
    assert_eq!(bank.deliver_to_the_end(&deferral.again).await, Delivered::Completed(sent(10)));
}

#[tokio::test(start_paused = true)]
async fn what_is_final_or_screened_out_is_handled_in_time_or_deferred() {
    let bank = Bank::with_customers(2).await;
    let batch = bank.push(1).await;
    bank.unsubscribe("c-2").await;
    // Under a number of its own, so that its report does not complete the push.
    let one = Batch { number: 7, ..first_of(&batch, 1) };
    bank.function().deliver(&one, bank.sources.now() + STORE + SMTP_DURATION).await.unwrap();
    // Of the one that is sent, nothing has to be done any more.
    let deferral = defer_within(&bank, &batch, Duration::from_secs(10)).await;
    assert_eq!((customers_of(&deferral.again), deferral.again.counts()), (vec!["c-2"], sent(1)));
    assert_eq!(bank.delivery("c-2"), Value::Null);
}
