//! `demo`: pushes on a separate stack while something happens to it, then a count of lost and duplicate e-mails.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | a push during an SMTP outage and function crashes | `faults` |
//! | pushes while a release is deployed, and taken back | `update` |
//! | how a demo follows a push and counts e-mails | this file |

mod faults;
mod update;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use client::{Api, Response, Stack};
use offercast::output::{self, Step};
use serde_json::{Value, json};

use crate::emulator::Emulator;
use crate::options::Options;
use crate::shutdown::{Interrupted, ShutdownSignal};
use crate::stack_dir::StackDir;
use crate::up::stop;

/// The SMTP server's delay per message, so that things happen during sends.
const MESSAGE_DELAY_MS: u64 = 60;
/// E-mails that have been sent when a push counts as begun.
const BEGUN: u64 = 200;
/// Timeout of a push.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// How long a call may fail because its function is killed or replaced.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the demo on a separate stack: of faults, or of an update from an archive of a release to that of another.
pub(crate) async fn demo(options: &Options, update: Option<&[PathBuf]>) -> Result<()> {
    ensure!(options.smtp.is_none(), "the demo needs the inbox, so it cannot use --smtp");
    ensure!(
        !matches!(options.stack, Some(Emulator::At(_))),
        "the demo needs a stack that it can kill, so --stack must be ministack or localstack"
    );
    let dir = StackDir::in_workspace("demo-stack")?;
    let shutdown = ShutdownSignal::listen()?;
    stop(&dir)?;
    let run = async {
        match update {
            Some([from, to]) => update::run(&dir, options, from, to).await,
            _ => faults::run(&dir, options).await,
        }
    };
    let result = tokio::select! {
        result = run => result,
        () = shutdown.wait() => Err(Interrupted.into()),
    };
    stop(&dir)?;
    result
}

/// A demo's stack.
struct Demo {
    api: Api,
    inbox_url: String,
    http: reqwest::Client,
}

/// An offer's id, and the number of its push.
type Push<'a> = (&'a str, u32);

/// The progress of a push.
struct Progress {
    is_completed: bool,
    eligible: u64,
    sent: u64,
    waiting_for: Option<String>,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} sent", self.sent, self.eligible)?;
        match &self.waiting_for {
            Some(what) => write!(f, ", waiting for {what}"),
            None => Ok(()),
        }
    }
}

/// Who got an e-mail, of those who were to.
struct Received {
    wanted: u64,
    got: u64,
    second_copies: u64,
}

impl Received {
    fn lost(&self) -> u64 {
        self.wanted.saturating_sub(self.got)
    }

    fn print(&self) {
        println!("  Wanted it        {}", output::grouped(self.wanted));
        println!("  Got it           {}", output::grouped(self.got));
        println!("  Lost             {}", self.lost());
    }
}

impl Demo {
    /// Shows where to watch the stack, and fills it with customers. Its mail server is slow.
    async fn begin(stack: &Stack) -> Result<Self> {
        println!("\n  Watch it:  {}", stack.status_url.as_deref().unwrap_or_default());
        println!("  Inbox:     {}\n", stack.inbox_url);
        offercast::load::store_generated(&Api::new(stack)).await?;
        let demo = Self { api: Api::new(stack), inbox_url: stack.inbox_url.clone(), http: reqwest::Client::new() };
        demo.slow_mail_server().await?;
        Ok(demo)
    }

    async fn slow_mail_server(&self) -> Result<()> {
        self.set_smtp_faults(&json!([{"at": "message", "do": {"wait": MESSAGE_DELAY_MS}}])).await
    }

    async fn set_smtp_faults(&self, faults: &Value) -> Result<()> {
        let url = format!("{}api/faults", self.inbox_url);
        self.http.put(url).json(faults).send().await?.error_for_status()?;
        Ok(())
    }

    /// Posts an offer by e-mail to all customers, and returns its id once [`BEGUN`] of them have it. Its code is its subject as well.
    async fn begin_push(&self, code: &str) -> Result<String> {
        let mut step = output::step(&format!(
            "Posting {code}, an offer to all customers by e-mail, which one in ten of them does not want"
        ));
        let offer = json!({
            "code": code, "subject": code, "description": "Hello {{ customer.name }}, get 5% cashback", "channels": ["email"],
        });
        // The call may be made again although the offer was stored.
        let once = [("idempotency-key", code)];
        let response = self.call("POST", "/offers", &once, offer.to_string().as_bytes()).await?;
        let id = response.json()["id"].as_str().context("the created offer has no id")?.to_owned();
        self.wait_for_sent((&id, 1), BEGUN, &mut step).await?;
        step.done("sending has started");
        Ok(id)
    }

    async fn progress(&self, (offer, number): Push<'_>) -> Result<Progress> {
        let push = self.call("GET", &format!("/offers/{offer}/pushes/{number}"), &[], b"").await?.json();
        let count = |name: &str| push[name].as_u64().with_context(|| format!("{name} is missing from {push}"));
        Ok(Progress {
            is_completed: push["state"] == "completed",
            eligible: count("eligible")?,
            sent: count("sent")?,
            waiting_for: push["waitingFor"].as_str().map(str::to_owned),
        })
    }

    /// The response to a call. The function behind the API may be killed or replaced just then, so it is made again for a while.
    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
        let began = Instant::now();
        loop {
            let response = self.api.call(method, path, headers, body).await?;
            if response.status < 300 {
                return Ok(response);
            }
            let is_over = response.status < 500 || began.elapsed() > CALL_TIMEOUT;
            ensure!(!is_over, "{method} {path}: {}", response.problem());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until a push has sent at least `sent`, or is completed.
    async fn wait_for_sent(&self, (offer, number): Push<'_>, sent: u64, step: &mut Step) -> Result<Progress> {
        let began = Instant::now();
        loop {
            let progress = self.progress((offer, number)).await?;
            step.update(&progress.to_string());
            if progress.is_completed || progress.sent >= sent {
                return Ok(progress);
            }
            ensure!(began.elapsed() < TIMEOUT, "the push makes no progress: {progress}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn wait_for_end(&self, push: Push<'_>, step: &mut Step) -> Result<Progress> {
        self.wait_for_sent(push, u64::MAX, step).await
    }

    /// Compares a push's counts with the inbox.
    async fn received(&self, code: &str, push: &Progress) -> Result<Received> {
        let url = format!("{}api/messages?bodies=false", self.inbox_url);
        let mails: Vec<Value> = self.http.get(url).send().await?.json().await?;
        let mut copies: BTreeMap<&str, u64> = BTreeMap::new();
        for mail in mails.iter().filter(|mail| mail["subject"] == code) {
            *copies.entry(mail["to"].as_str().unwrap_or_default()).or_default() += 1;
        }
        let got = copies.len() as u64;
        Ok(Received { wanted: push.eligible, got, second_copies: copies.values().sum::<u64>() - got })
    }
}
