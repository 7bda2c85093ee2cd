//! Drawing a scenario from a seed.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the stack's settings and the moods | this file |
//! | the customers | `customers` |
//! | what people do, and when | `actions` |
//! | what goes wrong once | `faults` |
//! | what is wrong for a while | `outages` |

mod actions;
mod customers;
mod faults;
mod outages;

use domain::TransportId;

use super::{Scenario, Settings};
use crate::chance::Chance;

/// What the caller decides about a scenario.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The number of customers at the beginning.
    pub customers: Option<u32>,
}

/// How much goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Calm,
    /// One fault; or one outage, with faults at points that hardly any run passes.
    One,
    Handful,
    /// The same thing again and again.
    Storm,
    /// All kinds of things, again and again.
    Chaos,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn draw(seed: u64, options: Options) -> Self {
        let mood = mood(&Chance::of(seed, "mood"));
        let mut scenario = Self {
            seed,
            settings: settings(&Chance::of(seed, "settings")),
            customers: customers::draw(&Chance::of(seed, "customers"), options.customers),
            actions: Vec::new(),
            outages: Vec::new(),
            faults: Vec::new(),
            calm_after_ms: skewed(&Chance::of(seed, "calm"), 2 * 60_000, 90 * 60_000),
        };
        scenario.actions = actions::draw(&Chance::of(seed, "actions"), &scenario);
        scenario.outages = outages::draw(&Chance::of(seed, "outages"), mood, &scenario);
        scenario.faults = faults::draw(&Chance::of(seed, "faults"), mood, &scenario);
        scenario
    }
}

fn mood(chance: &Chance) -> Mood {
    match chance.below(100) {
        0..8 => Mood::Calm,
        8..35 => Mood::One,
        35..70 => Mood::Handful,
        70..85 => Mood::Storm,
        _ => Mood::Chaos,
    }
}

fn settings(chance: &Chance) -> Settings {
    let (email_transport, other) =
        *chance.pick(&[(TransportId::Ses, TransportId::Smtp), (TransportId::Smtp, TransportId::Ses)]);
    let has_fallback = chance.happens(0.35);
    let rate = || u32::try_from(skewed(chance, 1, 500)).expect("it is at most 500");
    let concurrency = || u32::try_from(2 + chance.below(4)).expect("it is at most 5");
    Settings {
        email_transport,
        fallback_email_transport: has_fallback.then_some(other),
        email_rate: rate(),
        fallback_email_rate: rate(),
        sms_rate: rate(),
        audience_concurrency: concurrency(),
        email_concurrency: concurrency(),
        sms_concurrency: concurrency(),
        feedback_concurrency: concurrency(),
        retry_hours: *chance.pick(&[1, 1, 2, 6, 24, 72]),
        max_skew_ms: if chance.happens(0.4) { 0 } else { between(chance, 1, 2_000) },
        stale_percent: if chance.happens(0.5) {
            0
        } else {
            u8::try_from(between(chance, 1, 20)).expect("it is at most 20")
        },
    }
}

/// A number from `least` to `most`, each as likely.
fn between(chance: &Chance, least: u64, most: u64) -> u64 {
    least + chance.number() % (most - least + 1)
}

/// A number from `least`, which is not 0, to `most`. Each power of two is as likely as the next, so that small numbers are
/// drawn as often as large ones. In whole numbers, since no two machines need have the same logarithms.
fn skewed(chance: &Chance, least: u64, most: u64) -> u64 {
    let doublings = (most / least).ilog2();
    let from = least << (chance.number() % u64::from(doublings + 1));
    between(chance, from, (from * 2 - 1).min(most))
}

/// One of these, each as likely as its weight says.
fn weighted<T: Copy>(chance: &Chance, among: &[(usize, T)]) -> T {
    let mut left = chance.below(among.iter().map(|(weight, _)| weight).sum());
    for (weight, value) in among {
        match left.checked_sub(*weight) {
            Some(rest) => left = rest,
            None => return *value,
        }
    }
    unreachable!("the weights are more than what was drawn")
}

#[cfg(test)]
mod tests;
