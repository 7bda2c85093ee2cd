//! `demo`: a push in which everything goes wrong, and the count of who was lost and who was written to twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_sqs::types::QueueAttributeName;
use client::{Api, Stack};
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::options::Options;
use crate::run::Run;
use crate::shutdown::ShutdownSignal;
use crate::stack_dir::StackDir;
use crate::up::{prepare, stop};
use crate::{load, progress};

/// How long the SMTP server takes for each message, in milliseconds: so that what breaks, breaks in the middle of sends.
const MESSAGE_DELAY_MS: u64 = 60;
/// How long the SMTP server is down.
const OUTAGE: Duration = Duration::from_secs(15);
/// How often functions are killed.
const KILLS: usize = 8;
/// What a killed function held comes back after this many seconds; in production after minutes.
const VISIBILITY_TIMEOUT_SECONDS: u32 = 5;
/// Functions send this many at a time (`CONCURRENCY` in crates/delivery).
const CONCURRENT_SENDS: usize = 10;
/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

const OFFER: &str =
    r#"{"code":"DEMO","description":"Hello {{ customer.name }}, get 5% cashback","channels":["email"]}"#;

/// Shows it, on a stack of its own.
pub(crate) async fn demo(options: &Options) -> Result<()> {
    ensure!(options.smtp.is_none(), "the demo needs its own SMTP server: it stops it");
    ensure!(
        !matches!(options.stack, Some(Emulator::At(_))),
        "the demo needs a stack of its own: it kills its functions"
    );
    let dir = StackDir::in_workspace("demo-stack")?;
    let shutdown = ShutdownSignal::listen()?;
    stop(&dir)?;
    let result = tokio::select! {
        result = run_demo(&dir, options) => result,
        () = shutdown.wait() => Err(anyhow::anyhow!("stopped")),
    };
    stop(&dir)?;
    result
}

async fn run_demo(dir: &StackDir, options: &Options) -> Result<()> {
    let stack = prepare(dir, options).await?;
    let functions = Run::load(&dir.processes_file());
    load::load(&stack, None).await?;
    shorten_visibility(&stack).await?;
    let demo = Demo { api: Api::new(&stack), inbox_url: stack.inbox_url.clone(), http: reqwest::Client::new() };
    demo.set_smtp_faults(&json!([{"at": "message", "do": {"wait": MESSAGE_DELAY_MS}}])).await?;

    let mut step = progress::step("Posting an offer to everybody");
    let response = demo.api.call("POST", "/offers", &[], OFFER.as_bytes()).await?;
    ensure!(response.status == 201, "the offer was refused ({}): {}", response.status, response.text);
    let offer = response.json()["id"].as_str().context("the offer came back without an id")?.to_owned();
    demo.wait_for_sent(&offer, 200, &mut step).await?;
    step.done("it is being sent");

    let mut step = progress::step("Stopping the SMTP server");
    demo.set_smtp_faults(&json!([{"at": "connection", "do": "close"}])).await?;
    let outage = Instant::now();
    while outage.elapsed() < OUTAGE {
        step.update(&demo.push(&offer).await?.to_string());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    demo.set_smtp_faults(&json!([{"at": "message", "do": {"wait": MESSAGE_DELAY_MS}}])).await?;
    step.done("it is back");

    let mut step = progress::step("Killing functions in the middle of their work (SIGKILL)");
    let (mut killed, mut sent) = (0, demo.push(&offer).await?.sent);
    for _ in 0..KILLS {
        // Some have been sent since the last time, so there is a middle to be killed in.
        let progress = demo.wait_for_sent(&offer, sent + 40, &mut step).await?;
        if progress.is_completed {
            break;
        }
        sent = progress.sent;
        killed += functions.kill_programs("bootstrap")?;
    }
    step.done(&format!("{killed} were killed"));

    let mut step = progress::step("Waiting for the push to end (claims of the killed hold for two and a half minutes)");
    let push = demo.wait_for_sent(&offer, u64::MAX, &mut step).await?;
    step.done(&push.to_string());
    demo.report(&push, killed).await
}

/// Lets messages that a killed function held come back soon.
async fn shorten_visibility(stack: &Stack) -> Result<()> {
    let sqs = aws_sdk_sqs::Client::new(&stack.sdk_config());
    for (_, url) in stack.queues.iter().filter(|(name, _)| !name.ends_with("DeadLetters")) {
        let call = sqs.set_queue_attributes().queue_url(url);
        call.attributes(QueueAttributeName::VisibilityTimeout, VISIBILITY_TIMEOUT_SECONDS.to_string()).send().await?;
    }
    Ok(())
}

/// How far the push is.
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
        // The function that answers is killed, too.
        while response.status >= 500 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            response = self.api.call("GET", &path, &[], b"").await?;
        }
        let push = response.json();
        let count = |name: &str| push[name].as_u64().with_context(|| format!("{name} is missing in {push}"));
        Ok(Progress {
            is_completed: push["state"] == "completed",
            eligible: count("eligible")?,
            sent: count("sent")?,
            waiting_for: push["waitingFor"].as_str().map(str::to_owned),
        })
    }

    /// Waits until so many are sent, or the push is completed.
    async fn wait_for_sent(&self, offer: &str, sent: u64, step: &mut progress::Step) -> Result<Progress> {
        let began = Instant::now();
        loop {
            let progress = self.push(offer).await?;
            step.update(&progress.to_string());
            if progress.is_completed || progress.sent >= sent {
                return Ok(progress);
            }
            ensure!(began.elapsed() < TIMEOUT, "the push does not get on: {progress}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Compares what the push says with what arrived.
    async fn report(&self, push: &Progress, killed: usize) -> Result<()> {
        let mails: Vec<Value> = self.http.get(format!("{}api/messages", self.inbox_url)).send().await?.json().await?;
        let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
        for mail in &mails {
            *copies.entry(mail["to"].as_str().unwrap_or_default()).or_default() += 1;
        }
        let lost = push.eligible.saturating_sub(copies.len() as u64);
        let twice = copies.values().filter(|count| **count > 1).count();
        println!("\n  Eligible      {}", push.eligible);
        println!("  E-mails       {} to {} customers", mails.len(), copies.len());
        println!("  Lost          {lost}");
        println!("  Sent twice    {twice}");
        println!(
            "\n  A function that is killed between the server's taking a message and its being recorded leaves a doubt, and"
        );
        println!(
            "  the message is sent once more: at most {} times here, for {killed} killed functions that",
            killed * CONCURRENT_SENDS
        );
        println!("  sent {CONCURRENT_SENDS} at a time. docs/guarantees.md tells why that cannot be avoided.");
        if lost > 0 || twice > killed * CONCURRENT_SENDS {
            bail!("the promises did not hold");
        }
        Ok(())
    }
}
