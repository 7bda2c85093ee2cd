//! Small models of what AWS documents. Each rule names its source.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | which service a request is for | [`call`] |
//! | DynamoDB: its tables, throttling, reads that are behind, streams | [`dynamo`] |
//! | SQS | [`sqs`] |
//! | what calls functions for the messages of a queue and the records of a stream | [`mapping`] |
//! | the schedules, and asynchronous invocations | [`schedule`] |
//! | whether a mapping or a schedule has work under way | [`activity`] |
//! | execution environments, invocations and their time-outs | [`lambda`] |
//! | EventBridge | [`bus`] |
//! | Secrets Manager | [`secrets`] |
//! | what the template says of functions, queues and mappings | [`template`] |

pub mod activity;
pub mod bus;
pub mod call;
pub mod dynamo;
pub mod lambda;
pub mod mapping;
pub mod schedule;
pub mod secrets;
pub mod sqs;
pub mod template;
#[cfg(test)]
mod testing;

/// Where the stack is.
const REGION: &str = "eu-central-1";
const ACCOUNT: &str = "123456789012";
