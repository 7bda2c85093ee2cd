//! Two pushes of an offer that are open at the same time: the first waits for recipients who are refused for now.

use std::time::Duration;

use delivery::{RefusalKind, SendError};
use domain::push::OutcomeCounts;
use domain::queue::Batch;
use serde_json::json;

use crate::bank::{Bank, sent};
use crate::provider::{accepted, refused};
use crate::stored::assert_has;

fn busy() -> SendError {
    SendError::refused(RefusalKind::Temporary, "busy")
}

/// A bank whose first push waits for `c-2`, and the batches of its first and second push.
async fn two_pushes() -> (Bank, Batch, Batch) {
    let bank = Bank::with_customers(3).await;
    let first = bank.push(1).await;
    bank.smtp.replies(|_, customer| if customer == "c-2" { refused(busy()) } else { accepted() });
    let first = bank.defer(&first).await.again;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let second = bank.push(2).await;
    let second = bank.defer(&second).await.again;
    assert_has(&bank.delivery("c-2"), &json!({"state": "retry", "push": 2}));
    assert_eq!(second.counts(), OutcomeCounts { already_served: 2, ..sent(0) });
    (bank, first, second)
}

/// The counts that both pushes end with, and how many messages were sent in all.
async fn complete_both(bank: &Bank, batches: [&Batch; 2]) -> [OutcomeCounts; 2] {
    let mut counts = Vec::new();
    for batch in batches {
        counts.push(bank.complete(batch).await);
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert_eq!((bank.state_of_push(1), bank.state_of_push(2)), (json!("completed"), json!("completed")));
    for number in [1, 2] {
        let progress = bank.pushes().progress(bank.push_id(number)).await.unwrap().unwrap();
        assert_eq!((progress.tally.outcomes.total(), progress.pending()), (3, 0), "push {number}");
    }
    counts.try_into().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_customer_whom_one_push_serves_is_already_served_for_the_other() {
    let served = OutcomeCounts { already_served: 3, ..sent(0) };
    let by_second = OutcomeCounts { already_served: 2, ..sent(1) };

    let (bank, first, second) = two_pushes().await;
    bank.smtp.always(accepted());
    let of_first = OutcomeCounts { already_served: 1, ..sent(2) };
    assert_eq!(complete_both(&bank, [&second, &first]).await, [by_second, of_first]);
    assert_eq!((bank.smtp.reached().len(), bank.deliveries_in("sent")), (3, 3));

    let (bank, first, second) = two_pushes().await;
    bank.smtp.always(accepted());
    assert_eq!(complete_both(&bank, [&first, &second]).await, [sent(3), served]);
    assert_eq!((bank.smtp.reached().len(), bank.deliveries_in("sent")), (3, 3));
    assert_has(&bank.delivery("c-2"), &json!({"state": "sent", "push": 1}));
}

#[tokio::test(start_paused = true)]
async fn a_customer_whom_one_push_finds_rejected_is_failed_for_both_and_tried_once() {
    for order in [[0, 1], [1, 0]] {
        let (bank, first, second) = two_pushes().await;
        bank.smtp.always(refused(SendError::refused(RefusalKind::Recipient, "no such mailbox")));
        let tried = bank.smtp.count();
        let batches = [&first, &second];
        let counts = complete_both(&bank, order.map(|index: usize| batches[index])).await;
        assert!(counts.iter().all(|counts| counts.failed == 1), "{counts:?}");
        assert_eq!(bank.smtp.count(), tried + 1);
    }
}

/// The earlier push may still serve whom the later one leaves.
#[tokio::test(start_paused = true)]
async fn a_claim_of_one_push_keeps_the_other_away_until_its_lease_ends() {
    let (bank, first, second) = two_pushes().await;
    bank.smtp.always(accepted().after(Duration::from_secs(5)));
    let both = async { tokio::join!(bank.deliver(&second), bank.defer(&first)) };
    let (_, waiting) = both.await;
    assert_eq!((waiting.again.customers().len(), bank.smtp.reached().len()), (1, 3));
    assert_eq!(bank.complete(&waiting.again).await, OutcomeCounts { already_served: 1, ..sent(2) });
    assert_eq!((bank.smtp.reached().len(), bank.deliveries_in("sent")), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn cancelling_the_earlier_push_leaves_its_recipients_to_the_later_one() {
    let (bank, first, second) = two_pushes().await;
    bank.smtp.always(accepted());
    bank.cancel(1).await;
    assert_eq!(bank.complete(&first).await, OutcomeCounts { cancelled: 1, ..sent(2) });
    assert_has(&bank.delivery("c-2"), &json!({"state": "cancelled", "push": 1}));
    assert_eq!(bank.complete(&second).await, OutcomeCounts { already_served: 2, ..sent(1) });
    assert_eq!(bank.deliveries_in("sent"), 3);
}

#[tokio::test(start_paused = true)]
async fn cancelling_the_later_push_ends_the_delivery_for_both() {
    let (bank, first, second) = two_pushes().await;
    bank.smtp.always(accepted());
    bank.cancel(2).await;
    assert_eq!(bank.complete(&second).await, OutcomeCounts { already_served: 2, cancelled: 1, ..sent(0) });
    assert_eq!(bank.complete(&first).await, OutcomeCounts { cancelled: 1, ..sent(2) });
    // A later push serves them.
    let third = bank.push(3).await;
    assert_eq!(bank.complete(&third).await, OutcomeCounts { already_served: 2, ..sent(1) });
    assert_eq!(bank.deliveries_in("sent"), 3);
}
