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
pub(super) mod tests {
    use domain::TransportId;
    use domain::channel::Channel;
    use domain::notification::ReasonCode;
    use domain::push::OutcomeCounts;
    use jiff::Timestamp;

    use super::super::view::{Function, Push, ReadError};
    use super::*;

    fn push() -> Push {
        Push {
            offer: "01890000-0000-7000-8000-000000000000".to_owned(),
            number: 1,
            code: "A".to_owned(),
            state: PushState::Running,
            percent: 10,
            eligible: 1_000,
            pending: 900,
            customers_read: 500,
            customers_unevaluable: 0,
            outcomes: OutcomeCounts { sent: 100, ..OutcomeCounts::default() },
            reasons: Vec::new(),
            failed_mostly: None,
            requested_at: Timestamp::UNIX_EPOCH,
            completed_at: None,
            waiting_for: Some(WaitingFor::Rate),
            last_error: None,
            per_second: None,
            seconds_left: None,
        }
    }

    fn unread(part: Part) -> ReadError {
        ReadError { part, error: "timeout".to_owned() }
    }

    pub(in crate::status) fn status() -> Status {
        let function = |name: &str| Function {
            name: name.to_owned(),
            full_name: String::new(),
            state: "Active".to_owned(),
            invocations: 9,
            errors: 0,
        };
        let queue = |name: &str, is_dead_letters: bool| Queue {
            name: name.to_owned(),
            is_dead_letters,
            waiting: u64::from(!is_dead_letters),
            in_flight: 0,
            delayed: 0,
            oldest: Some(300),
        };
        Status {
            at: Timestamp::UNIX_EPOCH,
            on_aws: None,
            pushes: vec![push()],
            transports: vec![Transport { channel: Channel::Email, transport: TransportId::Smtp, outage: None }],
            functions: vec![function("email"), function("sms")],
            queues: vec![queue("email", false), queue("emailDeadLetters", true)],
            tables: Vec::new(),
            inbox: None,
            read_errors: Vec::new(),
            concerns: Vec::new(),
        }
    }

    #[test]
    fn a_push_that_waits_for_the_rate_is_no_concern() {
        assert_eq!(concerns(&status()), []);
    }

    /// A change of a status in which all is well, and the concern that it leads to.
    type Case = (Box<dyn Fn(&mut Status)>, Level, &'static str, &'static str);

    fn check(cases: impl IntoIterator<Item = Case>) {
        for (change, level, what, remedy) in cases {
            let mut status = status();
            change(&mut status);
            let [concern] = &concerns(&status)[..] else { panic!("{what}: {:?}", concerns(&status)) };
            assert!(
                concern.level == level && concern.what.contains(what) && concern.remedy.contains(remedy),
                "{concern:?}"
            );
        }
    }

    #[test]
    fn each_concern_has_its_level_and_what_to_do() {
        let fails = |failed| OutcomeCounts { failed, ..OutcomeCounts::default() };
        let cases: [Case; 8] = [
            (
                Box::new(|status| status.queues[1].waiting = 2),
                Level::Bad,
                "2 dead letters of email, the oldest 5 min old",
                "redrive",
            ),
            (
                Box::new(|status| {
                    status.pushes[0].waiting_for = Some(WaitingFor::Provider);
                    status.pushes[0].last_error = Some("smtp: connection refused".to_owned());
                }),
                Level::Bad,
                "A #1 waits for the provider: smtp: connection refused. 900 notifications are pending",
                "sent by themselves",
            ),
            (
                Box::new(move |status| {
                    status.pushes[0].outcomes = fails(51);
                    status.pushes[0].failed_mostly = Some(CountedReason::new(ReasonCode::NotComposable, 49));
                }),
                Level::Bad,
                "51 of the 1,000 notifications of A #1 failed (49: the message cannot be composed)",
                "--state failed",
            ),
            (
                Box::new(|status| status.functions[0].state = "Held".to_owned()),
                Level::Bad,
                "Sending is switched off",
                "SendingEnabled=true",
            ),
            (
                Box::new(|status| status.functions[0].state = "Failed".to_owned()),
                Level::Bad,
                "The function email is failed",
                "",
            ),
            (
                Box::new(|status| status.functions[1].errors = 3),
                Level::Notice,
                "sms reported 3 errors",
                "logs sms --level error",
            ),
            (
                Box::new(|status| status.read_errors.push(unread(Part::Queues))),
                Level::Unknown,
                "Cannot read the queues: timeout",
                "",
            ),
            (
                Box::new(|status| status.read_errors.push(unread(Part::Inbox))),
                Level::Unknown,
                "Cannot read the inbox: timeout",
                "up starts it again",
            ),
        ];
        check(cases);
    }

