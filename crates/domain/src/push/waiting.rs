//! Why a push makes no progress, derived from its state, from what it recorded and from what its transports report.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::PushState;
use crate::channel::{Channel, Channels};
use crate::transport::TransportId;
use crate::wire_enum;

/// After this long without progress, dead letters may be what delays a push: the sweep queues lost messages
/// again after the same time.
const DEAD_LETTERS_AFTER: SignedDuration = SignedDuration::from_mins(3);
/// This long after a block has ended, an outage that no batch has probed is out of date: a batch that waits for the
/// breaker comes again two seconds after the block.
const UNPROBED_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// Why sends through a transport are delayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delay {
    /// The transport is unavailable: its breaker is open or half open, or the push is held on it.
    Outage {
        /// Why the last attempt failed.
        last_error: Option<String>,
        /// The end of the last block. From then on a batch may probe the transport.
        blocked_until: Timestamp,
    },
    /// Its rate limit is used up.
    Rate,
}

/// A message of the push that its provider did not accept for now: the last one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The transport that calls the provider.
    pub transport: TransportId,
    /// When it was refused.
    pub at: Timestamp,
    /// The reason the provider gave.
    pub reason: String,
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
    /// The last message of the push that was refused for now.
    pub refusal: Option<&'a Refusal>,
}

impl Activity<'_> {
    /// Whether there was no progress for so long that dead letters may be the cause.
    pub fn is_stalled(&self, now: Timestamp) -> bool {
        let last_activity = self.last_progress_at.max(self.started_at);
        self.state == PushState::Running && last_activity.is_some_and(|at| at + DEAD_LETTERS_AFTER < now)
    }

    /// What the push waits for, given the delays of all transports and the number of dead letters of each queue.
    ///
    /// An outage comes first, as it explains everything else. If no batch has probed for long, what keeps the batches
    /// away explains more. A used-up rate limit comes last: it is normal.
    pub fn wait_reason(&self, delays: &Delays, dead_letters: &[(&str, u64)], now: Timestamp) -> Wait {
        match self.state {
            PushState::Scheduled => return Wait::new(WaitingFor::ValidFrom, None),
            PushState::Running => {}
            PushState::Completed | PushState::Cancelled => return Wait::NONE,
        }
        let channels: Vec<_> = self.outstanding_channels.iter().filter_map(|channel| delays.get(channel)).collect();
        if let Some(errors) = outages(&channels, now, |blocked_until| is_probed(blocked_until, now)) {
            return Wait::new(WaitingFor::Provider, Some(errors));
        }
        if self.is_stalled(now)
            && let Some((queue, count)) = dead_letters.iter().find(|(_, count)| *count > 0)
        {
            return Wait::new(WaitingFor::DeadLetters, Some(format!("{count} dead letters of the {queue} queue")));
        }
        if let Some(refusal) = self.refusal.filter(|refusal| self.is_held_up_by(refusal)) {
            return Wait::new(WaitingFor::Provider, Some(describe(refusal.transport, &refusal.reason)));
        }
        // Of an earlier time, the error would be another push's.
        let is_of_this_push = |blocked_until| self.started_at.is_some_and(|started_at| started_at <= blocked_until);
        if let Some(errors) = outages(&channels, now, is_of_this_push) {
            return Wait::new(WaitingFor::Provider, Some(errors));
        }
        if channels.into_iter().flatten().any(|(_, delay)| *delay == Some(Delay::Rate)) {
            return Wait::new(WaitingFor::Rate, None);
        }
        Wait::NONE
    }

    /// Whether the push waits for a channel of this transport, and made no progress since it refused the message.
    fn is_held_up_by(&self, refusal: &Refusal) -> bool {
        self.outstanding_channels.contains(&refusal.transport.channel())
            && self.last_progress_at.is_none_or(|progress| progress < refusal.at)
    }
}

/// Whether batches that wait for a breaker still come again, given the end of its last block.
fn is_probed(blocked_until: Timestamp, now: Timestamp) -> bool {
    now <= blocked_until + UNPROBED_AFTER
}

/// The errors of the channels that have an outage.
fn outages(
    channels: &[&BTreeMap<TransportId, Option<Delay>>],
    now: Timestamp,
    counts: impl Fn(Timestamp) -> bool,
) -> Option<String> {
    let errors: Vec<_> =
        channels.iter().filter_map(|transports| channel_outage(transports, now, &counts)).flatten().collect();
    (!errors.is_empty()).then(|| errors.join("; "))
}

/// The errors of a channel's transports if all of them are unavailable. One available transport serves the whole
/// channel. Whether an outage `counts` depends on the end of its last block.
fn channel_outage(
    transports: &BTreeMap<TransportId, Option<Delay>>,
    now: Timestamp,
    counts: impl Fn(Timestamp) -> bool,
) -> Option<Vec<String>> {
    let outage = |(transport, delay): (&TransportId, &Option<Delay>)| match delay {
        Some(Delay::Outage { last_error, blocked_until }) if counts(*blocked_until) => {
            let error = describe(*transport, last_error.as_deref().unwrap_or_default());
            let is_probed = is_probed(*blocked_until, now);
            Some(if is_probed { error } else { format!("{error} (not tried since {blocked_until:.0})") })
        }
        Some(Delay::Outage { .. } | Delay::Rate) | None => None,
    };
    transports.iter().map(outage).collect()
}

