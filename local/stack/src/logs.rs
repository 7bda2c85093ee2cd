//! `logs`: what the functions log, from where Lambda keeps it.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use aws_sdk_cloudwatchlogs::Client;
use client::{Deployment, logged};

/// How far back `logs` looks.
const LOOK_BACK: Duration = Duration::from_secs(15 * 60);
/// How far back each look overlaps the one before: a line may be filed late.
const OVERLAP: Duration = Duration::from_secs(10);
/// How often `follow` looks.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Shows the last quarter of an hour of one function or all.
pub(crate) async fn show(deployment: &Deployment, function: Option<&str>, keep_following: bool) -> Result<()> {
    let mut tail = Tail::new(deployment, function)?;
    tail.print_since(SystemTime::now() - LOOK_BACK).await?;
    if keep_following { tail.follow().await } else { Ok(()) }
}

/// Shows what comes from here on.
pub(crate) async fn follow(deployment: &Deployment, function: Option<&str>) -> Result<()> {
    Tail::new(deployment, function)?.follow().await
}

struct Tail {
    logs: Client,
    /// What each function does, and its name.
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
            bail!("there is no such function; there are {}", known.join(", "));
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

    /// Prints what was logged since then and not printed yet, in the order of time.
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

/// Lambda's own lines say nothing that ours do not, and metrics are for CloudWatch.
fn is_shown(line: &str) -> bool {
    let lambdas = ["START RequestId", "END RequestId", "REPORT RequestId", "INIT_START"];
    let is_metrics = line.starts_with('{') && line.contains(r#""_aws":"#);
    !line.trim().is_empty() && !is_metrics && !lambdas.iter().any(|start| line.starts_with(start))
}
