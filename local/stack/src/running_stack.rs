//! The record of the running stack: a file with its processes and URLs, in which `down` and a second `up` find them.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::administrator::Administrator;
use crate::emulator::Emulator;
use crate::private_file;
use crate::process::Running;

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
    /// The processes that were started.
    pub(crate) processes: Vec<Running>,
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

    /// Kills (SIGKILL) every program of this name in our process groups and returns their number.
    pub(crate) fn kill_programs(&self, name: &str) -> Result<usize> {
        let listed = Command::new("ps").args(["-A", "-o", "pid=,pgid=,comm="]).output().context("cannot run ps")?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let ours = |line: &str| {
            let mut fields = line.split_whitespace();
            let (pid, group) = (fields.next()?.parse().ok()?, fields.next()?.parse::<i32>().ok()?);
            let program = fields.next()?.rsplit('/').next()?;
            (program == name && self.processes.iter().any(|running| running.group() == group))
                .then_some(Pid::from_raw(pid))
        };
        let killed =
            listed.lines().filter_map(ours).filter(|pid| nix::sys::signal::kill(*pid, Signal::SIGKILL).is_ok());
        Ok(killed.count())
    }

    /// Stops all process groups and returns how many were still running.
    pub(crate) fn stop(&self) -> usize {
        let alive = self.processes.iter().filter(|running| running.is_alive()).count();
        // A process that crashed may have left others of its group running.
        self.processes.iter().for_each(Running::stop);
        alive
    }
}
