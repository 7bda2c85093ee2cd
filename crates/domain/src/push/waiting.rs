//! Why a push makes no progress, derived from its state and from what its transports report.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::PushState;
use crate::channel::{Channel, Channels};
use crate::transport::TransportId;
use crate::wire_enum;

/// After this long without progress, dead letters may be what delays a push: the sweep queues lost messages
/// again after the same time.
const DEAD_LETTERS_AFTER: SignedDuration = SignedDuration::from_mins(3);

/// Why sends through a transport are delayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delay {
    /// The transport is unavailable; its breaker is open or half open.
    Outage {
        /// Why the last attempt failed.
        last_error: Option<String>,
    },
    /// Its rate limit is used up.
    Rate,
    /// It is available, but did not accept some messages when they were last tried.
    Refusals {
        /// When that was.
        at: Timestamp,
        /// The reason it gave.
        last_error: Option<String>,
    },
}

/// The delay of each transport, if any, by the channel that the transport serves.
pub type Delays = BTreeMap<Channel, BTreeMap<TransportId, Option<Delay>>>;

wire_enum! {
    /// What a push waits for.
    pub enum WaitingFor {
        /// The time from which its offer is valid.
        ValidFrom = "validFrom",
        /// A transport's rate limit, which is used up.
        Rate = "rate",
        /// A provider: all transports of a channel are unavailable, or one did not accept messages and there was no
        /// progress since.
        Provider = "provider",
        /// An operator who handles the dead letters.
        DeadLetters = "deadLetters",
    }
}

/// What a push waits for, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wait {
    /// What it waits for, if anything.
    pub reason: Option<WaitingFor>,
    /// The last error behind the reason, for an operator.
    pub last_error: Option<String>,
}

impl Wait {
    const NONE: Self = Self { reason: None, last_error: None };

    const fn new(reason: WaitingFor, last_error: Option<String>) -> Self {
        Self { reason: Some(reason), last_error }
    }
}

/// The facts about a push that decide what it waits for.
#[derive(Debug, Clone, Copy)]
pub struct Activity<'a> {
    /// The state of the push.
    pub state: PushState,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When a slice last made progress.
    pub last_progress_at: Option<Timestamp>,
    /// The channels with batches that have not reported.
    pub outstanding_channels: &'a Channels,
}

impl Activity<'_> {
    /// Whether there was no progress for so long that dead letters may be the cause.
    pub fn is_stalled(&self, now: Timestamp) -> bool {
        let last_activity = self.last_progress_at.max(self.started_at);
        self.state == PushState::Running && last_activity.is_some_and(|at| at + DEAD_LETTERS_AFTER < now)
    }

    /// What the push waits for, given the delays of all transports and the number of dead letters of each queue.
    ///
    /// An outage comes first, as it explains everything else. A used-up rate limit comes last: it is normal.
    pub fn wait_reason(&self, delays: &Delays, dead_letters: &[(&str, u64)], now: Timestamp) -> Wait {
        match self.state {
            PushState::Scheduled => return Wait::new(WaitingFor::ValidFrom, None),
            PushState::Running => {}
            PushState::Completed | PushState::Cancelled => return Wait::NONE,
        }
        let channels: Vec<_> = self.outstanding_channels.iter().filter_map(|channel| delays.get(channel)).collect();
        let outages: Vec<_> = channels.iter().filter_map(|transports| channel_outage(transports)).flatten().collect();
        if !outages.is_empty() {
            return Wait::new(WaitingFor::Provider, Some(outages.join("; ")));
        }
        if self.is_stalled(now)
            && let Some((queue, count)) = dead_letters.iter().find(|(_, count)| *count > 0)
        {
            return Wait::new(WaitingFor::DeadLetters, Some(format!("{count} dead letters of the {queue} queue")));
        }
        let mut transports = channels.into_iter().flatten();
        if let Some(refusal) =
            transports.clone().find_map(|(transport, delay)| self.refusal(*transport, delay.as_ref()))
        {
            return Wait::new(WaitingFor::Provider, Some(refusal));
        }
        if transports.any(|(_, delay)| *delay == Some(Delay::Rate)) {
            return Wait::new(WaitingFor::Rate, None);
        }
        Wait::NONE
    }

    /// The reason a transport gave for not accepting messages, unless the push made progress since.
    fn refusal(&self, transport: TransportId, delay: Option<&Delay>) -> Option<String> {
        match delay {
            Some(Delay::Refusals { at, last_error }) if self.last_progress_at.is_none_or(|progress| progress < *at) => {
                Some(describe(transport, last_error.as_deref()))
            }
            _ => None,
        }
    }
}

/// The errors of a channel's transports if all of them are unavailable. One available transport serves the whole
/// channel.
fn channel_outage(transports: &BTreeMap<TransportId, Option<Delay>>) -> Option<Vec<String>> {
    let outage = |(transport, delay): (&TransportId, &Option<Delay>)| match delay {
        Some(Delay::Outage { last_error }) => Some(describe(*transport, last_error.as_deref())),
        Some(Delay::Rate | Delay::Refusals { .. }) | None => None,
    };
    transports.iter().map(outage).collect()
}

