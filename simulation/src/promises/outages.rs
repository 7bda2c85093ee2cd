//! How long each kind of service was unavailable.

use jiff::SignedDuration;
use runtime::clients::ATTEMPT_TIMEOUT;

use crate::scenario::{Scenario, Trouble};

/// The sum of the outages of each kind of service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outages {
    pub bus: SignedDuration,
    /// DynamoDB and the queues.
    pub store: SignedDuration,
    /// The queues alone.
    pub queues: SignedDuration,
    pub secrets: SignedDuration,
}

impl Outages {
    /// What is planned to go wrong in a scenario.
    pub fn of(scenario: &Scenario) -> Self {
        let mut outages = Self::default();
        for outage in &scenario.outages {
            let sum = match outage.what {
                Trouble::BusUnavailable => &mut outages.bus,
                Trouble::StoreUnavailable | Trouble::QueuesUnavailable | Trouble::WritesThrottled(_) => {
                    &mut outages.store
                }
                // No caller waits for longer.
                Trouble::StoreSlow(millis) if u128::from(millis) >= ATTEMPT_TIMEOUT.as_millis() => &mut outages.store,
                Trouble::SecretsUnavailable => &mut outages.secrets,
                _ => continue,
            };
            let time = SignedDuration::from_millis(i64::try_from(outage.for_ms).unwrap_or(i64::MAX));
            *sum += time;
            if outage.what == Trouble::QueuesUnavailable {
                outages.queues += time;
            }
        }
        // The bus rejects an event as often as that is planned, and a stream brings it again a minute later.
        let rejected = scenario.faults.iter().filter(|planned| planned.point.starts_with("event ")).count();
        outages.bus += SignedDuration::from_mins(i64::try_from(rejected).unwrap_or(i64::MAX));
        outages
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::tests::scenario;
    use crate::scenario::Outage;

    #[test]
    fn a_store_that_is_slower_than_its_callers_wait_is_away() {
        for (millis, minutes) in [(2_999, 0), (3_000, 5)] {
            let outage = Outage { from_ms: 0, for_ms: 300_000, what: Trouble::StoreSlow(millis) };
            let found = Outages::of(&Scenario { outages: vec![outage], ..scenario() });
            assert_eq!(
                found,
                Outages { store: SignedDuration::from_mins(minutes), ..Outages::default() },
                "{millis} ms"
            );
        }
    }
}
