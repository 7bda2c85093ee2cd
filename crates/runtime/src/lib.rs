//! What all functions share: settings, clients, queues, logging and metrics.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | how settings are read from the environment | [`settings`] |
//! | timeouts and retries of the AWS clients | [`clients`] |
//! | TLS, and how long connections are kept | `connections` |
//! | which authorities' certificates are accepted | `trust` |
//! | how the keys of unsubscribe links are read and cached | [`keys`] |
//! | how the key of hashes is read | [`hash_keys`] |
//! | how messages are queued | [`queue`] |
//! | how long messages are hidden from others while they are handled | [`in_flight`] |
//! | how events reach the bus | [`bus`] |
//! | how the messages of an SQS event are handled, and which are redelivered | [`records`] |
//! | the system's clock and random numbers | [`sources`] |
//! | the deadline of an invocation | [`deadline`] |
//! | by which name of the function an invocation came | [`invocation`] |
//! | the form of log lines and their fields | [`telemetry`] |
//! | how metrics are emitted | [`metrics`] |

pub mod bus;
pub mod clients;
mod connections;
pub mod deadline;
pub mod hash_keys;
pub mod in_flight;
pub mod invocation;
pub mod keys;
pub mod metrics;
pub mod queue;
pub mod records;
pub mod settings;
pub mod sources;
pub mod telemetry;
#[cfg(test)]
mod test_server;
mod trust;

pub use bus::EventBus;
pub use clients::Aws;
pub use deadline::Deadline;
pub use hash_keys::HashKeys;
pub use invocation::{Invocation, InvokedAs};
pub use keys::Keys;
pub use queue::Queue;
