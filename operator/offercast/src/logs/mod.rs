//! `logs`: the functions' log lines, from CloudWatch Logs.

mod line;

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use aws_sdk_cloudwatchlogs::Client;
use client::{Deployment, logged};
use jiff::Timestamp;
use jiff::tz::TimeZone;

pub use self::line::Level;
pub(crate) use self::line::Line;
use crate::output;

/// Overlap between two polls: a line may be stored late.
const OVERLAP: Duration = Duration::from_secs(10);
/// Time between two polls.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Which lines are shown, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct LogArgs {
    /// offer, customer, preferences, push, audience, email, sms or feedback. Default: all functions.
    function: Option<String>,
    /// Keep showing new lines.
    #[arg(long, short)]
    follow: bool,
    /// Only lines about this offer.
    #[arg(long, value_name = "ID")]
    offer: Option<String>,
    /// Only lines of this level, and graver ones.
    #[arg(long)]
    level: Option<Level>,
    /// How far back to begin, such as 30s, 15m, 2h or 3d.
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = parse_period)]
    since: Duration,
    /// Print whole lines as they were logged.
    #[arg(long, conflicts_with = "verbose")]
    json: bool,
    /// Show all fields of a line, with those of Lambda and X-Ray.
    #[arg(long, short)]
    verbose: bool,
}

fn parse_period(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number and s, m, h or d, for example 15m".to_owned();
    let (unit_at, unit) = text.char_indices().next_back().ok_or_else(expected)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(expected()),
    };
    let number: u64 = text[..unit_at].parse().map_err(|_| expected())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(expected)
}

/// Shows the lines of one function or of all.
///
/// # Errors
/// If there is no such function, or the logs cannot be read.
pub async fn show(deployment: &Deployment, args: &LogArgs) -> Result<()> {
    let mut tail = Tail::new(deployment, args.clone())?;
    let now = SystemTime::now();
    tail.print_since(now.checked_sub(args.since).unwrap_or(SystemTime::UNIX_EPOCH)).await?;
    if args.follow { tail.follow(now).await } else { Ok(()) }
}

/// Shows new lines of all functions, until the program ends.
///
/// # Errors
/// If the logs cannot be read.
pub async fn follow(deployment: &Deployment) -> Result<()> {
    let args = LogArgs {
        function: None,
        follow: true,
        offer: None,
        level: None,
        since: Duration::ZERO,
        json: false,
        verbose: false,
    };
    Tail::new(deployment, args)?.follow(SystemTime::now()).await
}

struct Tail {
    logs: Client,
    /// Short name and full name of each function.
    functions: Vec<(String, String)>,
    args: LogArgs,
    seen: HashSet<String>,
}

impl Tail {
    fn new(deployment: &Deployment, args: LogArgs) -> Result<Self> {
        let functions: Vec<_> = deployment
            .functions
            .iter()
            .filter(|(name, _)| args.function.as_ref().is_none_or(|function| function == *name))
            .map(|(name, function)| (name.clone(), function.clone()))
            .collect();
        if functions.is_empty() {
            let known: Vec<_> = deployment.functions.keys().map(String::as_str).collect();
            bail!("unknown function; expected one of: {}", known.join(", "));
        }
        let logs = Client::new(&deployment.sdk);
        Ok(Self { logs, functions, args, seen: HashSet::new() })
    }

    async fn follow(&mut self, mut since: SystemTime) -> Result<()> {
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
        for (at, function, message) in lines {
            for line in message.lines().filter(|line| is_shown(line)) {
                self.args.rendered(at, function, line).map_or(Ok(()), |text| output::line(&text))?;
            }
        }
        Ok(())
    }
}

impl LogArgs {
    /// With the date where lines may be of another day.
    fn time_format(&self) -> &'static str {
        if self.since > Duration::from_secs(12 * 3_600) { "%Y-%m-%d %H:%M:%S" } else { "%H:%M:%S" }
    }

    /// The line as it is printed. `None`: it was not asked for.
    fn rendered(&self, at: i64, function: &str, text: &str) -> Option<String> {
        let line = Line::parse(text);
        let is_wanted = match &line {
            Some(line) => {
                self.level.is_none_or(|least| line.level >= least)
                    && self.offer.as_ref().is_none_or(|offer| line.is_about(offer))
            }
            // Not ours: an error of Lambda itself, which is about no offer.
            None => self.offer.is_none(),
        };
        if !is_wanted {
            return None;
        }
        if self.json {
            return Some(text.to_owned());
        }
        let time = TimeZone::system()
            .to_datetime(Timestamp::from_millisecond(at).unwrap_or_default())
            .strftime(self.time_format());
        let said = line.map_or_else(|| text.to_owned(), |line| line.render(self.verbose));
        Some(format!("{time} {function:11} {said}"))
    }
}

/// Hides Lambda's own lines, which repeat ours, and metrics, which are for CloudWatch.
fn is_shown(line: &str) -> bool {
    let lambdas = ["START RequestId", "END RequestId", "REPORT RequestId", "INIT_START"];
    let is_metrics = line.starts_with('{') && line.contains(r#""_aws":"#);
    // With LogFormat JSON, they are objects with a type.
    let is_platform = line.starts_with('{') && line.contains(r#""type":"platform."#);
    !line.trim().is_empty() && !is_metrics && !is_platform && !lambdas.iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_have_a_unit() {
        for (text, seconds) in [("30s", 30), ("15m", 900), ("2h", 7_200), ("3d", 259_200)] {
            assert_eq!(parse_period(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "15", "m", "1w", "-1m", "1.5h", "99999999999999999999d", "1é"] {
            assert!(parse_period(text).is_err(), "{text}");
        }
    }
}
