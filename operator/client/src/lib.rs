//! A client for a running stack, for tools and tests: its endpoints and resources, signed API calls, and its logs.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | `stack.json`, and environment variables of the tests | `stack` |
//! | resource names from the template's outputs, locally or on AWS | `deployment` |
//! | signed calls; calls to the HTTP API | `signer`; `api` |
//! | reading the functions' logs | `logs` |
//! | errors of AWS services as sentences | `sentence` |
//! | access to this machine's ports from a container | `bin/relay` |

mod api;
mod deployment;
mod logs;
mod sentence;
mod signer;
mod stack;

pub use api::Api;
pub use deployment::{Deployment, Outputs};
pub use logs::logged;
pub use sentence::{cause_of, sentence};
pub use signer::{Call, Response, Signer};
pub use stack::{MOTO_VARIABLE, SCHEMATHESIS_VARIABLE, STACK_VARIABLE, Stack, sdk_config};
