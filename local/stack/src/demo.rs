//! `demo`: a push in which everything goes wrong, and the count of who was lost and who was written to twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use aws_sdk_sqs::types::QueueAttributeName;
use client::{Api, Stack};
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::options::Options;
use crate::place::Place;
use crate::run::Run;
use crate::shutdown::Stopped;
use crate::up::{end, prepare};
use crate::{load, progress};

/// How long the SMTP server takes for each message, in milliseconds: so that what breaks, breaks in the middle of sends.
const PER_MESSAGE: u64 = 60;
/// How long the SMTP server is down.
const DOWN: Duration = Duration::from_secs(15);
/// How often functions are killed.
const KILLS: usize = 8;
/// What a killed function held comes back after this many seconds; in production after minutes.
const HIDDEN: u32 = 5;
/// Functions send this many at a time (`CONCURRENCY` in crates/delivery).
const IN_FLIGHT: usize = 10;
/// How long all of it may take.
const WITHIN: Duration = Duration::from_secs(15 * 60);

const OFFER: &str =
    r#"{"code":"DEMO","description":"Hello {{ customer.name }}, get 5% cashback","channels":["email"]}"#;

/// Shows it, on a stack of its own.
pub(crate) async fn demo(options: &Options) -> Result<()> {
    ensure!(options.smtp.is_none(), "the demo needs its own SMTP server: it stops it");
    ensure!(
        !matches!(options.stack, Some(Emulator::At(_))),
        "the demo needs a stack of its own: it kills its functions"
    );
    let place = Place::of_workspace("demo-stack")?;
    let stopped = Stopped::listen()?;
    end(&place)?;
    let shown = tokio::select! {
        shown = show(&place, options) => shown,
        () = stopped.wait() => Err(anyhow::anyhow!("stopped")),
    };
    end(&place)?;
    shown
}

async fn show(place: &Place, options: &Options) -> Result<()> {
    let stack = prepare(place, options).await?;
    let functions = Run::load(&place.processes_file());
    load::load(&stack, None).await?;
    hide(&stack).await?;
    let bank = Bank { api: Api::new(&stack), inbox_url: stack.inbox_url.clone(), http: reqwest::Client::new() };
    bank.break_smtp(&json!([{"at": "message", "do": {"wait": PER_MESSAGE}}])).await?;

    let mut step = progress::step("Posting an offer to everybody");
    let answer = bank.api.call("POST", "/offers", &[], OFFER.as_bytes()).await?;
    ensure!(answer.status == 201, "the offer was refused ({}): {}", answer.status, answer.text);
    let offer = answer.json()["id"].as_str().context("the offer came back without an id")?.to_owned();
    bank.reached(&offer, 200, &mut step).await?;
    step.done("it is being sent");

    let mut step = progress::step("Stopping the SMTP server");
    bank.break_smtp(&json!([{"at": "connection", "do": "close"}])).await?;
    let down = Instant::now();
    while down.elapsed() < DOWN {
        step.at(&bank.push(&offer).await?.to_string());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    bank.break_smtp(&json!([{"at": "message", "do": {"wait": PER_MESSAGE}}])).await?;
    step.done("it is back");

    let mut step = progress::step("Killing functions in the middle of their work (SIGKILL)");
    let (mut killed, mut sent) = (0, bank.push(&offer).await?.sent);
    for _ in 0..KILLS {
        // Some have been sent since the last time, so there is a middle to be killed in.
        let progress = bank.reached(&offer, sent + 40, &mut step).await?;
        if progress.is_completed {
            break;
        }
        sent = progress.sent;
        killed += functions.kill_programs("bootstrap")?;
    }
    step.done(&format!("{killed} were killed"));

    let mut step = progress::step("Waiting for the push to end (claims of the killed hold for two and a half minutes)");
    let push = bank.reached(&offer, u64::MAX, &mut step).await?;
    step.done(&push.to_string());
    bank.judge(&push, killed).await
}

/// Lets messages that a killed function held come back soon.
async fn hide(stack: &Stack) -> Result<()> {
    let sqs = aws_sdk_sqs::Client::new(&stack.sdk_config());
    for (_, url) in stack.queues.iter().filter(|(name, _)| !name.ends_with("DeadLetters")) {
        let call = sqs.set_queue_attributes().queue_url(url);
        call.attributes(QueueAttributeName::VisibilityTimeout, HIDDEN.to_string()).send().await?;
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

struct Bank {
    api: Api,
    inbox_url: String,
    http: reqwest::Client,
}

impl Bank {
    async fn break_smtp(&self, faults: &Value) -> Result<()> {
        let url = format!("{}api/faults", self.inbox_url);
        self.http.put(url).json(faults).send().await?.error_for_status()?;
        Ok(())
    }

    async fn push(&self, offer: &str) -> Result<Progress> {
        let path = format!("/offers/{offer}/pushes/1");
        let mut answer = self.api.call("GET", &path, &[], b"").await?;
        // The function that answers is killed, too.
        while answer.status >= 500 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            answer = self.api.call("GET", &path, &[], b"").await?;
        }
        let push = answer.json();
        let count = |name: &str| push[name].as_u64().with_context(|| format!("{name} is missing in {push}"));
        Ok(Progress {
            is_completed: push["state"] == "completed",
            eligible: count("eligible")?,
            sent: count("sent")?,
            waiting_for: push["waitingFor"].as_str().map(str::to_owned),
        })
    }

    /// Waits until so many are sent, or the push is completed.
    async fn reached(&self, offer: &str, sent: u64, step: &mut progress::Step) -> Result<Progress> {
        let began = Instant::now();
        loop {
            let progress = self.push(offer).await?;
            step.at(&progress.to_string());
            if progress.is_completed || progress.sent >= sent {
                return Ok(progress);
            }
            ensure!(began.elapsed() < WITHIN, "the push does not get on: {progress}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Compares what the push says with what arrived.
    async fn judge(&self, push: &Progress, killed: usize) -> Result<()> {
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
            killed * IN_FLIGHT
        );
        println!("  sent {IN_FLIGHT} at a time. docs/guarantees.md tells why that cannot be avoided.");
        if lost > 0 || twice > killed * IN_FLIGHT {
            bail!("the promises did not hold");
        }
        Ok(())
    }
}
