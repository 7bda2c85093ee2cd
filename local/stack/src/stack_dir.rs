//! Where files go: everything under the workspace's `target`, so that `cargo clean` removes all traces.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The place of the stack that `up` starts.
pub(crate) const DEFAULT: &str = "stack";
/// The region that the local stack says it is in.
pub(crate) const REGION: &str = "eu-west-1";

/// Where one stack keeps its files.
#[derive(Debug, Clone)]
pub(crate) struct StackDir {
    workspace: PathBuf,
    name: &'static str,
    /// Where functions are, if not beside this program.
    functions: Option<PathBuf>,
}

impl StackDir {
    /// The place named `name` in the workspace that this program was built from.
    pub(crate) fn in_workspace(name: &'static str) -> Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .context("this program's sources are gone")?
            .to_owned();
        let dir = Self { workspace, name, functions: None };
        std::fs::create_dir_all(dir.path()).context("cannot make a folder under target")?;
        Ok(dir)
    }

    /// The same place, for functions that were built in another way, and so lie elsewhere.
    pub(crate) fn with_functions_in(self, folder: PathBuf) -> Self {
        Self { functions: Some(folder), ..self }
    }

    /// Whether it is the stack that `up` starts, not one of a test's own.
    pub(crate) fn is_default(&self) -> bool {
        self.name == DEFAULT
    }

    /// The repository's root.
    pub(crate) fn workspace(&self) -> &Path {
        &self.workspace
    }

    /// The stack's own folder.
    pub(crate) fn path(&self) -> PathBuf {
        self.workspace.join("target").join(self.name)
    }

    /// Says where everything is.
    pub(crate) fn stack_file(&self) -> PathBuf {
        self.path().join("stack.json")
    }

    /// Says what runs.
    pub(crate) fn processes_file(&self) -> PathBuf {
        self.path().join("processes.json")
    }

    /// Where cargo puts programs: beside this one.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let own = env::current_exe().context("cannot tell where this program is")?;
        Ok(own.with_file_name(name))
    }

    /// Where a function's program is.
    pub(crate) fn function(&self, name: &str) -> Result<PathBuf> {
        match &self.functions {
            Some(folder) => Ok(folder.join(name)),
            None => self.program(name),
        }
    }
}