fn describe(transport: TransportId, last_error: Option<&str>) -> String {
    format!("{transport}: {}", last_error.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: i64 = 1_000_000;

    fn minute(minutes: i64) -> Timestamp {
        Timestamp::from_second(STARTED + minutes * 60).unwrap()
    }

    fn outage(error: &str) -> Option<Delay> {
        Some(Delay::Outage { last_error: Some(error.to_owned()) })
    }

    fn refusals(at: Timestamp) -> Option<Delay> {
        Some(Delay::Refusals { at, last_error: Some("quota".to_owned()) })
    }

    fn email(ses: Option<Delay>, smtp: Option<Delay>) -> Delays {
        Delays::from([(Channel::Email, BTreeMap::from([(TransportId::Ses, ses), (TransportId::Smtp, smtp)]))])
    }

    fn sms(sns: Option<Delay>) -> Delays {
        Delays::from([(Channel::Sms, BTreeMap::from([(TransportId::Sns, sns)]))])
    }

    /// A running push that last made progress in minute 10, with e-mail batches outstanding.
    fn wait_in(minutes: i64, delays: &Delays, dead_letters: &[(&str, u64)]) -> Wait {
        let activity = Activity {
            state: PushState::Running,
            started_at: Some(minute(0)),
            last_progress_at: Some(minute(10)),
            outstanding_channels: &Channels::from([Channel::Email]),
        };
        activity.wait_reason(delays, dead_letters, minute(minutes))
    }

    fn provider(error: &str) -> Wait {
        Wait::new(WaitingFor::Provider, Some(error.to_owned()))
    }

    #[test]
    fn only_a_running_push_waits_for_transports() {
        for (state, expected) in [
            (PushState::Scheduled, Wait::new(WaitingFor::ValidFrom, None)),
            (PushState::Running, provider("ses: down; smtp: down")),
            (PushState::Completed, Wait::NONE),
            (PushState::Cancelled, Wait::NONE),
        ] {
            let activity = Activity {
                state,
                started_at: Some(minute(0)),
                last_progress_at: None,
                outstanding_channels: &Channels::from([Channel::Email]),
            };
            let delays = email(outage("down"), outage("down"));
            assert_eq!(activity.wait_reason(&delays, &[("email", 1)], minute(60)), expected, "{state}");
        }
    }

    #[test]
    fn an_outage_holds_a_push_up_only_if_no_transport_of_the_channel_is_left() {
        for (delays, expected) in [
            (email(outage("ses down"), outage("smtp down")), provider("ses: ses down; smtp: smtp down")),
            (email(outage("ses down"), None), Wait::NONE),
            (email(outage("ses down"), Some(Delay::Rate)), Wait::new(WaitingFor::Rate, None)),
            (email(None, None), Wait::NONE),
            // No e-mail transport is known, and no text message is outstanding.
            (sms(outage("sns down")), Wait::NONE),
            (Delays::new(), Wait::NONE),
        ] {
            assert_eq!(wait_in(11, &delays, &[]), expected, "{delays:?}");
        }
    }

    #[test]
    fn an_outage_of_any_outstanding_channel_is_reported() {
        let activity = Activity {
            state: PushState::Running,
            started_at: Some(minute(0)),
            last_progress_at: None,
            outstanding_channels: &Channels::from([Channel::Email, Channel::Sms]),
        };
        let mut delays = email(None, None);
        delays.extend(sms(Some(Delay::Outage { last_error: None })));
        assert_eq!(activity.wait_reason(&delays, &[], minute(1)), provider("sns: "));
    }

    #[test]
    fn refusals_hold_a_push_up_until_it_makes_progress_again() {
        for (refused_at, expected) in
            [(minute(9), Wait::NONE), (minute(10), Wait::NONE), (minute(11), provider("ses: quota"))]
        {
            assert_eq!(wait_in(12, &email(refusals(refused_at), None), &[]), expected, "{refused_at}");
        }
    }

    #[test]
    fn dead_letters_are_the_reason_only_if_the_push_is_stalled() {
        for (minutes, dead_letters, expected) in [
            (13, [("audience", 0), ("email", 2)], Wait::NONE),
            (14, [("audience", 0), ("email", 0)], Wait::NONE),
            (
                14,
                [("audience", 0), ("email", 2)],
                Wait::new(WaitingFor::DeadLetters, Some("2 dead letters of the email queue".to_owned())),
            ),
        ] {
            assert_eq!(wait_in(minutes, &email(None, None), &dead_letters), expected, "{minutes} {dead_letters:?}");
        }
    }

    #[test]
    fn an_outage_precedes_dead_letters_and_they_precede_refusals_and_the_rate() {
        let dead_letters = [("email", 1)];
        let reason = |delays: &Delays| wait_in(14, delays, &dead_letters).reason;
        assert_eq!(reason(&email(outage("down"), outage("down"))), Some(WaitingFor::Provider));
        assert_eq!(reason(&email(refusals(minute(11)), None)), Some(WaitingFor::DeadLetters));
        assert_eq!(reason(&email(Some(Delay::Rate), None)), Some(WaitingFor::DeadLetters));
        let both = email(Some(Delay::Rate), refusals(minute(11)));
        assert_eq!(wait_in(12, &both, &[]), provider("smtp: quota"));
    }

    #[test]
    fn a_push_is_stalled_three_minutes_after_its_last_activity() {
        for (state, started_at, last_progress_at, minutes, expected) in [
            (PushState::Running, Some(0), None, 3, false),
            (PushState::Running, Some(0), None, 4, true),
            (PushState::Running, Some(0), Some(10), 13, false),
            (PushState::Running, Some(0), Some(10), 14, true),
            (PushState::Running, None, None, 60, false),
            (PushState::Scheduled, None, None, 60, false),
            (PushState::Completed, Some(0), Some(10), 60, false),
            (PushState::Cancelled, Some(0), Some(10), 60, false),
        ] {
            let activity = Activity {
                state,
                started_at: started_at.map(minute),
                last_progress_at: last_progress_at.map(minute),
                outstanding_channels: &Channels::new(),
            };
            assert_eq!(activity.is_stalled(minute(minutes)), expected, "{activity:?} in minute {minutes}");
        }
    }
}
