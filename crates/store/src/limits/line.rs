//! Whose turn it is to reserve slots: pushes take turns, so that a small one does not wait behind a large one.
//!
//! A turn is a second's slots. A push that has had its turn may reserve slots up to one second ahead, another one up to two,
//! and one that is in its turn up to three: so while a large push keeps the first two seconds reserved, there is room for a
//! turn of another push, and then for the large one again.

use std::num::NonZeroU32;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::Sender;

/// How far ahead slots can be reserved: enough that a sender makes its next reservation before the last one is used up.
const RESERVE_AHEAD: SignedDuration = SignedDuration::from_secs(1);
/// The same after the turn of another push: behind the second's slots that it has reserved as far ahead as it may.
const RESERVE_AHEAD_AFTER_OTHERS: SignedDuration = SignedDuration::from_secs(2);
/// The same in a push's turn: behind its own slots.
const RESERVE_AHEAD_IN_TURN: SignedDuration = SignedDuration::from_secs(3);

/// The slots of a transport that are reserved.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Line {
    /// The next free slot, in microseconds since 1970: milliseconds are too coarse for a thousand sends a second.
    pub(super) next_send: Option<i64>,
    /// The sender of the last reservation. Releases before turns leave it as it is.
    pub(super) turn_of: Option<String>,
    /// How many slots it has reserved in its turn.
    turn_slots: u32,
}

/// How to reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Behind the slots that are reserved already. A turn begins.
    Append,
    /// The same, in the turn that the sender has.
    Continue,
    /// From now on: the last reserved slot has passed, and the time in between is lost.
    Restart,
    /// Not now: slots can be reserved from this moment on, in microseconds since 1970.
    Wait(i64),
}

impl Line {
    /// How a sender can reserve at `now`, in microseconds since 1970. The conditions of the writes say the same.
    pub(super) fn step(&self, sender: Sender, per_second: NonZeroU32, now: i64) -> Step {
        let Some(next) = self.next_send.filter(|next| *next >= now) else { return Step::Restart };
        let is_own_turn = self.turn_of.as_ref() == Some(&sender.to_string());
        let is_in_turn = is_own_turn && self.turn_slots < per_second.get();
        if next <= latest(now) || (!is_own_turn && next <= latest_after_others(now)) {
            Step::Append
        } else if is_in_turn && next <= latest_in_turn(now) {
            Step::Continue
        } else if is_in_turn {
            Step::Wait(earlier(next, RESERVE_AHEAD_IN_TURN))
        } else if is_own_turn {
            Step::Wait(earlier(next, RESERVE_AHEAD))
        } else {
            Step::Wait(earlier(next, RESERVE_AHEAD_AFTER_OTHERS))
        }
    }

    /// If a sender can reserve no slots at `now`: when it can.
    pub fn full_until(&self, sender: Sender, per_second: NonZeroU32, now: Timestamp) -> Option<Timestamp> {
        match self.step(sender, per_second, now.as_microsecond()) {
            Step::Wait(until) => Some(Timestamp::from_microsecond(until).unwrap_or(Timestamp::MAX)),
            Step::Append | Step::Continue | Step::Restart => None,
        }
    }
}

/// The latest slot to reserve behind.
pub(super) fn latest(now: i64) -> i64 {
    now + micros(RESERVE_AHEAD)
}

/// The same after the turn of another push.
pub(super) fn latest_after_others(now: i64) -> i64 {
    now + micros(RESERVE_AHEAD_AFTER_OTHERS)
}

/// The same in a turn.
pub(super) fn latest_in_turn(now: i64) -> i64 {
    now + micros(RESERVE_AHEAD_IN_TURN)
}

fn earlier(next: i64, by: SignedDuration) -> i64 {
    next - micros(by)
}

fn micros(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_micros()).expect("seconds have few microseconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 5_000_000;

    fn step(line: &Line) -> Step {
        let own = Sender::Push(format!("{}#0001", testing::OFFER).parse().unwrap());
        line.step(own, NonZeroU32::new(14).unwrap(), NOW)
    }

    fn line(next: i64, turn_of: Option<&str>, turn_slots: u32) -> Line {
        Line { next_send: Some(next), turn_of: turn_of.map(str::to_owned), turn_slots }
    }

    #[test]
    fn next_free_slot_and_the_turn_decide_how_to_reserve() {
        let own = format!("{}#0001", testing::OFFER);
        let (own, other) = (Some(own.as_str()), Some("another push"));
        assert_eq!(step(&Line::default()), Step::Restart);
        for (next, turn_of, turn_slots, expected) in [
            (NOW - 1, other, 14, Step::Restart),
            (NOW, other, 14, Step::Append),
            (NOW, own, 14, Step::Append),
            // One second ahead, whoever's turn it was; in a turn, three.
            (NOW + 1_000_000, own, 14, Step::Append),
            (NOW + 1_000_001, own, 14, Step::Wait(NOW + 1)),
            (NOW + 1_000_001, own, 13, Step::Continue),
            (NOW + 3_000_000, own, 13, Step::Continue),
            (NOW + 3_000_001, own, 13, Step::Wait(NOW + 1)),
            // After the turn of others, two.
            (NOW + 1_000_001, other, 14, Step::Append),
            (NOW + 2_000_000, other, 0, Step::Append),
            (NOW + 2_000_001, other, 14, Step::Wait(NOW + 1)),
            (NOW + 2_000_001, None, 0, Step::Wait(NOW + 1)),
        ] {
            assert_eq!(step(&line(next, turn_of, turn_slots)), expected, "{next}, {turn_of:?}, {turn_slots} slots");
        }
    }

    #[test]
    fn a_line_is_full_while_its_sender_has_to_wait() {
        let at = |micros| Timestamp::from_microsecond(micros).unwrap();
        for (next, expected) in
            [(None, None), (Some(NOW + 2_000_000), None), (Some(NOW + 2_500_000), Some(NOW + 500_000))]
        {
            let line = Line { next_send: next, ..Line::default() };
            let full = line.full_until(Sender::Direct, NonZeroU32::MIN, at(NOW));
            assert_eq!(full, expected.map(at), "{next:?}");
        }
    }
}
