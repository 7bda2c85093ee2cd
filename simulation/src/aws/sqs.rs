//! SQS: standard queues.

use testing::Clock;

use crate::aws::call::Call;
use crate::chance::Chance;
use crate::network::Reply;
use crate::world::World;

/// All queues of the template, by their logical ids: `EmailQueue`, `EmailDeadLetters`. That is also the last part of the URL
/// that functions have.
#[derive(Debug)]
pub struct Queues;

impl Queues {
    pub fn new(_clock: Clock, _chance: Chance) -> Self {
        Self
    }

    pub fn serve(&self, _world: &World, _call: &Call) -> Reply {
        unimplemented!()
    }
}
