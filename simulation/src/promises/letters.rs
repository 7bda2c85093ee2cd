//! Dead letters: nothing but what was received as often as allowed, each time by a process that was ended.

use jiff::SignedDuration;

use super::Violation;
use super::facts::{Facts, Freeze};

const PROMISE: &str = "nothing but poison among dead letters";

/// For how long at least an invocation has hidden its messages, at any time (docs/guarantees.md, "Back within a minute").
const HIDDEN_FOR: SignedDuration = SignedDuration::from_secs(20);

/// What a dead-letter queue is for.
struct Kind {
    queue: &'static str,
    function: &'static str,
    /// How often a message is received before it becomes a dead letter (`maxReceiveCount` of the template), or a record of a
    /// stream is tried.
    attempts: usize,
    /// How long the function may be unable to work before what comes to it is given up, if it cannot put it off.
    patience: Option<SignedDuration>,
}

const KINDS: [Kind; 7] = [
    Kind { queue: "AudienceDeadLetters", function: "audience", attempts: 5, patience: None },
    Kind { queue: "EmailDeadLetters", function: "email", attempts: 5, patience: None },
    Kind { queue: "SmsDeadLetters", function: "sms", attempts: 5, patience: None },
    // Reports wait in the queue while the store is away, and records of the stream are given up after half an hour or so.
    Kind {
        queue: "FeedbackDeadLetters",
        function: "feedback",
        attempts: 10,
        patience: Some(SignedDuration::from_mins(20)),
    },
    // 20 attempts or an hour, whichever is first.
    Kind { queue: "PushDeadLetters", function: "push", attempts: 3, patience: Some(SignedDuration::from_mins(5)) },
    Kind { queue: "FeedbackRuleDeadLetters", function: "feedback", attempts: 1, patience: None },
    Kind { queue: "BusDeadLetters", function: "push", attempts: 1, patience: None },
];

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let unexplained = facts.dead_letters.iter().filter(|(_, count)| **count > 0).filter_map(|(queue, count)| {
        let Some(kind) = KINDS.iter().find(|kind| kind.queue == queue) else {
            return Some(format!("{count} messages in {queue}, which is no dead-letter queue of the template"));
        };
        let in_vain = facts.received_in_vain.get(kind.function).copied().unwrap_or_default();
        let ended = facts.deaths.iter().filter(|death| death.function == kind.function).count();
        let deaths = ended + frozen(facts, kind.function) + in_vain;
        let waited = facts.outages.store + facts.outages.bus + facts.outages.secrets;
        let is_impatient = kind.patience.is_some_and(|patience| waited >= patience) || cannot_be_deferred(facts);
        (deaths < kind.attempts && !is_impatient).then(|| {
            let Kind { function, attempts, .. } = kind;
            format!(
                "{count} messages in {queue}, and {deaths} invocations of {function} ended or were in vain: {attempts} would be needed"
            )
        })
    });
    let failed = facts.failures.iter().filter_map(|(message, times)| returned_to_the_end(facts, message, *times));
    unexplained.chain(failed).map(|what| Violation { promise: PROMISE, what }).collect()
}

/// How many invocations of a function stood still for so long that their messages came again, although they went on.
fn frozen(facts: &Facts, function: &str) -> usize {
    let is_its = |point: &str| point.split(' ').next() == Some(function);
    let is_long = |freeze: &&Freeze| freeze.until - freeze.from >= HIDDEN_FOR;
    let went_on = |freeze: &&Freeze| facts.deaths.iter().all(|death| death.process != freeze.process);
    facts.freezes.iter().filter(|freeze| is_its(&freeze.point)).filter(is_long).filter(went_on).count()
}

/// Whether no queue took messages for so long that a message may have been received as often as it may: five times, six minutes
/// apart. What cannot be queued again can only be returned as not handled. The sweep finds it missing.
fn cannot_be_deferred(facts: &Facts) -> bool {
    facts.outages.queues >= SignedDuration::from_mins(20)
}

/// A message that a function returned as not handled each time that it came. What it cannot do for now, it puts off.
fn returned_to_the_end(facts: &Facts, message: &str, times: usize) -> Option<String> {
    if cannot_be_deferred(facts) {
        return None;
    }
    let kinds = KINDS.iter().filter(|kind| facts.dead_letters.contains_key(kind.queue) && kind.patience.is_none());
    let fewest = kinds.map(|kind| kind.attempts).filter(|attempts| *attempts > 1).min()?;
    (times >= fewest)
        .then(|| format!("{message} was returned as not handled {times} times, and there are dead letters"))
}

#[cfg(test)]
mod tests {
    use super::super::facts::Death;
    use super::super::samples::{self, at, broken_by};
    use super::*;

    #[test]
    fn an_ordinary_run_has_no_dead_letters() {
        assert_eq!(check(&samples::facts()), []);
    }

    #[test]
    fn a_dead_letter_needs_as_many_deaths_as_receives() {
        let with = |deaths: u32, function: &str| {
            let mut facts = samples::facts();
            facts.dead_letters.insert("EmailDeadLetters".to_owned(), 1);
            facts.deaths = (0..deaths)
                .map(|process| Death { process, function: function.to_owned(), at: at(0), timed_out: None })
                .collect();
            check(&facts).len()
        };
        assert_eq!((with(5, "email"), with(4, "email"), with(5, "sms")), (0, 1, 1));
    }

    #[test]
    fn an_invocation_that_stood_still_counts_as_one_that_ended() {
        let with = |seconds: i64, point: &str| {
            let mut facts = samples::facts();
            facts.dead_letters.insert("EmailDeadLetters".to_owned(), 1);
            let freeze =
                |process: u32| Freeze { process, from: at(0), until: at(seconds * 1_000), point: point.to_owned() };
            facts.freezes = (0..5).map(freeze).collect();
            check(&facts).len()
        };
        let email = "email SES.SendEmail";
        assert_eq!((with(30, email), with(10, email), with(30, "sms SNS.Publish")), (0, 1, 1));
    }

    #[test]
    fn a_message_that_is_returned_each_time_is_found() {
        let with = |times: usize, queue: &str| {
            let mut facts = samples::facts();
            facts.dead_letters.insert(queue.to_owned(), 1);
            facts.failures.insert("m-1".to_owned(), times);
            facts.deaths = (0..9)
                .map(|process| Death { process, function: "email".to_owned(), at: at(0), timed_out: None })
                .collect();
            check(&facts).len()
        };
        assert_eq!((with(5, "EmailDeadLetters"), with(4, "EmailDeadLetters")), (1, 0));
    }

    #[test]
    fn only_streams_give_up_after_a_long_outage() {
        let after = |queue: &str, minutes: i64| {
            let mut facts = samples::facts();
            facts.dead_letters.insert(queue.to_owned(), 1);
            facts.outages.bus = SignedDuration::from_mins(minutes);
            check(&facts).len()
        };
        assert_eq!((after("FeedbackDeadLetters", 30), after("FeedbackDeadLetters", 3)), (0, 1));
        assert_eq!(after("EmailDeadLetters", 30), 1);
        let what = broken_by(check, |facts| {
            facts.dead_letters.insert("OtherQueue".to_owned(), 1);
        });
        assert!(what[0].contains("no dead-letter queue"), "{what:?}");
    }
}
