//! A running stack, as tools and tests see it: where everything is, and calls signed with AWS Signature Version 4.
//!
//! # Layout
//! | to change | open |
//! |---|---|
//! | `stack.json`, and the variables that name files to tests | `stack` |
//! | a deployment by the outputs of its template, locally or on AWS | `deployment` |
//! | signed calls | `signer`, `api` |
//! | what functions log | `logs` |
//! | a way out of a container to this machine's ports | `bin/relay` |

mod api;
mod deployment;
mod logs;
mod signer;
mod stack;

pub use api::Api;
pub use deployment::{Deployment, Outputs};
pub use logs::logged;
pub use signer::{Call, Response, Signer};
pub use stack::{MOTO_VARIABLE, SCHEMATHESIS_VARIABLE, STACK_VARIABLE, Stack, sdk_config};
