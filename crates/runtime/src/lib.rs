//! What every function's `main.rs` shares.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | how settings are read from the environment | [`settings`] |
//! | time-outs, retries and TLS of the AWS clients | [`clients`] |
//! | how the keys of unsubscribe links are read | [`keys`] |
//! | how messages are put into queues | [`queue`] |
//! | how the messages of an event are handled | [`records`] |
//! | how long an invocation may go on | [`deadline`] |
//! | what log lines look like | [`telemetry`] |
//! | what is measured | [`metrics`] |

pub mod clients;
pub mod deadline;
pub mod keys;
pub mod metrics;
pub mod queue;
pub mod records;
pub mod settings;
pub mod telemetry;

pub use clients::Aws;
pub use deadline::Deadline;
pub use keys::Keys;
pub use queue::Queue;
