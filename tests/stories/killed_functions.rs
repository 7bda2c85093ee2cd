//! Functions killed at any moment: no notification is lost, and duplicates are bounded by the messages in flight.
#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use anyhow::ensure;
use end_to_end::{Bank, wait_long_for};
use serde_json::json;

/// Concurrent sends of one email function (`CONCURRENCY` in crates/delivery).
const IN_FLIGHT: usize = 10;
const CUSTOMERS: usize = 2_000;
const KILLS: usize = 25;
/// After the last kill, whatever the moment: docs/guarantees.md promises that each killed function delays what it held by a
/// minute at most, and what it held may come to another one that is killed.
const RECOVERED_WITHIN: Duration = Duration::from_secs(120);

#[tokio::test]
async fn repeatedly_killed_functions_lose_no_notification() {
    let bank = Bank::open();
    bank.put_many(CUSTOMERS).await;
    // Each message takes a moment, as with a real server, so that kills hit functions while they send.
    bank.smtp_faults(json!([{"at": "message", "do": {"wait": 40}}])).await;
    let offer = bank.post_offer(&json!({"code": "KILLED", "description": "Hello"})).await;

    let mut killed = 0;
    let mut email_killed = 0;
    for round in 0.. {
        // Email, audience, email and push in turn, if they run. The offer is sent by e-mail only, so there is no sms
        // function to kill.
        let function = ["email", "audience", "email", "push"][round % 4];
        let count = bank.processes().kill(function).await.expect("processes can be killed");
        killed += count;
        if function == "email" {
            email_killed += count;
        }
        let push = bank.push(&offer).await;
        if killed >= KILLS || push["state"] == "completed" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(150 + 97 * (round as u64 % 5))).await;
    }
    assert!(killed >= KILLS, "only {killed} functions were killed before the push completed");

    let last_kill = Instant::now();
    let push = wait_long_for("the push to complete", RECOVERED_WITHIN, async || {
        let push = bank.push(&offer).await;
        ensure!(push["state"] == "completed", "{push}");
        Ok(push)
    })
    .await;
    bank.smtp_faults(json!([])).await;
    let recovered = last_kill.elapsed().as_secs();

    let count = bank.mail_count().await;
    assert_eq!(count.len(), CUSTOMERS, "no customer is left out");
    assert_eq!((&push["eligible"], &push["sent"]), (&json!(CUSTOMERS), &json!(CUSTOMERS)), "{push}");
    assert_eq!(bank.deliveries(&offer, "state=sent&limit=100").await.len(), CUSTOMERS);
    let twice = count.values().sum::<usize>() - CUSTOMERS;
    let bound = email_killed * IN_FLIGHT;
    assert!(twice <= bound, "{twice} copies too many, for {email_killed} email functions killed");
    println!(
        "{killed} functions killed, {email_killed} of them sending: {CUSTOMERS} served {recovered} s after the last kill, {twice} \
         copies too many (bound: {bound})"
    );
    bank.close().await;
}
