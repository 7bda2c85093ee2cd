//! `demo`: a push during an SMTP outage and function crashes, then a count of lost and duplicate e-mails.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use client::Api;
use offercast::output::{self, Step};
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::options::Options;
use crate::running_stack::RunningStack;
use crate::shutdown::{Interrupted, ShutdownSignal};
use crate::stack_dir::StackDir;
use crate::up::{prepare, stop};

/// The SMTP server's delay per message, so that faults happen during sends.
const MESSAGE_DELAY_MS: u64 = 60;
/// Duration of the SMTP outage.
const OUTAGE: Duration = Duration::from_secs(15);
/// Rounds of killing functions.
const KILLS: usize = 8;
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
    println!("\n  Watch it:  {}", stack.status_url.as_deref().unwrap_or_default());
    println!("  Inbox:     {}\n", stack.inbox_url);
    let running = RunningStack::load(&dir.processes_file());
    offercast::load::store_generated(&Api::new(&stack)).await?;
    let demo = Demo { api: Api::new(&stack), inbox_url: stack.inbox_url.clone(), http: reqwest::Client::new() };
    demo.set_smtp_faults(&json!([{"at": "message", "do": {"wait": MESSAGE_DELAY_MS}}])).await?;

    let mut step = output::step("Posting an offer to all customers by e-mail, which one in ten of them does not want");
    let response = demo.api.call("POST", "/offers", &[], OFFER.as_bytes()).await?;
    ensure!(response.status == 201, "the API refused the offer: {}", response.problem());
    let offer = response.json()["id"].as_str().context("the created offer has no id")?.to_owned();
    demo.wait_for_sent(&offer, 200, &mut step).await?;
    step.done("sending has started");

    let mut step = output::step(&format!("Stopping the SMTP server for {} seconds", OUTAGE.as_secs()));
    demo.set_smtp_faults(&json!([{"at": "connection", "do": "close"}])).await?;
    let outage = Instant::now();
    while outage.elapsed() < OUTAGE {
        step.update(&demo.push(&offer).await?.to_string());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    demo.set_smtp_faults(&json!([{"at": "message", "do": {"wait": MESSAGE_DELAY_MS}}])).await?;
    step.done("it works again; the next attempt shows that");

    let mut step = output::step("Killing the functions email and audience while they work (SIGKILL)");
    let (mut killed, mut killed_sending) = (0, 0);
    let mut sent = demo.push(&offer).await?.sent;
    for _ in 0..KILLS {
        // Wait until more have been sent, so that functions are busy when they are killed.
        let progress = demo.wait_for_sent(&offer, sent + 40, &mut step).await?;
        if progress.is_completed {
            break;
        }
        sent = progress.sent;
        let sending = running.kill_functions(&stack.functions["email"])?;
        killed_sending += sending;
        killed += sending + running.kill_functions(&stack.functions["audience"])?;
    }
    step.done(&format!("{killed} killed"));

    let mut step =
        output::step("Waiting for the push to complete: others take over what the killed ones held within a minute");
    let push = demo.wait_for_sent(&offer, u64::MAX, &mut step).await?;
    step.done(&push.to_string());
    demo.report(&push, killed_sending).await
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
    async fn wait_for_sent(&self, offer: &str, sent: u64, step: &mut Step) -> Result<Progress> {
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
    async fn report(&self, push: &Progress, killed_sending: usize) -> Result<()> {
        let mails: Vec<Value> = self.http.get(format!("{}api/messages", self.inbox_url)).send().await?.json().await?;
        let mut copies: BTreeMap<&str, usize> = BTreeMap::new();
        for mail in &mails {
            *copies.entry(mail["to"].as_str().unwrap_or_default()).or_default() += 1;
        }
        let lost = push.eligible.saturating_sub(copies.len() as u64);
        let twice = mails.len() - copies.len();
        let bound = killed_sending * CONCURRENT_SENDS;
        println!("\n  Wanted it        {}", output::grouped(push.eligible));
        println!("  Got it           {}", output::grouped(copies.len() as u64));
        println!("  Lost             {lost}");
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
}
