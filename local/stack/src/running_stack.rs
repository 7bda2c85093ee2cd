//! The record of the running stack: a file with its processes and URLs, in which `down` and a second `up` find them.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::administrator::Administrator;
use crate::emulator::Emulator;
use crate::private_file;
use crate::process::Running;
use crate::settings::Settings;

/// The running services and their URLs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct RunningStack {
    /// The AWS emulator.
    pub(crate) emulator: Emulator,
    /// Who deploys to it.
    #[serde(default)]
    pub(crate) administrator: Administrator,
    pub(crate) endpoint_url: String,
    pub(crate) inbox_url: String,
    /// The inbox's SMTP server.
    pub(crate) inbox_smtp_url: String,
    pub(crate) status_url: String,
    /// What the last `up` set.
    #[serde(default)]
    pub(crate) chosen: Chosen,
    /// The ports that it was to have, of which taken ones were replaced: of AWS, the inbox's SMTP server, the inbox and the status page.
    #[serde(default)]
    pub(crate) ports: Option<[u16; 4]>,
    /// The processes that were started.
    pub(crate) processes: Vec<Running>,
}

/// Settings that differ from those of a new local stack.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Chosen {
    /// The mail server, if it is not the inbox.
    pub(crate) smtp: Option<String>,
    /// Parameters of the template.
    pub(crate) set: Settings,
}

impl RunningStack {
    /// Reads the file. If it is missing or damaged, nothing counts as running.
    pub(crate) fn load(file: &Path) -> Self {
        fs::read(file).ok().and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
    }

    pub(crate) fn save(&self, file: &Path) -> Result<()> {
        private_file::write(file, &serde_json::to_vec_pretty(self)?)
    }

    /// Whether every process that was started is still running.
    pub(crate) fn is_up(&self) -> bool {
        !self.processes.is_empty() && self.processes.iter().all(Running::is_alive)
    }

    /// Stops all process groups and returns how many were still running.
    pub(crate) fn stop(&self) -> usize {
        let alive = self.processes.iter().filter(|running| running.is_alive()).count();
        // A process that crashed may have left others of its group running.
        self.processes.iter().for_each(Running::stop);
        alive
    }
}
