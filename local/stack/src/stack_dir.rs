//! Where a stack's files are kept: always under the workspace's `target`, so that `cargo clean` removes them.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::private_file;

/// The directory of the stack that `up` starts.
pub(crate) const DEFAULT: &str = "stack";
/// The AWS region of a local stack.
pub(crate) const REGION: &str = "eu-west-1";

/// The directory of one stack.
#[derive(Debug, Clone)]
pub(crate) struct StackDir {
    workspace: PathBuf,
    name: &'static str,
    /// Where the functions' programs are, if not beside this program.
    functions: Option<PathBuf>,
}

impl StackDir {
    /// Creates `target/NAME` in the workspace that this program was built from. Only its owner can open it: it holds keys,
    /// and logs with customers.
    pub(crate) fn in_workspace(name: &'static str) -> Result<Self> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
            .ancestors()
            .nth(2)
            .context("the workspace that this program was built from no longer exists")?
            .to_owned();
        let dir = Self { workspace, name, functions: None };
        private_file::create_folder(&dir.path()).context("cannot create a directory under target")?;
        Ok(dir)
    }

    /// The same directory, with the functions' programs in another folder.
    pub(crate) fn with_functions_in(self, folder: PathBuf) -> Self {
        Self { functions: Some(folder), ..self }
    }

    /// Whether this is the stack that `up` starts, rather than one for tests, a demo or a benchmark.
    pub(crate) fn is_default(&self) -> bool {
        self.name == DEFAULT
    }

    pub(crate) fn workspace(&self) -> &Path {
        &self.workspace
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.workspace.join("target").join(self.name)
    }

    /// Endpoints and resource names, for tools and tests.
    pub(crate) fn stack_file(&self) -> PathBuf {
        self.path().join("stack.json")
    }

    /// The processes that were started.
    pub(crate) fn processes_file(&self) -> PathBuf {
        self.path().join("processes.json")
    }

    /// A program of this workspace: cargo puts it beside this one.
    pub(crate) fn program(&self, name: &str) -> Result<PathBuf> {
        let own = env::current_exe().context("cannot find this program's own path")?;
        Ok(own.with_file_name(name))
    }

    /// A function's program.
    pub(crate) fn function(&self, name: &str) -> Result<PathBuf> {
        match &self.functions {
            Some(folder) => Ok(folder.join(name)),
            None => self.program(name),
        }
    }
}
