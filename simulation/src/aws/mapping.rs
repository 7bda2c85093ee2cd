//! Event source mappings: what calls functions for the messages of a queue and the records of a stream.

use std::sync::Arc;

use crate::world::World;

/// Starts the pollers of all mappings of the template as tasks of the present runtime. They run until it ends.
pub fn start(_world: &Arc<World>) {
    unimplemented!()
}
