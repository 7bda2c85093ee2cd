//! Pushes while another release is deployed, and taken back: each finds what the other left in queues and tables.
//!
//! AWS lets functions finish what they do when it updates them. Emulators end them, which [`super::faults`] is about; so they get no
//! messages until they are done.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessagesNotVisible as InFlight;
use client::{Deployment, Stack};
use offercast::output::{self, Step};

use super::{Demo, TIMEOUT};
use crate::options::Options;
use crate::stack_dir::StackDir;
use crate::up::prepare;

/// Code and subject of the offer that the first release begins to push, and of the one that the second does.
const OFFERS: [&str; 2] = ["BEFORE", "AFTER"];
/// The queues of a push by e-mail, and the functions that handle their messages.
const QUEUES: [&str; 2] = ["audience", "email"];
/// How often in a row no message is being handled, at looks 200 ms apart, before the functions count as done.
const IDLE_LOOKS: u32 = 10;

pub(super) async fn run(dir: &StackDir, options: &Options, from: &Path, to: &Path) -> Result<()> {
    println!("\n  Begins with {}", name(from));
    let demo = Demo::begin(&prepare(dir, options, Some(from)).await?).await?;

    let before = demo.begin_push(OFFERS[0]).await?;

    println!("\n  Deploys {} while it is sent", name(to));
    replace(dir, options, to).await?;
    let after = demo.begin_push(OFFERS[1]).await?;

    println!("\n  Goes back to {} while both are sent", name(from));
    replace(dir, options, from).await?;
    let left = demo.progress((&before, 1)).await?;
    ensure!(!left.is_completed, "the first push was completed before the release was taken back: this shows nothing");
    let mut pushes = Vec::new();
    for (offer, code) in [&before, &after].into_iter().zip(OFFERS) {
        let mut step = output::step(&format!("Waiting for the push of {code} to complete"));
        let push = demo.wait_for_end((offer, 1), &mut step).await?;
        step.done(&push.to_string());
        pushes.push(push);
    }

    println!("\n  Deploys {} again", name(to));
    replace(dir, options, to).await?;
    for (offer, code) in [&before, &after].into_iter().zip(OFFERS) {
        let mut step = output::step(&format!("Pushing {code} again, to customers it was not sent to yet"));
        demo.call("POST", &format!("/offers/{offer}/pushes"), &[], b"").await?;
        let push = demo.wait_for_end((offer, 2), &mut step).await?;
        step.done(&format!("{} sent", push.sent));
    }

    let mut is_broken = false;
    for (push, code) in pushes.iter().zip(OFFERS) {
        let received = demo.received(code, push).await?;
        println!("\n  {code}");
        received.print();
        println!("  Second copies    {}", received.second_copies);
        is_broken |= received.lost() > 0 || received.second_copies > 0;
    }
    if is_broken {
        bail!("broken: something was lost or sent twice between the releases");
    }
    println!("\n  Held: each release went on with what the other one left, and nothing was lost or sent twice.");
    Ok(())
}

fn name(release: &Path) -> String {
    release.file_name().unwrap_or_default().display().to_string()
}

/// Deploys a release in place of another, once no function is at work.
async fn replace(dir: &StackDir, options: &Options, to: &Path) -> Result<()> {
    let deployment = Deployment::local(&Stack::read(&dir.stack_file())?);
    let lambda = aws_sdk_lambda::Client::new(&deployment.sdk);
    let mut step = output::step("Waiting until the functions are done with what they began");
    hold(&lambda, &deployment, true).await?;
    wait_until_idle(&aws_sdk_sqs::Client::new(&deployment.sdk), &deployment, &mut step).await?;
    step.done("they are");
    prepare(dir, options, Some(to)).await?;
    hold(&lambda, &deployment, false).await
}

/// Holds the messages of queues, or lets functions get them again.
async fn hold(lambda: &aws_sdk_lambda::Client, deployment: &Deployment, is_held: bool) -> Result<()> {
    for name in QUEUES {
        let listed = lambda.list_event_source_mappings().function_name(&deployment.functions[name]).send().await?;
        for uuid in listed.event_source_mappings().iter().filter_map(|mapping| mapping.uuid()) {
            lambda.update_event_source_mapping().uuid(uuid).enabled(!is_held).send().await?;
        }
    }
    Ok(())
}

async fn wait_until_idle(sqs: &aws_sdk_sqs::Client, deployment: &Deployment, step: &mut Step) -> Result<()> {
    let began = Instant::now();
    // A poll that began before may still bring messages.
    let mut idle_looks = 0;
    loop {
        let mut in_flight = 0;
        for name in QUEUES {
            let read = sqs.get_queue_attributes().queue_url(&deployment.queues[name]).attribute_names(InFlight);
            let attributes = read.send().await?.attributes.unwrap_or_default();
            in_flight += attributes.get(&InFlight).and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
        }
        idle_looks = if in_flight == 0 { idle_looks + 1 } else { 0 };
        if idle_looks == IDLE_LOOKS {
            return Ok(());
        }
        step.update(&format!("{in_flight} messages of queues are being handled"));
        ensure!(began.elapsed() < TIMEOUT, "{in_flight} messages of queues are still being handled");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
