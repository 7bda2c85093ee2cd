//! A push during an SMTP outage and function crashes.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use offercast::output;
use processes::Processes;
use serde_json::json;

use super::Demo;
use crate::options::Options;
use crate::stack_dir::StackDir;
use crate::up::prepare;

/// Duration of the SMTP outage.
const OUTAGE: Duration = Duration::from_secs(15);
/// Rounds of killing functions.
const KILLS: usize = 8;
/// Concurrent sends of one email function (`CONCURRENCY` in crates/delivery).
const CONCURRENT_SENDS: u64 = 10;
/// Code and subject of the offer.
const OFFER: &str = "DEMO";

pub(super) async fn run(dir: &StackDir, options: &Options) -> Result<()> {
    let stack = prepare(dir, options, None).await?;
    let processes = Processes::new(&stack);
    let demo = Demo::begin(&stack).await?;

    let offer = demo.begin_push(OFFER).await?;
    let offer = (offer.as_str(), 1);

    let mut step = output::step(&format!("Stopping the SMTP server for {} seconds", OUTAGE.as_secs()));
    demo.set_smtp_faults(&json!([{"at": "connection", "do": "close"}])).await?;
    let outage = Instant::now();
    while outage.elapsed() < OUTAGE {
        step.update(&demo.progress(offer).await?.to_string());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    demo.slow_mail_server().await?;
    step.done("it works again; the next attempt shows that");

    let mut step = output::step("Killing the functions email and audience while they work (SIGKILL)");
    let (mut killed, mut killed_sending) = (0, 0);
    let mut sent = demo.progress(offer).await?.sent;
    for _ in 0..KILLS {
        // Wait until more have been sent, so that functions are busy when they are killed.
        let progress = demo.wait_for_sent(offer, sent + 40, &mut step).await?;
        if progress.is_completed {
            break;
        }
        sent = progress.sent;
        let sending = processes.kill("email").await?;
        killed_sending += sending as u64;
        killed += sending + processes.kill("audience").await?;
    }
    ensure!(killed_sending > 0, "no function was killed while it sent, so nothing was shown: the push ended too soon");
    step.done(&format!("{killed} killed"));

    let mut step =
        output::step("Waiting for the push to complete: others take over what the killed ones held within a minute");
    let push = demo.wait_for_end(offer, &mut step).await?;
    step.done(&push.to_string());

    let received = demo.received(OFFER, &push).await?;
    let (lost, twice, bound) = (received.lost(), received.second_copies, killed_sending * CONCURRENT_SENDS);
    println!();
    received.print();
    println!("  Second copies    {twice}, of at most {bound}");
    println!(
        "\n  A function that is killed after the server accepted a message and before that is recorded leaves it to"
    );
    println!(
        "  the next one, which sends it again: {killed_sending} functions were killed while they sent, with {CONCURRENT_SENDS} messages in flight each."
    );
    println!("  docs/guarantees.md explains why no system can avoid that.");
    if lost > 0 || twice > bound {
        bail!("broken: {lost} customers got nothing, and {twice} second copies were sent, of at most {bound}");
    }
    println!("\n  Held: nothing was lost, and no more was sent twice than may be.");
    Ok(())
}
