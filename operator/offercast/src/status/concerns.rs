//! What an operator should look at, the worst first.

use domain::push::waiting::WaitingFor;
use domain::push::{CountedReason, PushState};
use serde::Serialize;

use super::view::{Outage, Part, Push, Queue, Status, Transport};
use crate::output::{age, count, grouped, tool};

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Level {
    /// It should be known; no message is lost or late because of it.
    Notice,
    /// Part of the state cannot be read.
    Unknown,
    /// Messages are not sent, or failed, and an operator is needed.
    Bad,
}

/// One thing to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Concern {
    pub(super) level: Level,
    pub(super) what: String,
    /// What to do. Empty if there is nothing to do.
    pub(super) remedy: String,
}

/// What is done about a provider that accepts no messages.
const RESUMES: &str = "They are sent by themselves once it accepts messages again, if its address is right";

/// What an operator should look at, the worst first. Empty if all is well.
pub(super) fn concerns(status: &Status) -> Vec<Concern> {
    let stack = status.on_aws.as_ref().map(|name| format!(" --stack {name}")).unwrap_or_default();
    let mut concerns = Vec::new();
    let mut add = |level, what, remedy| concerns.push(Concern { level, what, remedy });
    for queue in status.queues.iter().filter(|queue| queue.is_dead_letters && queue.depth() > 0) {
        add(Level::Bad, dead_letters(queue), format!("{} redrive{stack}", tool()));
    }
    for transport in &status.transports {
        if let Some(outage) = &transport.outage {
            let (level, what, remedy) = down(transport, outage, status);
            add(level, what, remedy);
        }
    }
    for push in &status.pushes {
        let name = format!("{} #{}", push.code, push.number);
        if waits_for_provider(push) && !status.transports.iter().any(|transport| explains(transport, push)) {
            let error = push.last_error.as_deref().unwrap_or("it does not say why");
            let what =
                format!("{name} waits for the provider: {error}. {} are pending", count(push.pending, "notification"));
            add(Level::Bad, what, RESUMES.to_owned());
        }
        if push.state == PushState::Completed && push.eligible == 0 && push.customers_read > 0 {
            let unevaluable = match push.customers_unevaluable {
                0 => String::new(),
                some => format!("; its rule cannot be evaluated for {} of them", grouped(some)),
            };
            let what = format!("{name} reached none of {}{unevaluable}", count(push.customers_read, "customer"));
            add(Level::Notice, what, format!("{} customer ID --offer {}{stack}", tool(), push.offer));
        }
        // The alarm `push-failed` says the same.
        if push.outcomes.has_many_failures(push.eligible) {
            let most = push
                .failed_mostly
                .as_ref()
                .map(|CountedReason { reason, count, .. }| format!(" ({}: {reason})", grouped(*count)));
            let failed = of(push.outcomes.failed, push.eligible);
            let failed = format!("{failed} of {name} failed{}", most.unwrap_or_default());
            add(Level::Bad, failed, format!("{} deliveries {} --state failed{stack}", tool(), push.offer));
        }
    }
    let held: Vec<_> = status
        .functions
        .iter()
        .filter(|function| function.state == "Held")
        .map(|function| function.name.as_str())
        .collect();
    if !held.is_empty() {
        let what = format!("Sending is switched off: what comes to {} waits in its queue", held.join(", "));
        let remedy = "Deploy with SendingEnabled=true. If it is true, enable their event sources (docs/operations.md, email-age)";
        add(Level::Bad, what, remedy.to_owned());
    }
    let inactive = status.functions.iter().filter(|function| !["Active", "Held"].contains(&function.state.as_str()));
    for function in inactive {
        add(Level::Bad, format!("The function {} is {}", function.name, function.state.to_lowercase()), String::new());
    }
    for function in status.functions.iter().filter(|function| function.errors > 0) {
        let (name, errors) = (&function.name, count(function.errors, "error"));
        let remedy = format!("{} logs {name} --level error --since 1h{stack}", tool());
        add(Level::Notice, format!("The function {name} reported {errors} in the last hour"), remedy);
    }
    for error in &status.read_errors {
        let remedy = match error.part {
            Part::Inbox => format!("{} up starts it again if it has ended", tool()),
            _ => String::new(),
        };
        add(Level::Unknown, error.to_string(), remedy);
    }
    concerns.sort_by_key(|concern| std::cmp::Reverse(concern.level));
    concerns
}

fn waits_for_provider(push: &Push) -> bool {
    push.state == PushState::Running && push.waiting_for == Some(WaitingFor::Provider)
}

/// Whether a push waits because the transport is down.
fn explains(transport: &Transport, push: &Push) -> bool {
    let mut errors = push.last_error.as_deref().unwrap_or_default().split("; ");
    let own = format!("{}: ", transport.transport);
    transport.outage.is_some() && errors.any(|error| error.starts_with(&own))
}

fn down(transport: &Transport, outage: &Outage, status: &Status) -> (Level, String, String) {
    let Outage { since, next_probe, last_error } = outage;
    let seconds = |time: jiff::SignedDuration| age(u64::try_from(time.as_secs()).unwrap_or_default());
    let (name, error) = (transport.name(), last_error.as_deref().unwrap_or("it does not say why"));
    let waiting = status.pushes.iter().filter(|push| waits_for_provider(push) && explains(transport, push));
    let (pushes, pending) = waiting.fold((0_u64, 0), |(pushes, pending), push| (pushes + 1, pending + push.pending));
    let is_other = |other: &&Transport| other.channel == transport.channel && other.outage.is_none();
    if let Some(other) = status.transports.iter().find(is_other) {
        let what = format!(
            "The provider of {name} has been unreachable for {}: {error}",
            seconds(status.at.duration_since(*since))
        );
        return (Level::Notice, what, format!("Meanwhile {} carries its messages", other.transport));
    }
    // Nothing is sent, so nothing finds out whether it is there again.
    if pushes == 0 {
        let what = format!(
            "The provider of {name} was unreachable {} ago: {error}",
            seconds(status.at.duration_since(*next_probe))
        );
        return (Level::Notice, what, "The next message tries it again".to_owned());
    }
    let next = next_probe.duration_since(status.at);
    let next = if next.is_positive() { format!("in {}", seconds(next)) } else { "with the next batch".to_owned() };
    let of = if pushes == 1 { "1 push".to_owned() } else { format!("{} pushes", grouped(pushes)) };
    let what = format!(
        "The provider of {name} has been unreachable for {}: {error}. It is tried again {next}; {} of {of} are pending",
        seconds(status.at.duration_since(*since)),
        count(pending, "notification"),
    );
    (Level::Bad, what, RESUMES.to_owned())
}

fn dead_letters(queue: &Queue) -> String {
    let name = queue.name.trim_end_matches(super::DEAD_LETTERS);
    let count = count(queue.depth(), "dead letter");
    let oldest = queue.oldest.map(|seconds| format!(", the oldest {} old", age(seconds))).unwrap_or_default();
    format!("{count} of {name}{oldest}: nothing happens to them until you send or drop them")
}

fn of(part: u64, all: u64) -> String {
    match all {
        1 => "The notification".to_owned(),
        _ => format!("{} of the {}", grouped(part), count(all, "notification")),
    }
}

#[cfg(test)]
pub(super) mod tests;
