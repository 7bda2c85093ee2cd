//! The promises of docs/guarantees.md, and what they are checked against.

use jiff::Timestamp;

use crate::aws::call::Call;
use crate::fault::Struck;
use crate::network::Reply;
use crate::process::Process;
use crate::scenario::Scenario;
use crate::world::World;

/// What happened in a run that a promise is about.
#[derive(Debug)]
pub struct Evidence;

impl Evidence {
    pub fn new(_scenario: &Scenario) -> Self {
        Self
    }

    /// A function makes a call, and this goes wrong with it.
    pub fn call(&self, _world: &World, _process: &Process, _call: &Call, _struck: &Struck) {}

    /// A service has handled a call, whether it took effect or not.
    pub fn served(&self, _world: &World, _process: &Process, _call: &Call, _reply: &Reply) {}

    /// The process that handed a message over has the provider's response.
    pub fn answered(&self, _handover: usize, _at: Timestamp) {}

    /// A process ended in the middle of its work.
    pub fn killed(&self, _process: &Process, _at: Timestamp) {}
}
