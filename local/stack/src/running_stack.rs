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
use crate::settings::Settings;

/// The program of every function, as Lambda has it.
const PROGRAM: &str = "bootstrap";

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

    /// Kills (SIGKILL) every process of a function, by its full name, and returns their number. Where a process does not say which
    /// function it is, which only Linux shows, it may be another one.
    pub(crate) fn kill_functions(&self, function: &str) -> Result<usize> {
        let named = format!("AWS_LAMBDA_FUNCTION_NAME={function}");
        let is_it = |pid: Pid| match fs::read(format!("/proc/{pid}/environ")) {
            Ok(environment) => environment.split(|byte| *byte == 0).any(|variable| variable == named.as_bytes()),
            Err(_) => !cfg!(target_os = "linux"),
        };
        let listed = Command::new("ps").args(["-A", "-o", "pid=,pgid=,comm="]).output().context("cannot run ps")?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let ours = |line: &str| {
            let mut fields = line.split_whitespace();
            let (pid, group) = (fields.next()?.parse().ok()?, fields.next()?.parse::<i32>().ok()?);
            let program = fields.next()?.rsplit('/').next()?;
            (program == PROGRAM && self.processes.iter().any(|running| running.group() == group))
                .then_some(Pid::from_raw(pid))
        };
        let pids = listed.lines().filter_map(ours).filter(|pid| is_it(*pid));
        let killed = pids.filter(|pid| nix::sys::signal::kill(*pid, Signal::SIGKILL).is_ok());
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