    #[test]
    fn an_outage_is_bad_while_messages_wait_for_it() {
        let cases: [Case; 3] = [
            // One line for all pushes that wait for the same.
            (
                Box::new(|status| {
                    status.at = Timestamp::from_second(800).unwrap();
                    status.transports[0].outage = Some(Outage {
                        since: Timestamp::from_second(80).unwrap(),
                        next_probe: Timestamp::from_second(840).unwrap(),
                        last_error: Some("connection refused".to_owned()),
                    });
                    status.pushes[0].waiting_for = Some(WaitingFor::Provider);
                    status.pushes[0].last_error = Some("smtp: connection refused".to_owned());
                    status.pushes.push(status.pushes[0].clone());
                }),
                Level::Bad,
                "The provider of e-mail (smtp) has been unreachable for 12 min: connection refused. It is tried again in 40 s; \
                 1,800 notifications of 2 pushes are pending",
                "sent by themselves",
            ),
            // Nothing waits for it, so nothing has tried it since.
            (
                Box::new(|status| {
                    status.at = Timestamp::from_second(7_280).unwrap();
                    let (since, next_probe) = (Timestamp::UNIX_EPOCH, Timestamp::from_second(80).unwrap());
                    status.transports[0].outage = Some(Outage { since, next_probe, last_error: None });
                }),
                Level::Notice,
                "The provider of e-mail (smtp) was unreachable 2 h ago",
                "The next message tries it",
            ),
            (
                Box::new(|status| {
                    let outage = Outage { since: status.at, next_probe: status.at, last_error: None };
                    status.transports[0].outage = Some(outage);
                    let fallback = Transport { channel: Channel::Email, transport: TransportId::Ses, outage: None };
                    status.transports.push(fallback);
                }),
                Level::Notice,
                "The provider of e-mail (smtp) has been unreachable",
                "Meanwhile ses carries its messages",
            ),
        ];
        check(cases);
    }

    #[test]
    fn a_few_wrong_addresses_are_no_concern() {
        for (failed, eligible, is_concern) in
            [(50, 1_000, false), (1, 19, false), (9, 20, false), (10, 20, true), (3, 3, true)]
        {
            let mut status = status();
            status.pushes[0].outcomes = OutcomeCounts { failed, ..OutcomeCounts::default() };
            status.pushes[0].eligible = eligible;
            assert_eq!(!concerns(&status).is_empty(), is_concern, "{failed} of {eligible}");
        }
    }

    #[test]
    fn commands_are_for_the_stack_that_is_shown() {
        let mut status = Status { on_aws: Some("production".to_owned()), ..status() };
        status.queues[1].waiting = 1;
        status.functions[0].errors = 1;
        assert!(concerns(&status).iter().all(|concern| concern.remedy.ends_with(" --stack production")));
    }

    #[test]
    fn the_worst_comes_first() {
        let mut status = status();
        status.functions[1].errors = 1;
        status.read_errors.push(unread(Part::Tables));
        status.queues[1].waiting = 1;
        let levels: Vec<_> = concerns(&status).iter().map(|concern| concern.level).collect();
        assert_eq!(levels, [Level::Bad, Level::Unknown, Level::Notice]);
    }
}
