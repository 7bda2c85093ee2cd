//! Secrets Manager: the key of hashes, the keys of links (which operators rotate), the URL of the mail server.

use crate::aws::call::Call;
use crate::network::Reply;
use crate::scenario::Scenario;
use crate::world::World;

#[derive(Debug)]
pub struct Secrets;

impl Secrets {
    pub fn new(_scenario: &Scenario) -> Self {
        Self
    }

    pub fn serve(&self, _world: &World, _call: &Call) -> Reply {
        unimplemented!()
    }
}
