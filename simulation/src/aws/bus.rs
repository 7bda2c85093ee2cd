//! EventBridge: the events that the bus has accepted.

use crate::aws::call::Call;
use crate::network::Reply;
use crate::world::World;

#[derive(Debug, Default)]
pub struct Bus;

impl Bus {
    pub fn serve(&self, _world: &World, _call: &Call) -> Reply {
        unimplemented!()
    }
}
