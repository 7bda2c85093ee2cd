//! The schedules that invoke functions.

use std::sync::Arc;

use crate::world::World;

/// Starts all schedules of the template as tasks of the present runtime. They run until it ends.
pub fn start(_world: &Arc<World>) {
    unimplemented!()
}
