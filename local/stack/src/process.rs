//! Processes that outlive this one, and how to end exactly those.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How long a process may take to end when asked, before it is made to.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A process that we started, with all that it started: they form one process group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// What it is.
    pub(crate) name: String,
    /// The process, which is also the group.
    pid: i32,
    /// When it started, as the system says: a process id may be another process's by now.
    started: String,
}

impl Running {
    /// Starts a process in a group of its own, logging to a file.
    pub(crate) fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pid = i32::try_from(child.id()).context("a process id that is no process id")?;
        let started = start_time(pid).with_context(|| format!("{name} ended at once; see {}", log.display()))?;
        Ok(Self { name: name.to_owned(), pid, started })
    }

    /// The process group.
    pub(crate) fn group(&self) -> i32 {
        self.pid
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&self) -> bool {
        start_time(self.pid).is_some_and(|started| started == self.started)
    }

    /// Ends it and all that it started.
    pub(crate) fn stop(&self) {
        // Another process has the id by now; while one of the group lived, the system would not have given it away.
        if start_time(self.pid).is_some_and(|started| started != self.started) {
            return;
        }
        let group = Pid::from_raw(self.pid);
        // The group may be gone between looking and asking; that is what was wanted.
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

/// Collects the process if it is our child; as anybody else's it is collected by them.
fn reap(pid: i32) {
    let _ = nix::sys::wait::waitpid(Pid::from_raw(pid), Some(nix::sys::wait::WaitPidFlag::WNOHANG));
}

/// When a process started, in whatever form the system tells it; `None` if there is none.
fn start_time(pid: i32) -> Option<String> {
    let (state, started) = if cfg!(target_os = "linux") {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // proc(5): the name stands in parentheses and may hold anything; state is field 3, start time field 22.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        (fields.next()?.to_owned(), fields.nth(18)?.to_owned())
    } else {
        let ps = Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).output().ok()?;
        let line = String::from_utf8_lossy(&ps.stdout).trim().to_owned();
        let (state, started) = line.split_once(char::is_whitespace)?;
        (state.to_owned(), started.trim().to_owned())
    };
    // A zombie has ended.
    (!state.starts_with('Z')).then_some(started)
}

/// Runs a command to its end; what it said is told if it fails.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot {what}"))?;
    if !output.status.success() {
        bail!("cannot {what}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
