//! Within the rate: each send has a slot of its own, slots are an interval apart, and sends keep to their slots.

use std::collections::{BTreeMap, BTreeSet};

use domain::TransportId;
use jiff::{SignedDuration, Timestamp};

use super::Violation;
use super::facts::{Facts, Handover, Reservation};

const PROMISE: &str = "within the rate";
/// How late a reserved send may go (`MAX_LATENESS` in `store::limits`), and a little for the calls in between.
const LATENESS: SignedDuration = SignedDuration::from_millis(350);
/// How long what was late or unused may still show after a process was held up: as far ahead as slots are reserved.
const AFTERMATH: SignedDuration = SignedDuration::from_secs(10);

/// Checks the promise.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for (transport, rate) in &facts.limits.rates {
        let slots: Vec<_> = facts.reservations.iter().filter(|slots| slots.transport == *transport).collect();
        found.extend(overlapping(*transport, &slots));
        let sends = sends(facts, *transport);
        found.extend(without_slot(facts, *transport, *rate, &slots, &sends));
        found.extend(too_fast(facts, *transport, *rate, &sends));
    }
    found.into_iter().map(|what| Violation { promise: PROMISE, what }).collect()
}

/// When each send began, and of which process. A send may have several connections, but has one claim.
fn sends(facts: &Facts, transport: TransportId) -> Vec<(Timestamp, u32)> {
    let mut tokens = BTreeSet::new();
    let of_transport = facts.handovers.iter().filter(|handover| handover.provider == transport);
    let first = of_transport.filter(|handover| {
        facts.claim_of(handover).and_then(|claim| claim.token.as_ref()).is_none_or(|token| tokens.insert(token))
    });
    let mut sends: Vec<_> = first.map(|handover: &Handover| (facts.started(handover), handover.process)).collect();
    sends.sort_unstable();
    sends
}

/// Slots that two reservations hold.
fn overlapping(transport: TransportId, slots: &[&Reservation]) -> Vec<String> {
    let mut slots = slots.to_vec();
    slots.sort_by_key(|slots| slots.first);
    let pairs = slots.windows(2).filter(|pair| pair[1].first < pair[0].first + pair[0].length);
    let describe = |pair: &[&Reservation]| {
        let time = |micros: i64| Timestamp::from_microsecond(micros).unwrap_or_default();
        format!(
            "slots of {transport} reserved twice: by process {} from {} to {}, by process {} from {}",
            pair[0].process,
            time(pair[0].first),
            time(pair[0].first + pair[0].length),
            pair[1].process,
            time(pair[1].first)
        )
    };
    pairs.map(describe).collect()
}

/// Sends for which their process had no slot by then.
fn without_slot(
    facts: &Facts,
    transport: TransportId,
    rate: u32,
    slots: &[&Reservation],
    sends: &[(Timestamp, u32)],
) -> Vec<String> {
    let interval = 1_000_000 / i64::from(rate.max(1));
    let mut slots_of: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    for Reservation { process, first, length, .. } in slots {
        let times = (0..(length / interval).max(1)).map(|index| first + index * interval);
        slots_of.entry(*process).or_default().extend(times);
    }
    slots_of.values_mut().for_each(|slots| slots.sort_unstable());
    let skew = i64::try_from(facts.limits.skew.as_micros()).unwrap_or(i64::MAX);
    let mut used: BTreeMap<u32, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (at, process) in sends {
        let nth = used.entry(*process).or_default();
        let slot = slots_of.get(process).and_then(|slots| slots.get(*nth));
        *nth += 1;
        // Timers are as fine as a millisecond.
        if slot.is_none_or(|slot| *slot > at.as_microsecond() + skew + 2_000) {
            found.push(format!("process {process} began its send {nth} by {transport} at {at}, before it had a slot"));
        }
    }
    found
}

/// A time in which more sends began than the rate allows, while all calls went as usual. A process that was held up may send
/// the ten messages that were waiting at once.
fn too_fast(facts: &Facts, transport: TransportId, rate: u32, sends: &[(Timestamp, u32)]) -> Option<String> {
    let seconds = |time: SignedDuration| time.as_secs_f64();
    let per_second = f64::from(rate);
    let burst = 1.0 + per_second * seconds(facts.limits.skew + facts.limits.skew + LATENESS);
    let disturbed: Vec<_> = {
        let freezes = facts.freezes.iter().map(|freeze| (freeze.from, freeze.until + AFTERMATH));
        freezes.chain(facts.hitches.iter().map(|hitch| (hitch.from, hitch.until + AFTERMATH))).collect()
    };
    let mut first = 0;
    let mut least: Option<(f64, Timestamp, usize)> = None;
    for (index, (at, _)) in sends.iter().enumerate() {
        if disturbed.iter().any(|(from, until)| (*from..=*until).contains(at)) {
            least = None;
            first = index + 1;
            continue;
        }
        let since = seconds(at.duration_since(sends[first].0));
        #[expect(clippy::cast_precision_loss, reason = "a run has far fewer sends")]
        let ahead = (index - first) as f64 - per_second * since;
        let (lowest, from, from_index) = *least.get_or_insert((ahead, *at, index));
        if ahead - lowest + 1.0 > burst {
            let count = index - from_index + 1;
            return Some(format!(
                "{count} sends by {transport} began from {from} to {at}, at {rate} a second with a burst of {burst:.0}"
            ));
        }
        if ahead < lowest {
            least = Some((ahead, *at, index));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::facts::Hitch;
    use super::super::samples::{self, again, at};
    use super::*;

    /// This many sends, this many milliseconds apart, each with a slot of its own.
    fn sent(count: u32, interval: i64) -> Facts {
        let mut facts = samples::facts();
        for number in 1..count {
            again(&mut facts, 10 + number, interval * i64::from(number));
        }
        facts
    }

    #[test]
    fn sends_at_the_rate_are_within_it() {
        assert_eq!(check(&sent(40, 100)), []);
    }

    #[test]
    fn slots_that_overlap_are_reserved_twice() {
        let found = check(&sent(2, 99));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.contains("reserved twice"), "{found:?}");
    }

    #[test]
    fn a_send_without_a_slot_is_found() {
        let mut facts = samples::facts();
        facts.reservations[0].first = at(10_600).as_microsecond();
        assert!(check(&facts)[0].what.contains("before it had a slot"));
        facts.reservations.clear();
        assert!(check(&facts)[0].what.contains("before it had a slot"));
    }

    #[test]
    fn sends_faster_than_the_rate_are_found_unless_their_process_was_held_up() {
        let mut facts = sent(40, 100);
        for (index, write) in facts.writes.iter_mut().filter(|write| write.is_claim()).enumerate() {
            write.asked_at = at(14_000 + 10 * i64::try_from(index).unwrap());
        }
        let found = check(&facts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.contains("sends by ses began from"), "{found:?}");
        facts.hitches.push(Hitch { process: 3, from: at(9_000), until: at(14_000) });
        assert_eq!(check(&facts), []);
    }
}
