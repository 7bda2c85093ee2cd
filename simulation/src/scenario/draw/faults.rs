//! What goes wrong once.

use std::collections::BTreeSet;

use super::{Mood, between, skewed, weighted};
use crate::chance::Chance;
use crate::fault::{Fault, Moment, Planned};
use crate::scenario::Scenario;
use crate::scenario::points::{Kind, POINTS, Point, SELDOM};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
/// What is passed so often at most is rare.
const RARE: u32 = 3;
/// The longest time for which a process stands still: beyond the time for which a message is hidden.
const LONGEST: u64 = 40 * MINUTE;
/// Where one who sends needs its lease.
const LEASED: [&str; 7] = [
    "email SES.SendEmail",
    "email SMTP.MESSAGE",
    "email DynamoDB.UpdateItem Deliveries",
    "email DynamoDB.BatchExecuteStatement Deliveries",
    "sms SNS.Publish",
    "sms DynamoDB.UpdateItem Deliveries",
    "sms DynamoDB.BatchExecuteStatement Deliveries",
];

/// Where functions queue again what is not done, and in which part of the runs they cannot. `audience` seldom does.
const QUEUES_AGAIN: [(&str, f64); 3] = [
    ("audience SQS.SendMessage AudienceQueue", 0.8),
    ("email SQS.SendMessage EmailQueue", 0.3),
    ("sms SQS.SendMessage SmsQueue", 0.3),
];

/// Draws what goes wrong, at points that a run of the scenario passes.
pub(super) fn draw(chance: &Chance, mood: Mood, scenario: &Scenario) -> Vec<Planned> {
    let points: Vec<_> =
        POINTS.iter().map(|point| (point, point.times(scenario))).filter(|(_, times)| *times > 0).collect();
    let number = match mood {
        Mood::Calm => 0,
        // Else an outage.
        Mood::One if scenario.outages.is_empty() => 1,
        Mood::One => 0,
        Mood::Handful => between(chance, 4, 15),
        Mood::Storm => {
            let mut faults = storm(chance, &points);
            seldom(chance, &points, &mut faults);
            return faults.all;
        }
        Mood::Chaos => between(chance, 12, 75),
    };
    let mut faults = Faults::default();
    for _ in 0..number {
        let (point, times) = pick(chance, &points);
        let moment = moment(chance, point.kind);
        faults.add(Planned {
            point: point.name.to_owned(),
            nth: nth(chance, point, times),
            moment,
            fault: fault(chance, point.kind, moment),
        });
    }
    let outlives = match mood {
        Mood::Handful => 0.2,
        Mood::Chaos => 0.4,
        Mood::Calm | Mood::One | Mood::Storm => 0.0,
    };
    if chance.happens(outlives) {
        outlive_lease(chance, &points, &mut faults);
    }
    let is_alone = mood == Mood::One && scenario.outages.is_empty();
    // In an outage by itself, functions pass such points most.
    if mood != Mood::Calm && !is_alone {
        seldom(chance, &points, &mut faults);
    }
    faults.all
}

/// One who sends stands still beyond its lease, where a message is handed over or recorded, while another is given the same
/// notifications.
fn outlive_lease(chance: &Chance, points: &[(&Point, u32)], faults: &mut Faults) {
    let standing: Vec<_> = points.iter().filter(|(point, _)| LEASED.contains(&point.name)).collect();
    if standing.is_empty() {
        return;
    }
    let (point, times) = **chance.pick(&standing);
    let queue = if point.name.starts_with("email ") { "message EmailQueue" } else { "message SmsQueue" };
    let batches = points.iter().find(|(other, _)| other.name == queue).map_or(1, |(_, times)| *times);
    let (fault, moment) = (Fault::Freeze(between(chance, 5 * MINUTE, LONGEST)), moment(chance, point.kind));
    faults.add(Planned { point: point.name.to_owned(), nth: nth(chance, point, times), moment, fault });
    for nth in 1..=batches.min(3) {
        let fault = Fault::Twice(skewed(chance, 10 * SECOND, 20 * MINUTE));
        faults.add(Planned { point: queue.to_owned(), nth, moment: Moment::Before, fault });
    }
}

/// Faults at points that only few runs pass. Most do not strike: a run that passes one of them does so some times, where
/// functions fail again and again.
fn seldom(chance: &Chance, points: &[(&Point, u32)], faults: &mut Faults) {
    for (point, _) in points.iter().filter(|(point, _)| SELDOM.contains(&point.name)) {
        for nth in (1..=20).filter(|_| chance.happens(0.4)) {
            let moment = moment(chance, point.kind);
            let fault = fault(chance, point.kind, moment);
            faults.add(Planned { point: point.name.to_owned(), nth, moment, fault });
        }
    }
    // A function that cannot queue a message again reads the attributes of its queue. In an outage of the queues it could not, so
    // only the sends fail: all four attempts, twice.
    for (point, _) in QUEUES_AGAIN.iter().filter(|(_, part)| chance.happens(*part)) {
        for nth in 1..=8 {
            let (moment, fault) = (Moment::Before, Fault::Unavailable);
            faults.add(Planned { point: (*point).to_owned(), nth, moment, fault });
        }
    }
}

/// The faults so far, at most one at each passing and moment.
#[derive(Default)]
struct Faults {
    all: Vec<Planned>,
    taken: BTreeSet<(String, u32, Moment)>,
}

