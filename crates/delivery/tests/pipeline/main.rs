//! The delivery pipeline as a whole, on the store's real tables in process, in virtual time: what is sent and when, what
//! is stored, and when the rest of a batch comes again.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | the customers, the push and the functions of all tests | `bank` |
//! | what a provider responds, and what it has received | `provider` |
//! | messages, and those that cannot be composed | `composer` |
//! | what is stored, as tests read it | `stored` |
//! | captured log lines | `logs` |
//! | a whole batch, again and by two invocations at a time | `batches` |
//! | what each response of a provider means | `responses` |
//! | refusals whose fault is unclear, and pushes that are held | `holds` |
//! | messages that another principal wrote into the queue, and those of the release before | `forged` |
//! | who gets no message | `screening`, while hashes are migrated `migration` |
//! | what changes while a message waits | `freshness` |
//! | the rate limit | `rate` |
//! | the circuit breaker, its probe, the fallback | `breaker`, `probe`, `fallback` |
//! | the time that is left | `deadline` |
//! | an unavailable store, lost responses, panics | `outages`, `lost_responses`, `failures` |
//! | later pushes of an offer | `resending` |
//! | the report of a batch | `reports` |
//! | what a deferred batch reports, and two open pushes | `progress`, `open_pushes` |
//! | a message on direct invocation | `send_one` |
#![allow(clippy::unwrap_used, reason = "a test that cannot continue has failed")]

mod bank;
mod batches;
mod breaker;
mod composer;
mod deadline;
mod failures;
mod fallback;
mod forged;
mod freshness;
mod holds;
mod logs;
mod lost_responses;
mod migration;
mod open_pushes;
mod outages;
mod probe;
mod progress;
mod provider;
mod rate;
mod reports;
mod resending;
mod responses;
mod screening;
mod send_one;
mod stored;
