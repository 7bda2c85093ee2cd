//! `logs`: what the functions log, from where Lambda keeps it.

use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};
use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::error::DisplayErrorContext;
use client::Deployment;

/// How far back `logs` looks.
const BACK: Duration = Duration::from_secs(15 * 60);
/// How far back each look overlaps the one before: a line may be filed late.
const OVERLAP: Duration = Duration::from_secs(10);
/// Most events of one answer (CloudWatch Logs API reference). MiniStack does not say where the next one begins.
const PAGE: usize = 10_000;
/// How often `follow` looks.
const EVERY: Duration = Duration::from_secs(1);

/// Shows the last quarter of an hour of one function or all.
pub(crate) async fn show(deployment: &Deployment, function: Option<&str>, follow_on: bool) -> Result<()> {
    let mut tail = Tail::new(deployment, function)?;
    tail.look(SystemTime::now() - BACK).await?;
    if follow_on { tail.follow().await } else { Ok(()) }
}

/// Shows what comes from here on.
pub(crate) async fn follow(deployment: &Deployment, function: Option<&str>) -> Result<()> {
    Tail::new(deployment, function)?.follow().await
}

struct Tail {
    logs: Client,
    /// What each function does, and its log group.
    groups: Vec<(String, String)>,
    seen: HashSet<String>,
}

impl Tail {
    fn new(deployment: &Deployment, function: Option<&str>) -> Result<Self> {
        let groups: Vec<_> = deployment
            .functions
            .iter()
            .filter(|(name, _)| function.is_none_or(|function| function == *name))
            .map(|(name, function)| (name.clone(), group(function)))
            .collect();
        if groups.is_empty() {
            let known: Vec<_> = deployment.functions.keys().map(String::as_str).collect();
            bail!("there is no such function; there are {}", known.join(", "));
        }
        let logs = Client::new(&deployment.sdk);
        Ok(Self { logs, groups, seen: HashSet::new() })
    }

    async fn follow(&mut self) -> Result<()> {
        let mut since = SystemTime::now();
        loop {
            let next = SystemTime::now();
            self.look(since - OVERLAP).await?;
            since = next;
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Prints what was logged since then and not printed yet, in the order of time.
    async fn look(&mut self, since: SystemTime) -> Result<()> {
        let since = i64::try_from(since.duration_since(UNIX_EPOCH)?.as_millis())?;
        let mut lines = Vec::new();
        for (name, group) in &self.groups {
            let mut from = since;
            loop {
                let mut count = 0;
                let mut pages =
                    self.logs.filter_log_events().log_group_name(group).start_time(from).into_paginator().send();
                while let Some(page) = pages.next().await {
                    let page = match page {
                        Ok(page) => page,
                        Err(error) if never_ran(&error) => break,
                        Err(error) => bail!("cannot read the logs: {}", DisplayErrorContext(&error)),
                    };
                    count += page.events().len();
                    for event in page.events() {
                        let at = event.timestamp().unwrap_or_default();
                        from = from.max(at);
                        let message = event.message().unwrap_or_default().trim_end();
                        let id = format!("{group} {} {at} {message}", event.event_id().unwrap_or_default());
                        if self.seen.insert(id) {
                            lines.push((at, name, message.to_owned()));
                        }
                    }
                }
                if count < PAGE {
                    break;
                }
            }
        }
        lines.sort();
        for (_, name, message) in lines {
            for line in message.lines().filter(|line| is_worth_showing(line)) {
                println!("{name:9} {line}");
            }
        }
        Ok(())
    }
}

/// Where Lambda keeps a function's logs.
pub(crate) fn group(function: &str) -> String {
    format!("/aws/lambda/{function}")
}

/// Whether a call failed because there is no such log group: a function that never ran has none.
pub(crate) fn never_ran(error: &(impl std::error::Error + Send + Sync)) -> bool {
    DisplayErrorContext(error).to_string().contains("ResourceNotFound")
}

/// Lambda's own lines say nothing that ours do not, and metrics are for CloudWatch.
fn is_worth_showing(line: &str) -> bool {
    let lambdas = ["START RequestId", "END RequestId", "REPORT RequestId", "INIT_START"];
    let is_metrics = line.starts_with('{') && line.contains(r#""_aws":"#);
    !line.trim().is_empty() && !is_metrics && !lambdas.iter().any(|start| line.starts_with(start))
}
