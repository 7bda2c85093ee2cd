//! A part of a processor, as a function of little memory has on Lambda: a control group of Linux that processes join.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::unistd::Pid;

/// The period in which the quota is measured, in microseconds: as on Lambda, short enough that a function stops and goes many
/// times for each batch.
const PERIOD_US: f64 = 20_000.0;

/// A control group with a quota. Removed on drop.
#[derive(Debug)]
pub(crate) struct Quota {
    folder: PathBuf,
}

impl Quota {
    /// Makes a group that has this part of a processor.
    ///
    /// # Errors
    /// If the control groups of this machine cannot be changed, for which one must be root.
    pub(crate) fn new(part: f64) -> Result<Self> {
        let (root, is_old) = (Path::new("/sys/fs/cgroup"), Path::new("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").exists());
        let name = format!("offercast-rig-{}", std::process::id());
        let folder = if is_old { root.join("cpu").join(name) } else { root.join(name) };
        let quota = Self { folder };
        fs::create_dir(&quota.folder).context("cannot make a control group; measure without --processor")?;
        let time = format!("{:.0}", PERIOD_US * part);
        if is_old {
            quota.set("cpu.cfs_period_us", &format!("{PERIOD_US:.0}"))?;
            quota.set("cpu.cfs_quota_us", &time)?;
        } else {
            quota.set("cpu.max", &format!("{time} {PERIOD_US:.0}"))?;
        }
        Ok(quota)
    }

    /// Lets a process have no more than this group has.
    pub(crate) fn limit(&self, process: Pid) -> Result<()> {
        self.set("cgroup.procs", &process.to_string())
    }

    fn set(&self, file: &str, value: &str) -> Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, value).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Its processes have ended. If one has not, the empty group is all that stays behind.
        let _ = fs::remove_dir(&self.folder);
    }
}
