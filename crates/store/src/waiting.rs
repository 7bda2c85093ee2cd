//! What holds a push up, told from what the pipeline has noted.

use std::collections::BTreeMap;

use domain::push::PushState;
use domain::{Channel, TransportId};
use jiff::{SignedDuration, Timestamp};

use crate::limits::Delay;
use crate::pushes::Progress;

/// No progress for this long, and a push may be waiting for somebody to look at dead letters: one minute after the sweep
/// would have sent a lost message again.
const STALLED_AFTER: SignedDuration = SignedDuration::from_mins(3);

/// What each transport makes its senders wait for, by the channel that it serves.
pub type Delays = BTreeMap<Channel, BTreeMap<TransportId, Option<Delay>>>;

domain::wire_enum! {
    /// What a push waits for.
    pub enum WaitingFor: "reason to wait" {
        /// The time from which its offer is valid.
        ValidFrom = "validFrom",
        /// A transport's rate, which is used in full.
        Rate = "rate",
        /// Every transport of a channel is unavailable or refuses us; or one did not accept what it was given, and nothing
        /// has moved since.
        Provider = "provider",
        /// An operator who looks at the dead letters.
        DeadLetters = "deadLetters",
    }
}

/// What holds a push up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wait {
    /// What it waits for, if anything.
    pub reason: Option<WaitingFor>,
    /// The last words of what it waits for.
    pub last_error: Option<String>,
}

impl Progress {
    /// Whether nothing has moved for so long that dead letters may be why.
    pub fn is_stalled(&self, now: Timestamp) -> bool {
        let moved = self.last_progress_at.max(self.push.started_at);
        self.push.state == PushState::Running && moved.is_some_and(|at| at + STALLED_AFTER < now)
    }

    /// What holds the push up, given what the transports of its open channels wait for, and how many dead letters each
    /// queue has.
    pub fn wait(&self, delays: &Delays, dead_letters: &[(&str, u64)], now: Timestamp) -> Wait {
        let wait = |reason, last_error| Wait { reason: Some(reason), last_error };
        match self.push.state {
            PushState::Scheduled => return wait(WaitingFor::ValidFrom, None),
            PushState::Running => {}
            PushState::Completed | PushState::Cancelled => return Wait::default(),
        }
        let open = || self.outstanding_channels.iter().filter_map(|channel| delays.get(channel));
        // One transport that is not out serves for the other.
        let out = |transports: &BTreeMap<TransportId, Option<Delay>>| -> Option<Vec<String>> {
            let words = |(transport, delay): (&TransportId, &Option<Delay>)| match delay {
                Some(Delay::Outage { last_error }) => {
                    Some(format!("{transport}: {}", last_error.as_deref().unwrap_or_default()))
                }
                Some(Delay::Rate | Delay::Refusals { .. }) | None => None,
            };
            transports.iter().map(words).collect()
        };
        let outages: Vec<_> = open().filter_map(out).flatten().collect();
        if !outages.is_empty() {
            return wait(WaitingFor::Provider, Some(outages.join("; ")));
        }
        if self.is_stalled(now)
            && let Some((queue, count)) = dead_letters.iter().find(|(_, count)| *count > 0)
        {
            return wait(WaitingFor::DeadLetters, Some(format!("{count} dead letters of the {queue} queue")));
        }
        let refusals = open().flatten().find_map(|(transport, delay)| match delay {
            Some(Delay::Refusals { at, last_error }) if self.last_progress_at.is_none_or(|moved| moved < *at) => {
                Some(format!("{transport}: {}", last_error.as_deref().unwrap_or_default()))
            }
            _ => None,
        });
        if refusals.is_some() {
            return wait(WaitingFor::Provider, refusals);
        }
        let is_paced = open().flat_map(BTreeMap::values).any(|delay| *delay == Some(Delay::Rate));
        if is_paced { wait(WaitingFor::Rate, None) } else { Wait::default() }
    }
}
