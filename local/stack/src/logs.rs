//! `logs`: the functions' log lines, from CloudWatch Logs.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use aws_sdk_cloudwatchlogs::Client;
use client::{Deployment, logged};

/// The period that `logs` shows first.
const LOOK_BACK: Duration = Duration::from_secs(15 * 60);
/// Overlap between two polls: a line may be stored late.
const OVERLAP: Duration = Duration::from_secs(10);
/// Time between two polls.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Shows the last 15 minutes of one function or of all.
pub(crate) async fn show(deployment: &Deployment, function: Option<&str>, keep_following: bool) -> Result<()> {
    let mut tail = Tail::new(deployment, function)?;
    tail.print_since(SystemTime::now() - LOOK_BACK).await?;
    if keep_following { tail.follow().await } else { Ok(()) }
}

/// Shows new lines only.
pub(crate) async fn follow(deployment: &Deployment, function: Option<&str>) -> Result<()> {
    Tail::new(deployment, function)?.follow().await
}

struct Tail {
    logs: Client,
    /// Short name and full name of each function.
    functions: Vec<(String, String)>,
    seen: HashSet<String>,
}

impl Tail {
    fn new(deployment: &Deployment, function: Option<&str>) -> Result<Self> {
        let functions: Vec<_> = deployment
            .functions
            .iter()
            .filter(|(name, _)| function.is_none_or(|function| function == *name))
            .map(|(name, function)| (name.clone(), function.clone()))
            .collect();
        if functions.is_empty() {
            let known: Vec<_> = deployment.functions.keys().map(String::as_str).collect();
            bail!("unknown function; expected one of: {}", known.join(", "));
        }
        let logs = Client::new(&deployment.sdk);
        Ok(Self { logs, functions, seen: HashSet::new() })
    }

    async fn follow(&mut self) -> Result<()> {
        let mut since = SystemTime::now();
        loop {
            let next = SystemTime::now();
            self.print_since(since - OVERLAP).await?;
            since = next;
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Prints the lines since then that have not been printed yet, in order of time.
    async fn print_since(&mut self, since: SystemTime) -> Result<()> {
        let mut lines = Vec::new();
        for (name, function) in &self.functions {
            for event in logged(&self.logs, function, since).await? {
                let at = event.timestamp().unwrap_or_default();
                let message = event.message().unwrap_or_default().trim_end();
                let id = format!("{function} {} {at} {message}", event.event_id().unwrap_or_default());
                if self.seen.insert(id) {
                    lines.push((at, name, message.to_owned()));
                }
            }
        }
        lines.sort();
        for (_, name, message) in lines {
            for line in message.lines().filter(|line| is_shown(line)) {
                println!("{name:9} {line}");
            }
        }
        Ok(())
    }
}

/// Hides Lambda's own lines, which repeat ours, and metrics, which are for CloudWatch.
fn is_shown(line: &str) -> bool {
    let lambdas = ["START RequestId", "END RequestId", "REPORT RequestId", "INIT_START"];
    let is_metrics = line.starts_with('{') && line.contains(r#""_aws":"#);
    !line.trim().is_empty() && !is_metrics && !lambdas.iter().any(|start| line.starts_with(start))
}
