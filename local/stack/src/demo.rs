//! `demo`: a push during an SMTP outage and function crashes, then a count of lost and duplicate e-mails.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_sqs::types::QueueAttributeName;
use client::{Api, Stack};
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::options::Options;
use crate::running_stack::RunningStack;
use crate::shutdown::{Interrupted, ShutdownSignal};
use crate::stack_dir::StackDir;
use crate::up::{prepare, stop};
use crate::{load, progress};

/// The SMTP server's delay per message, so that faults happen during sends.
const MESSAGE_DELAY_MS: u64 = 60;
/// Duration of the SMTP outage.
const OUTAGE: Duration = Duration::from_secs(15);
/// Rounds of killing functions.
const KILLS: usize = 8;
/// Queue visibility timeout: a killed function's messages are redelivered after this time. In production it is minutes.
const VISIBILITY_TIMEOUT_SECONDS: u32 = 5;
/// Concurrent sends of one email function (`CONCURRENCY` in crates/delivery).
const CONCURRENT_SENDS: usize = 10;
/// Timeout of the push.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

const OFFER: &str =
    r#"{"code":"DEMO","description":"Hello {{ customer.name }}, get 5% cashback","channels":["email"]}"#;

/// Runs the demo on a separate stack.
pub(crate) async fn demo(options: &Options) -> Result<()> {
    ensure!(options.smtp.is_none(), "the demo stops the SMTP server, so it cannot use --smtp");
    ensure!(
        !matches!(options.stack, Some(Emulator::At(_))),
        "the demo kills functions, so --stack must be ministack or localstack"
    );
    let dir = StackDir::in_workspace("demo-stack")?;
    let shutdown = ShutdownSignal::listen()?;
    stop(&dir)?;
    let result = tokio::select! {
        result = run_demo(&dir, options) => result,
        () = shutdown.wait() => Err(Interrupted.into()),
    };
    stop(&dir)?;
    result
}

async fn run_demo(dir: &StackDir, options: &Options) -> Result<()> {
    let stack = prepare(dir, options).await?;
    let functions = RunningStack::load(&dir.processes_file());
    load::load(&stack, None).await?;
    shorten_visibility(&stack).await?;
    let demo = Demo { api: Api::new(&stack), inbox_url: stack.inbox_url.clone(), http: reqwest::Client::new() };
    demo.set_smtp_faults(&json!([{"at": "message", "do": {"wait": MESSAGE_DELAY_MS}}])).await?;

    let mut step = progress::step("Posting an offer to all customers");
    let response = demo.api.call("POST", "/offers", &[], OFFER.as_bytes()).await?;
    ensure!(response.status == 201, "the API refused the offer ({}): {}", response.status, response.text);
    let offer = response.json()["id"].as_str().context("the created offer has no id")?.to_owned();
    demo.wait_for_sent(&offer, 200, &mut step).await?;
    step.done("sending has started");

    let mut step = progress::step("Stopping the SMTP server");
    demo.set_smtp_faults(&json!([{"at": "connection", "do": "close"}])).await?;
    let outage = Instant::now();
    while outage.elapsed() < OUTAGE {
        step.update(&demo.push(&offer).await?.to_string());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    demo.set_smtp_faults(&json!([{"at": "message", "do": {"wait": MESSAGE_DELAY_MS}}])).await?;
    step.done("restarted");

    let mut step = progress::step("Killing functions while they send (SIGKILL)");
    let (mut killed, mut sent) = (0, demo.push(&offer).await?.sent);
    for _ in 0..KILLS {
        // Wait until more have been sent, so that functions are busy when they are killed.
        let progress = demo.wait_for_sent(&offer, sent + 40, &mut step).await?;
        if progress.is_completed {
            break;
        }
        sent = progress.sent;
        killed += functions.kill_programs("bootstrap")?;
    }
    step.done(&format!("{killed} killed"));

    let mut step =
        progress::step("Waiting for the push to complete (claims of killed functions expire after 2.5 minutes)");
    let push = demo.wait_for_sent(&offer, u64::MAX, &mut step).await?;
    step.done(&push.to_string());
    demo.report(&push, killed).await
}

/// Shortens the queues' visibility timeout, so that messages of killed functions are redelivered soon.
async fn shorten_visibility(stack: &Stack) -> Result<()> {
    let sqs = aws_sdk_sqs::Client::new(&stack.sdk_config());
    for (_, url) in stack.queues.iter().filter(|(name, _)| !name.ends_with("DeadLetters")) {
        let call = sqs.set_queue_attributes().queue_url(url);
        call.attributes(QueueAttributeName::VisibilityTimeout, VISIBILITY_TIMEOUT_SECONDS.to_string()).send().await?;
    }
    Ok(())
}

/// The progress of the push.
struct Progress {
    is_completed: bool,
    eligible: u64,
    sent: u64,
    waiting_for: Option<String>,
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} sent", self.sent, self.eligible)?;
        match &self.waiting_for {
            Some(what) => write!(f, ", waiting for {what}"),
            None => Ok(()),
        }
    }
}

