//! Pushes while another release is deployed, and taken back: each finds what the other left in queues and tables.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use offercast::output;

use super::Demo;
use crate::options::Options;
use crate::stack_dir::StackDir;
use crate::up::prepare;

/// Code and subject of the offer that the first release begins to push, and of the one that the second does.
const OFFERS: [&str; 2] = ["BEFORE", "AFTER"];
/// E-mails that a release has sent of a push when the other one is deployed.
const SENT: u64 = 200;

pub(super) async fn run(dir: &StackDir, options: &Options, from: &Path, to: &Path) -> Result<()> {
    let shown = |release: &Path| release.file_name().unwrap_or_default().display().to_string();
    println!("\n  Begins with {}", shown(from));
    let demo = Demo::begin(&prepare(dir, options, Some(from)).await?).await?;

    let mut step = output::step("Posting an offer");
    let before = demo.post(OFFERS[0]).await?;
    demo.wait_for_sent((&before, 1), SENT, &mut step).await?;
    step.done("sending has started");

    println!("\n  Deploys {} while it is sent", shown(to));
    prepare(dir, options, Some(to)).await?;
    let mut step = output::step("Posting another offer");
    let after = demo.post(OFFERS[1]).await?;
    demo.wait_for_sent((&after, 1), SENT, &mut step).await?;
    step.done("sending has started");

    println!("\n  Goes back to {} while both are sent", shown(from));
    let sent = demo.progress((&before, 1)).await?;
    ensure!(!sent.is_completed, "the first push was completed before the release was taken back: this shows nothing");
    prepare(dir, options, Some(from)).await?;
    let mut pushes = Vec::new();
    for (offer, code) in [&before, &after].into_iter().zip(OFFERS) {
        let mut step = output::step(&format!("Waiting for the push of {code} to complete"));
        let push = demo.wait_for_end((offer, 1), &mut step).await?;
        step.done(&push.to_string());
        pushes.push(push);
    }

    println!("\n  Deploys {} again", shown(to));
    prepare(dir, options, Some(to)).await?;
    for (offer, code) in [&before, &after].into_iter().zip(OFFERS) {
        let mut step = output::step(&format!("Pushing {code} again, to customers it was not sent to yet"));
        let response = demo.api.call("POST", &format!("/offers/{offer}/pushes"), &[], b"").await?;
        ensure!(response.status == 202, "the API refused to push again: {}", response.problem());
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
