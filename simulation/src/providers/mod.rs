//! The providers: SES, SNS, and a mail server.

use serde::{Deserialize, Serialize};

use crate::aws::call::Call;
use crate::network::Reply;
use crate::process::Process;
use crate::scenario::Scenario;
use crate::world::World;

/// What a provider does instead of accepting messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// It cannot be reached.
    Down,
}

#[derive(Debug)]
pub struct Ses;

impl Ses {
    pub fn new(_scenario: &Scenario) -> Self {
        Self
    }

    pub fn serve(&self, _world: &World, _process: &Process, _call: &Call) -> Reply {
        unimplemented!()
    }
}

#[derive(Debug)]
pub struct Sns;

impl Sns {
    pub fn new(_scenario: &Scenario) -> Self {
        Self
    }

    pub fn serve(&self, _world: &World, _process: &Process, _call: &Call) -> Reply {
        unimplemented!()
    }
}

#[derive(Debug)]
pub struct SmtpServer;

impl SmtpServer {
    pub fn new(_scenario: &Scenario) -> Self {
        Self
    }
}

/// An error as SNS reports it.
pub fn sns_error(_status: u16, _code: &str, _message: &str) -> Reply {
    unimplemented!()
}