struct Demo {
    api: Api,
    inbox_url: String,
    http: reqwest::Client,
}

impl Demo {
    async fn set_smtp_faults(&self, faults: &Value) -> Result<()> {
        let url = format!("{}api/faults", self.inbox_url);
        self.http.put(url).json(faults).send().await?.error_for_status()?;
        Ok(())
    }

    async fn push(&self, offer: &str) -> Result<Progress> {
        let path = format!("/offers/{offer}/pushes/1");
        let mut response = self.api.call("GET", &path, &[], b"").await?;
        // The function behind the API is killed too.
        while response.status >= 500 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            response = self.api.call("GET", &path, &[], b"").await?;
        }
        let push = response.json();
        let count = |name: &str| push[name].as_u64().with_context(|| format!("{name} is missing from {push}"));
        Ok(Progress {
            is_completed: push["state"] == "completed",
            eligible: count("eligible")?,
            sent: count("sent")?,
            waiting_for: push["waitingFor"].as_str().map(str::to_owned),
        })
    }

    /// Waits until at least `sent` are sent or the push is completed.
    async fn wait_for_sent(&self, offer: &str, sent: u64, step: &mut progress::Step) -> Result<Progress> {
        let began = Instant::now();
        loop {
            let progress = self.push(offer).await?;
            step.update(&progress.to_string());
            if progress.is_completed || progress.sent >= sent {
                return Ok(progress);
            }
            ensure!(began.elapsed() < TIMEOUT, "the push makes no progress: {progress}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Compares the push's counts with the inbox.
    async fn report(&self, push: &Progress, killed: usize) -> Result<()> {
        let mails: Vec<Value> = self.http.get(format!("{}api/messages", self.inbox_url)).send().await?.json().await?;
        let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
        for mail in &mails {
            *copies.entry(mail["to"].as_str().unwrap_or_default()).or_default() += 1;
        }
        let lost = push.eligible.saturating_sub(copies.len() as u64);
        let twice = copies.values().filter(|count| **count > 1).count();
        let bound = killed * CONCURRENT_SENDS;
        println!("\n  Eligible      {}", push.eligible);
        println!("  E-mails       {} to {} customers", mails.len(), copies.len());
        println!("  Lost          {lost}");
        println!("  Sent twice    {twice}");
        println!(
            "\n  If a function is killed after the server accepted a message, but before the outcome is recorded, the message is"
        );
        println!(
            "  sent again. The upper bound here is {bound} messages: {killed} killed functions with {CONCURRENT_SENDS} concurrent sends each."
        );
        println!(
            "  It includes killed functions that do not send. docs/guarantees.md explains why duplicates cannot be avoided."
        );
        if lost > 0 || twice > bound {
            bail!("the delivery guarantees were violated");
        }
        Ok(())
    }
}
