//! Child processes that outlive this program, and stopping exactly those.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::private_file;

/// Time between SIGTERM and SIGKILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A process that this program or an earlier run of it started, with its descendants. They form one process group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// A name for messages.
    pub(crate) name: String,
    /// The process id, which is also the process group's id.
    pid: i32,
    /// The start time, as the system reports it. It shows whether the process id now belongs to another process.
    started: String,
}

impl Running {
    /// Starts a process in its own process group, logging to a file.
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let file = private_file::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pid = i32::try_from(child.id()).context("the process id is out of range")?;
        let started = start_time(pid).with_context(|| format!("{name} exited immediately; see {}", log.display()))?;
        Ok(Self { name: name.to_owned(), pid, started })
    }

    /// Whether the process is still running.
    pub(crate) fn is_alive(&self) -> bool {
        start_time(self.pid).is_some_and(|started| started == self.started)
    }

    /// Stops the whole process group: SIGTERM, then SIGKILL.
    pub(crate) fn stop(&self) {
        // The id now belongs to another process, so the group has ended: the system does not reuse the id of a group
        // that still has processes.
        if start_time(self.pid).is_some_and(|started| started != self.started) {
            return;
        }
        let group = Pid::from_raw(self.pid);
        // An error means that the group has already ended.
        let _ = killpg(group, Signal::SIGTERM);
        let signalled = Instant::now();
        while killpg(group, None).is_ok() && signalled.elapsed() < STOP_TIMEOUT {
            reap(self.pid);
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = killpg(group, Signal::SIGKILL);
        reap(self.pid);
    }
}

/// Reaps the process if it is our child. Otherwise its parent does.
fn reap(pid: i32) {
    let _ = nix::sys::wait::waitpid(Pid::from_raw(pid), Some(nix::sys::wait::WaitPidFlag::WNOHANG));
}

/// A process's start time, in the system's own format; `None` if it is not running.
fn start_time(pid: i32) -> Option<String> {
    let (state, started) = if cfg!(target_os = "linux") {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // proc(5): the name is in parentheses and may contain anything; state is field 3, start time is field 22.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        (fields.next()?.to_owned(), fields.nth(18)?.to_owned())
    } else {
        let ps = Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).output().ok()?;
        let line = String::from_utf8_lossy(&ps.stdout).trim().to_owned();
        let (state, started) = line.split_once(char::is_whitespace)?;
        (state.to_owned(), started.trim().to_owned())
    };
    // A zombie has already exited.
    (!state.starts_with('Z')).then_some(started)
}

/// Runs a command to completion. The error contains its stderr.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot {what}"))?;
    if !output.status.success() {
        bail!("cannot {what}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
