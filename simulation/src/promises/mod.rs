//! The promises of docs/guarantees.md, and what they are checked against.
//!
//! While a run lasts, [`Evidence`] keeps what its calls show. At its end, `collect` turns that, the tables, and the logs of
//! providers and people into [`Facts`], and each check reads nothing but those.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | what is known of a run | [`facts`] |
//! | what is kept of its calls | [`evidence`], [`reading`] |
//! | what the tables say at its end | [`tables`] |
//! | what the logs of providers, people and services hold | [`sources`] |
//! | how facts are made of all that | [`collect`] |
//! | never lost: each customer has the message or a reason, each push ends | [`lost`] |
//! | never twice | [`twice`] |
//! | counts | [`counts`] |
//! | stored first, only with consent, nothing after it was cancelled or expired | [`allowed`] |
//! | within the rate | [`rate`] |
//! | nobody failed for our fault | [`blame`] |
//! | dead letters | [`letters`] |
//! | events | [`events`] |
//! | bounded calls | [`effort`] |
//! | a reason that is recorded was true | [`reasons`] |
//! | what people were told is done | [`told`] |
//! | answers of providers count, and missing ones | [`answers`] |
//! | who bounced or complained is suppressed | [`reports`] |
//! | no function times out by itself | [`deaths`] |
//! | only probes while a transport is blocked | [`breaker`] |
//! | no personal data in logs, queues and events | [`privacy`] |

pub mod allowed;
pub mod answers;
pub mod blame;
pub mod breaker;
pub mod collect;
pub mod counts;
pub mod deaths;
pub mod effort;
pub mod events;
pub mod evidence;
pub mod facts;
pub mod letters;
pub mod lost;
pub mod outages;
pub mod privacy;
pub mod rate;
pub mod reading;
pub mod reasons;
pub mod reports;
#[cfg(test)]
mod samples;
pub mod sources;
pub mod tables;
pub mod told;
pub mod twice;

use std::fmt;

use crate::world::World;

pub use evidence::Evidence;
pub use facts::Facts;
pub use privacy::{logs, metrics};

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Its short name.
    pub promise: &'static str,
    /// For the person who looks for the defect: who, which offer, when, which processes.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// A check of a promise.
pub type Check = fn(&Facts) -> Vec<Violation>;

/// All checks.
pub const CHECKS: [Check; 16] = [
    lost::check,
    twice::check,
    counts::check,
    allowed::check,
    rate::check,
    blame::check,
    letters::check,
    events::check,
    effort::check,
    privacy::check,
    reasons::check,
    told::check,
    answers::check,
    reports::check,
    deaths::check,
    breaker::check,
];

/// The promises that a run broke. Call it at the end, when nothing is in progress.
pub fn check_all(world: &World) -> Vec<Violation> {
    check_facts(&collect::collect(world))
}

/// The promises that are broken by these facts.
pub fn check_facts(facts: &Facts) -> Vec<Violation> {
    CHECKS.iter().flat_map(|check| check(facts)).collect()
}

/// Whether nothing is left to do: every push has ended, and every event is published. Until then time must go on.
pub fn is_finished(world: &World) -> bool {
    let gave_up = collect::loses_customer_events(world);
    tables::is_finished(&world.dynamo, &world.evidence.published_ids(), world.queues.is_empty(), gave_up)
}