fn describe(transport: TransportId, error: &str) -> String {
    format!("{transport}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: i64 = 1_000_000;

    fn minute(minutes: i64) -> Timestamp {
        Timestamp::from_second(STARTED + minutes * 60).unwrap()
    }

    fn outage(error: &str) -> Option<Delay> {
        outage_until(60, error)
    }

    /// An outage whose last block ends in this minute.
    fn outage_until(minutes: i64, error: &str) -> Option<Delay> {
        Some(Delay::Outage { last_error: Some(error.to_owned()), blocked_until: minute(minutes) })
    }

    fn refusal(transport: TransportId, minutes: i64) -> Refusal {
        Refusal { transport, at: minute(minutes), reason: "quota".to_owned() }
    }

    fn email(ses: Option<Delay>, smtp: Option<Delay>) -> Delays {
        Delays::from([(Channel::Email, BTreeMap::from([(TransportId::Ses, ses), (TransportId::Smtp, smtp)]))])
    }

    fn sms(sns: Option<Delay>) -> Delays {
        Delays::from([(Channel::Sms, BTreeMap::from([(TransportId::Sns, sns)]))])
    }

    /// A running push that last made progress in minute 10, with e-mail batches outstanding.
    fn wait_in(minutes: i64, delays: &Delays, dead_letters: &[(&str, u64)]) -> Wait {
        refused_in(minutes, None, delays, dead_letters)
    }

    /// The same push after this refusal.
    fn refused_in(minutes: i64, refusal: Option<&Refusal>, delays: &Delays, dead_letters: &[(&str, u64)]) -> Wait {
        let activity = Activity {
            state: PushState::Running,
            started_at: Some(minute(0)),
            last_progress_at: Some(minute(10)),
            outstanding_channels: &Channels::from([Channel::Email]),
            refusal,
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
                refusal: None,
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
            refusal: None,
        };
        let mut delays = email(None, None);
        delays.extend(sms(Some(Delay::Outage { last_error: None, blocked_until: minute(1) })));
        assert_eq!(activity.wait_reason(&delays, &[], minute(1)), provider("sns: "));
    }

    #[test]
    fn an_outage_that_no_batch_probes_is_the_last_reason_and_never_that_of_an_earlier_time() {
        let unprobed = |minutes| {
            let since = format!("(not tried since {})", minute(minutes));
            provider(&format!("ses: down {since}; smtp: down {since}"))
        };
        for (blocked_until, minutes, expected) in [
            (11, 11, provider("ses: down; smtp: down")),
            (11, 13, provider("ses: down; smtp: down")),
            (11, 14, unprobed(11)),
            (0, 14, unprobed(0)),
            (-1, 1, provider("ses: down; smtp: down")),
            (-1, 14, Wait::NONE),
        ] {
            let delays = email(outage_until(blocked_until, "down"), outage_until(blocked_until, "down"));
            assert_eq!(wait_in(minutes, &delays, &[]), expected, "{blocked_until}, {minutes}");
        }
        let delays = email(outage_until(11, "down"), outage_until(11, "down"));
        assert_eq!(wait_in(14, &delays, &[("email", 1)]).reason, Some(WaitingFor::DeadLetters));
        let refusal = refusal(TransportId::Smtp, 12);
        assert_eq!(refused_in(14, Some(&refusal), &delays, &[]), provider("smtp: quota"));
        let one_is_probed = email(outage_until(11, "down"), outage_until(14, "down"));
        let expected = format!("ses: down (not tried since {}); smtp: down", minute(11));
        assert_eq!(wait_in(14, &one_is_probed, &[]), provider(&expected));
    }

    #[test]
    fn refusals_hold_a_push_up_until_it_makes_progress_again() {
        for (transport, refused_at, expected) in [
            (TransportId::Ses, 9, Wait::NONE),
            (TransportId::Ses, 10, Wait::NONE),
            (TransportId::Ses, 11, provider("ses: quota")),
            // All text messages have their outcome.
            (TransportId::Sns, 11, Wait::NONE),
        ] {
            let refusal = refusal(transport, refused_at);
            let wait = refused_in(12, Some(&refusal), &email(None, None), &[]);
            assert_eq!(wait, expected, "{transport}, {refused_at}");
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
        let refusal = refusal(TransportId::Smtp, 11);
        let reason = |delays: &Delays| refused_in(14, Some(&refusal), delays, &dead_letters).reason;
        assert_eq!(reason(&email(outage("down"), outage("down"))), Some(WaitingFor::Provider));
        assert_eq!(reason(&email(Some(Delay::Rate), None)), Some(WaitingFor::DeadLetters));
        let rate = email(Some(Delay::Rate), None);
        assert_eq!(refused_in(12, Some(&refusal), &rate, &[]), provider("smtp: quota"));
        assert_eq!(wait_in(12, &rate, &[]), Wait::new(WaitingFor::Rate, None));
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
                refusal: None,
            };
            assert_eq!(activity.is_stalled(minute(minutes)), expected, "{activity:?} in minute {minutes}");
        }
    }
}