impl Faults {
    fn add(&mut self, planned: Planned) {
        if self.taken.insert((planned.point.clone(), planned.nth, planned.moment)) {
            self.all.push(planned);
        }
    }
}

/// A point. Those that few runs pass, and seldom, are drawn more often in the runs that do.
fn pick<'a>(chance: &Chance, points: &[(&'a Point, u32)]) -> (&'a Point, u32) {
    let rare: Vec<_> = points.iter().filter(|(_, times)| *times <= RARE).collect();
    if chance.happens(0.45) && !rare.is_empty() { **chance.pick(&rare) } else { *chance.pick(points) }
}

/// The same thing again and again: at one point each time it is passed, or the same at many points.
fn storm(chance: &Chance, points: &[(&Point, u32)]) -> Faults {
    let mut faults = Faults::default();
    let (point, times) = pick(chance, points);
    let moment = moment(chance, point.kind);
    let the_fault = fault(chance, point.kind, moment);
    if chance.happens(0.5) {
        let from = nth(chance, point, times);
        for nth in from..from + u32::try_from(skewed(chance, 3, 60)).expect("it is at most 60") {
            faults.add(Planned { point: point.name.to_owned(), nth, moment, fault: the_fault });
        }
    } else {
        let alike: Vec<_> = points.iter().filter(|(other, _)| other.kind == point.kind).collect();
        for _ in 0..between(chance, 10, 50) {
            let (point, times) = **chance.pick(&alike);
            let nth = nth(chance, point, times);
            faults.add(Planned { point: point.name.to_owned(), nth, moment, fault: the_fault });
        }
    }
    faults
}

/// Which passing: often one of the first, or any of those that the run has. Sweeps, and what they start again, pass the points
/// of push and audience more often than usual.
fn nth(chance: &Chance, point: &Point, times: u32) -> u32 {
    let is_swept = point.name.starts_with("push ") || point.name.starts_with("audience ");
    if is_swept && chance.happens(0.25) {
        return u32::try_from(between(chance, 1, u64::from(times) * 4)).expect("it is at most a u32");
    }
    let most = if chance.happens(0.45) { times.min(3) } else { times };
    u32::try_from(between(chance, 1, u64::from(most))).expect("it is at most a u32")
}

/// Only calls, steps of a conversation and events have an effect after which something may go wrong.
fn moment(chance: &Chance, kind: Kind) -> Moment {
    match kind {
        Kind::Call | Kind::Smtp | Kind::Event => *chance.pick(&[Moment::Before, Moment::After]),
        Kind::Message | Kind::Report | Kind::Record | Kind::Schedule | Kind::Invoke | Kind::Delete => Moment::Before,
    }
}

/// Durations of faults are so that they are over, or noticed, within an hour or so.
fn fault(chance: &Chance, kind: Kind, moment: Moment) -> Fault {
    // Beyond a lease, the time-out of any function, and the time for which a message is hidden.
    let freeze = || Fault::Freeze(skewed(chance, 200, LONGEST));
    // Below what the bank waits until it changes a customer again.
    let late = || Fault::Late(skewed(chance, 100, 30 * SECOND));
    match (kind, moment) {
        (Kind::Call | Kind::Smtp, Moment::Before) => match chance.below(10) {
            0..2 => Fault::Kill,
            2..4 => freeze(),
            4 => Fault::Lose,
            5 => Fault::Hang,
            6 => late(),
            7 => Fault::Throttle,
            8 => Fault::Unavailable,
            _ => *chance.pick(&[Fault::Kill, Fault::Lose, Fault::Unavailable]),
        },
        (Kind::Call | Kind::Smtp, Moment::After) => match chance.below(10) {
            0..3 => Fault::Kill,
            3..5 => freeze(),
            5..7 => Fault::Lose,
            7 => Fault::Hang,
            8 => Fault::Unavailable,
            _ => late(),
        },
        (Kind::Event, Moment::Before) => *chance.pick(&[Fault::Throttle, Fault::Unavailable]),
        (Kind::Event, Moment::After) => Fault::Unavailable,
        (Kind::Invoke, _) => Fault::Throttle,
        (Kind::Delete, _) => Fault::Gone,
        (Kind::Message, _) => {
            let time = skewed(chance, 100, 60 * MINUTE);
            let refused = *chance.pick(&[Fault::Throttle, Fault::Unavailable]);
            weighted(chance, &[(35, Fault::Twice(time)), (30, Fault::Late(time)), (20, Fault::Gone), (15, refused)])
        }
        (Kind::Report, _) => {
            let time = skewed(chance, 100, 60 * MINUTE);
            weighted(chance, &[(50, Fault::Twice(time)), (50, Fault::Late(time))])
        }
        (Kind::Record, _) => {
            let time = skewed(chance, 100, 30 * MINUTE);
            weighted(chance, &[(40, Fault::Twice(time)), (30, Fault::Late(time)), (30, Fault::Gone)])
        }
        (Kind::Schedule, _) => {
            let time = skewed(chance, 100, 2 * MINUTE);
            weighted(chance, &[(40, Fault::Twice(time)), (20, Fault::Late(time)), (40, Fault::Gone)])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_that_are_named_here_exist() {
        for name in LEASED.iter().chain(QUEUES_AGAIN.iter().map(|(name, _)| name)) {
            assert!(POINTS.iter().any(|point| point.name == *name), "{name}");
        }
    }
}
