//! What goes wrong once.

use std::collections::BTreeSet;

use super::{Mood, between, skewed, weighted};
use crate::chance::Chance;
use crate::fault::{Fault, Moment, Planned};
use crate::scenario::Scenario;
use crate::scenario::points::{Kind, POINTS, Point};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
/// What is passed so often at most is rare.
const RARE: u32 = 3;

/// Draws what goes wrong, at points that a run of the scenario passes.
pub(super) fn draw(chance: &Chance, mood: Mood, scenario: &Scenario) -> Vec<Planned> {
    let points: Vec<_> =
        POINTS.iter().map(|point| (point, point.times(scenario))).filter(|(_, times)| *times > 0).collect();
    let number = match mood {
        Mood::Calm => 0,
        // Else an outage.
        Mood::One if scenario.outages.is_empty() => 1,
        Mood::One => 0,
        Mood::Handful => between(chance, 3, 12),
        Mood::Storm => return storm(chance, &points),
        Mood::Chaos => between(chance, 10, 60),
    };
    let mut faults = Faults::default();
    for _ in 0..number {
        let (point, times) = pick(chance, &points);
        let moment = moment(chance, point.kind);
        faults.add(Planned {
            point: point.name.to_owned(),
            nth: nth(chance, times),
            moment,
            fault: fault(chance, point.kind, moment),
        });
    }
    faults.all
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
    if chance.happens(0.35) && !rare.is_empty() { **chance.pick(&rare) } else { *chance.pick(points) }
}

/// The same thing again and again: at one point each time it is passed, or the same at many points.
fn storm(chance: &Chance, points: &[(&Point, u32)]) -> Vec<Planned> {
    let mut faults = Faults::default();
    let (point, times) = pick(chance, points);
    let moment = moment(chance, point.kind);
    let the_fault = fault(chance, point.kind, moment);
    if chance.happens(0.5) {
        let from = nth(chance, times);
        for nth in from..from + u32::try_from(skewed(chance, 3, 60)).expect("it is at most 60") {
            faults.add(Planned { point: point.name.to_owned(), nth, moment, fault: the_fault });
        }
    } else {
        let alike: Vec<_> = points.iter().filter(|(other, _)| other.kind == point.kind).collect();
        for _ in 0..between(chance, 10, 50) {
            let (point, times) = **chance.pick(&alike);
            faults.add(Planned { point: point.name.to_owned(), nth: nth(chance, times), moment, fault: the_fault });
        }
    }
    faults.all
}

/// Which passing: often one of the first, or any of those that the run has.
fn nth(chance: &Chance, times: u32) -> u32 {
    let most = if chance.happens(0.45) { times.min(3) } else { times };
    u32::try_from(between(chance, 1, u64::from(most))).expect("it is at most a u32")
}

/// Only calls and steps of a conversation have an effect after which something may go wrong.
fn moment(chance: &Chance, kind: Kind) -> Moment {
    match kind {
        Kind::Call | Kind::Smtp => *chance.pick(&[Moment::Before, Moment::After]),
        Kind::Message | Kind::Report | Kind::Record | Kind::Schedule | Kind::Event => Moment::Before,
    }
}

/// Durations of faults are so that they are over, or noticed, within an hour or so.
fn fault(chance: &Chance, kind: Kind, moment: Moment) -> Fault {
    // Beyond a lease, and the time-out of any function.
    let freeze = || Fault::Freeze(skewed(chance, 200, 15 * MINUTE));
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
        (Kind::Event, _) => Fault::Throttle,
        (Kind::Message, _) => {
            let time = skewed(chance, 100, 60 * MINUTE);
            weighted(chance, &[(40, Fault::Twice(time)), (35, Fault::Late(time)), (25, Fault::Gone)])
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
