//! The functions, built from their parts as their `main.rs` do, on the network of a process.

use std::sync::Arc;

use runtime::Invocation;
use serde_json::Value;

use crate::process::Process;
use crate::world::World;

/// A function that has started.
pub enum App {
    Push(push::App),
}

impl App {
    /// Starts the process's function.
    pub async fn start(_world: &Arc<World>, _process: &Process) -> Self {
        unimplemented!()
    }

    /// Handles an event.
    ///
    /// # Errors
    /// The function's own error, as a text.
    pub async fn handle(&self, payload: Value, invocation: Invocation) -> Result<Value, String> {
        match self {
            Self::Push(app) => app.handle(payload, invocation.deadline).await.map_err(|error| error.to_string()),
        }
    }
}
