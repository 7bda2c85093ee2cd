//! Whose turn it is to reserve slots: pushes take turns, so that a small one does not wait behind a large one.
//!
//! A turn is a second's slots. A push that has had its turn may reserve slots up to one second ahead, another one up to two,
//! and one that is in its turn up to three: so while a large push keeps the first two seconds reserved, there is room for a
//! turn of another push, and then for the large one again.

use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::Deserialize;

use super::Sender;

/// How far ahead slots can be reserved, in microseconds: enough that a sender makes its next reservation before the last one is
/// used up.
pub(super) const RESERVE_AHEAD: i64 = 1_000_000;
/// The same after the turn of another push: behind the second's slots that it has reserved as far ahead as it may.
pub(super) const RESERVE_AHEAD_AFTER_OTHERS: i64 = 2_000_000;
/// The same in a push's turn: behind its own slots.
pub(super) const RESERVE_AHEAD_IN_TURN: i64 = 3_000_000;
/// Reserved slots that take no longer than this keep no other sender waiting, in microseconds: some reserved at the same moment.
const HARDLY_USED: i64 = 100_000;
/// A batch of a push begins while another one sends, if no more than this is reserved, in microseconds: then the other one does not
/// use the rate.
const NEARLY_EMPTY: i64 = 300_000;

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
    /// Whether the batch that made it wants more slots.
    sends_more: bool,
    /// When all slots that were reserved would have passed had each reservation begun at once, in microseconds since 1970. They
    /// begin when the response of the store is expected, which says nothing of the rate.
    used_until: Option<i64>,
}

/// How to reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Behind the slots that are reserved already. A turn begins.
    Append,
    /// The same, in the turn that the sender has: up to so many slots, which are left of it.
    Continue(u32),
    /// From now on: the last reserved slot has passed, and the time in between is lost.
    Restart,
    /// Not now: slots can be reserved from this moment on, in microseconds since 1970.
    Wait(i64),
}

impl Line {
    /// How a sender can reserve at `now`, in microseconds since 1970. The conditions of the writes say the same.
    pub(super) fn step(&self, sender: Sender, per_second: NonZeroU32, now: i64) -> Step {
        let Some(next) = self.next_send.filter(|next| *next >= now) else { return Step::Restart };
        let left = per_second.get().saturating_sub(self.turn_slots);
        let (ahead, step) = match (self.is_turn_of(sender), left) {
            (false, _) => (RESERVE_AHEAD_AFTER_OTHERS, Step::Append),
            (true, 0) => (RESERVE_AHEAD, Step::Append),
            (true, left) => (RESERVE_AHEAD_IN_TURN, Step::Continue(left)),
        };
        if next <= now + RESERVE_AHEAD {
            Step::Append
        } else if next <= now + ahead {
            step
        } else {
            Step::Wait(next - ahead)
        }
    }

    /// If a batch of a push that has no slots yet should not begin at `now`: when it may. It may not if no slots can be reserved
    /// for it, or if another batch of its push uses the rate and will go on: two would hold two functions and send no more.
    pub(super) fn full_until(&self, sender: Sender, per_second: NonZeroU32, now: Timestamp) -> Option<Timestamp> {
        let now = now.as_microsecond();
        let until = match (self.step(sender, per_second, now), self.next_send) {
            (Step::Wait(until), _) => until,
            (Step::Append | Step::Continue(_), Some(next)) if self.sends_more && self.is_turn_of(sender) => {
                next - NEARLY_EMPTY
            }
            (Step::Append | Step::Continue(_) | Step::Restart, _) => return None,
        };
        (until > now).then(|| Timestamp::from_microsecond(until).unwrap_or(Timestamp::MAX))
    }

    /// Whether the rate is what sends wait for at `now`, in microseconds since 1970: the slots that were reserved take until later,
    /// and their sender wants more of them, or others would have to wait. That there is a reservation says nothing: there always is
    /// one while a push sends.
    pub(super) fn is_rate_used_up(&self, now: i64) -> bool {
        let used = self.used_until.map_or(0, |until| until - now);
        used > if self.sends_more { 0 } else { HARDLY_USED }
    }

    fn is_turn_of(&self, sender: Sender) -> bool {
        self.turn_of.as_ref() == Some(&sender.to_string())
    }
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
        Line { next_send: Some(next), turn_of: turn_of.map(str::to_owned), turn_slots, ..Line::default() }
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
            // One second ahead after any turn; in a turn, three.
            (NOW + 1_000_000, own, 14, Step::Append),
            (NOW + 1_000_001, own, 14, Step::Wait(NOW + 1)),
            (NOW + 1_000_001, own, 13, Step::Continue(1)),
            (NOW + 3_000_000, own, 3, Step::Continue(11)),
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
    fn a_line_is_full_while_its_sender_has_to_wait_or_another_batch_of_its_push_uses_the_rate() {
        let at = |micros| Timestamp::from_microsecond(micros).unwrap();
        let own = Some("direct");
        for (next, turn_of, sends_more, expected) in [
            (None, None, false, None),
            (Some(NOW - 1), own, true, None),
            (Some(NOW + 2_000_000), None, false, None),
            (Some(NOW + 2_000_000), Some("another push"), true, None),
            (Some(NOW + 2_500_000), None, false, Some(NOW + 500_000)),
            (Some(NOW + 300_000), own, true, None),
            (Some(NOW + 300_001), own, true, Some(NOW + 1)),
            // The other batch has all that it wants.
            (Some(NOW + 1_000_000), own, false, None),
            (Some(NOW + 1_500_000), own, false, Some(NOW + 500_000)),
        ] {
            let turn_of = turn_of.map(str::to_owned);
            let line = Line { next_send: next, turn_of, turn_slots: 1, sends_more, used_until: None };
            let full = line.full_until(Sender::Direct, NonZeroU32::MIN, at(NOW));
            assert_eq!(full, expected.map(at), "{line:?}");
        }
    }

    #[test]
    fn the_rate_is_used_up_only_if_a_sender_would_send_faster() {
        for (used_until, sends_more, expected) in [
            (None, true, false),
            // All slots have passed.
            (Some(NOW), true, false),
            (Some(NOW + 1), true, true),
            (Some(NOW + 100_000), false, false),
            (Some(NOW + 100_001), false, true),
        ] {
            // A slow store: the reservation begins seconds later.
            let line = Line { next_send: Some(NOW + 3_000_000), sends_more, used_until, ..Line::default() };
            assert_eq!(line.is_rate_used_up(NOW), expected, "{line:?}");
        }
    }
}
