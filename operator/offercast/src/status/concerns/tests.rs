//! Each concern, from a status in which all is well and a change of it.

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
    let cases: [Case; 9] = [
        (
            Box::new(|status| status.queues[1].waiting = 2),
            Level::Bad,
            "2 dead letters of email, the oldest 5 min old",
            "redrive",
        ),
        (
            Box::new(|status| {
                let push = &mut status.pushes[0];
                (push.state, push.waiting_for, push.eligible, push.customers_unevaluable) =
                    (PushState::Completed, None, 0, 6);
            }),
            Level::Notice,
            "A #1 reached none of 500 customers; its rule cannot be evaluated for 6 of them",
            "customer ID --offer",
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
