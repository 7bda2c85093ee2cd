//! What `template.yaml` says of functions, queues and mappings: the simulation runs with the settings that are deployed.

use std::time::Duration;

use crate::aws::lambda::Function;

/// The time-out of a function.
pub fn timeout(_function: Function) -> Duration {
    unimplemented!()
}
