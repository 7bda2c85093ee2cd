//! Reports are heeded: an address of which SES reports a permanent bounce or a complaint is suppressed, until that is lifted.

use domain::Channel;
use jiff::Timestamp;

use super::facts::Facts;
use super::{Violation, collect, tables};
use crate::providers::feedback::{self, Report};
use crate::world::World;

const PROMISE: &str = "reports are heeded";
const QUEUE: &str = "FeedbackQueue";

/// A permanent bounce, or a complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// In lower case.
    pub address: String,
    /// When it was in the queue.
    pub at: Timestamp,
    /// What the table has of the address at the end: the reason.
    pub suppressed: Option<String>,
    /// Whether it is among the dead letters, or has not been received yet.
    pub waits: bool,
}

/// The reports of a run.
pub fn of(world: &World) -> Vec<Reported> {
    let suppressions = tables::scan(&world.dynamo, "Suppressions");
    let dead: Vec<String> = world.queues.dead_letters().into_iter().map(|(_, body)| body).collect();
    let counts = world.queues.counts(QUEUE);
    let is_busy = counts.visible + counts.in_flight + counts.delayed > 0;
    let may_be_lost = collect::loses_messages(world, QUEUE);
    let key = world.secrets.hash_key();
    let reports = world.ses.reports.sent().into_iter().filter(|sent| sent.report != Report::BouncedForNow);
    let of = |sent: feedback::Reported| {
        let address = world.handovers.get(sent.handover).recipient.to_lowercase();
        let pk = format!("reported#{}", key.address(Channel::Email, &address));
        let item = suppressions.iter().find(|item| item["pk"].as_str() == Some(&pk));
        let waits = may_be_lost || is_busy || dead.contains(&sent.body.to_string());
        let suppressed = item.and_then(|item| item["reason"].as_str()).map(str::to_owned);
        Reported { address, at: sent.at, suppressed, waits }
    };
    reports.map(of).collect()
}

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let is_lifted = |report: &Reported| {
        facts.lifts.iter().any(|lift| {
            let is_after = lift.ended.is_none_or(|ended| ended + facts.limits.skew >= report.at);
            lift.channel == Channel::Email && lift.address == report.address && is_after
        })
    };
    let unheeded =
        facts.reports.iter().filter(|report| report.suppressed.is_none() && !report.waits && !is_lifted(report));
    let what = unheeded.map(|Reported { address, at, .. }| {
        format!("SES reported at {at} that {address} bounced or complained, and it is not suppressed at the end")
    });
    what.map(|what| Violation { promise: PROMISE, what }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::collect::Lift;
    use super::super::samples::{self, ADDRESS, at, broken_by};
    use super::*;

    fn report() -> Reported {
        Reported { address: ADDRESS.to_owned(), at: at(20_000), suppressed: None, waits: false }
    }

    #[test]
    fn who_bounced_or_complained_is_suppressed_at_the_end() {
        let what = broken_by(check, |facts| facts.reports.push(report()));
        assert!(what[0].contains("is not suppressed at the end"), "{what:?}");
        let reports =
            [Reported { suppressed: Some("bounced".to_owned()), ..report() }, Reported { waits: true, ..report() }];
        for report in reports {
            let mut facts = samples::facts();
            facts.reports.push(report);
            assert_eq!(check(&facts), []);
        }
    }

    #[test]
    fn only_a_later_lift_excuses() {
        let lifted = |ended: i64| {
            let mut facts = samples::facts();
            facts.reports.push(report());
            facts.lifts.push(Lift {
                customer: "c-1".to_owned(),
                channel: Channel::Email,
                address: ADDRESS.to_owned(),
                begun: at(ended - 100),
                ended: Some(at(ended)),
            });
            check(&facts).len()
        };
        assert_eq!((lifted(10_000), lifted(30_000)), (1, 0));
    }
}
