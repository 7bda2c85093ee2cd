//! What those who watch a push see of a batch that is deferred.

use std::time::Duration;

use delivery::{DeferReason, RefusalKind, SendError};
use domain::push::OutcomeCounts;
use domain::push::waiting::{Delays, WaitingFor};
use domain::queue::Batch;
use serde_json::json;
use store::pushes::Progress;

use crate::bank::{Bank, assert_waits, sent};
use crate::provider::{accepted, refused};
use crate::stored::assert_has;

fn busy() -> SendError {
    SendError::refused(RefusalKind::Temporary, "busy")
}

async fn progress(bank: &Bank, batch: &Batch) -> Progress {
    bank.pushes().progress(batch.push).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_refused_recipient_does_not_hide_the_outcomes_of_the_others() {
    let bank = Bank::with_customers(50).await;
    let batch = bank.push(1).await;
    bank.smtp.replies(|_, customer| if customer == "c-7" { refused(busy()) } else { accepted() });
    let mut again = bank.defer(&batch).await.again;
    for _ in 0..5 {
        let seen = progress(&bank, &batch).await;
        assert_eq!((seen.tally.outcomes, seen.pending(), seen.refused), (sent(49), 1, 1));
        assert!(seen.waits_for_recipients_only());
        tokio::time::sleep(Duration::from_secs(60)).await;
        again = bank.defer(&again).await.again;
    }
    let seen = progress(&bank, &batch).await;
    let wait = seen.wait(&Delays::new(), &[], bank.sources.now());
    assert_eq!((wait.reason, wait.last_error.as_deref()), (Some(WaitingFor::Provider), Some("smtp: busy")));

    bank.smtp.always(accepted());
    assert_eq!(bank.complete(&again).await, sent(50));
    let seen = progress(&bank, &batch).await;
    assert_eq!((seen.tally.outcomes, seen.pending(), seen.refused), (sent(50), 0, 0));
    assert_has(&bank.slice(1), &json!({"partials": null, "sent": 50}));
}

/// Offer A's refusal was shown by offer B.
#[tokio::test(start_paused = true)]
async fn a_push_does_not_show_the_refusal_of_another_push() {
    let bank = Bank::with_customers(1).await;
    let (first, second) = (bank.push(1).await, bank.push(2).await);
    bank.smtp.always(refused(busy()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    bank.defer(&first).await;
    assert_eq!(progress(&bank, &first).await.refusal.unwrap().reason, "busy");
    let seen = progress(&bank, &second).await;
    assert_eq!(seen.wait(&Delays::new(), &[], bank.sources.now()).reason, None);
}

#[tokio::test(start_paused = true)]
async fn counts_are_stored_when_the_breaker_opens_but_not_when_the_batch_comes_again_at_once() {
    let bank = Bank::with_customers(30).await;
    let batch = bank.push(1).await;
    bank.smtp.replies(|number, _| match number {
        0..20 => accepted(),
        _ => refused(SendError::Unreachable("no connection".to_owned())),
    });
    let deferral = bank.defer(&batch).await;
    assert_waits(&deferral, DeferReason::BreakerOpen, 2.0..=3.0);
    let seen = progress(&bank, &batch).await;
    assert_eq!((seen.tally.outcomes, seen.pending(), seen.refused), (sent(20), 10, 0));
    assert!(!seen.waits_for_recipients_only());

    let bank = Bank::with_customers(2).await;
    let batch = bank.push(1).await;
    bank.smtp.replies(|number, _| if number == 0 { accepted() } else { refused(SendError::TooLate) });
    assert_waits(&bank.defer(&batch).await, DeferReason::Deadline, 0.0..=0.0);
    assert_eq!(progress(&bank, &batch).await.tally.outcomes, OutcomeCounts::default());
}
