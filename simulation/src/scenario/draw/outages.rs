//! What is wrong for a while.

use domain::TransportId;

use super::{Mood, between, skewed};
use crate::chance::Chance;
use crate::providers::Mode;
use crate::scenario::{Outage, Scenario, Trouble};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

/// The tables that functions write to.
const TABLES: [&str; 6] = ["Offers", "Pushes", "Customers", "Deliveries", "Suppressions", "Pacing"];

/// Draws what is wrong for a while.
pub(super) fn draw(chance: &Chance, mood: Mood, scenario: &Scenario) -> Vec<Outage> {
    let number = match mood {
        Mood::Calm => 0,
        Mood::One => u64::from(chance.happens(0.3)),
        Mood::Handful => between(chance, 0, 2),
        Mood::Storm => between(chance, 0, 1),
        Mood::Chaos => between(chance, 0, 4),
    };
    (0..number)
        .map(|_| {
            let about = chance.pick(&scenario.actions).at_ms;
            // Mostly near something that people do, and also before it.
            let from_ms = about.saturating_sub(skewed(chance, SECOND, 2 * MINUTE)) + skewed(chance, SECOND, 5 * MINUTE);
            Outage { from_ms, for_ms: skewed(chance, 2 * SECOND, 240 * MINUTE), what: trouble(chance, scenario) }
        })
        .collect()
}

fn trouble(chance: &Chance, scenario: &Scenario) -> Trouble {
    match chance.below(20) {
        0..2 => Trouble::WritesThrottled((*chance.pick(&TABLES)).to_owned()),
        2..4 => Trouble::StoreUnavailable,
        4 => Trouble::StoreSlow(skewed(chance, 20, 4 * SECOND)),
        5 => Trouble::QueuesUnavailable,
        6 => Trouble::BusUnavailable,
        7 => Trouble::SecretsUnavailable,
        _ => {
            let settings = &scenario.settings;
            let transports: Vec<_> = [settings.email_transport, TransportId::Sns]
                .into_iter()
                .chain([settings.email_transport])
                .chain(settings.fallback_email_transport)
                .collect();
            Trouble::Provider(*chance.pick(&transports), Mode::drawn(chance))
        }
    }
}
